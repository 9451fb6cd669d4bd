//! Reads a request's body: in pieces, with limits on size and silence, decompressed when asked.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::encoding::{Decoder, Encoding};
use super::exception::{Exception, code};
use super::frame::Decompressor;

/// Who sends more than this after being refused finds the connection closed, perhaps before the answer.
const DRAINED_BYTES_MAX: u64 = 64 << 20;
/// And so does who is still sending after this long; less than an engine that ends waits for its clients.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// The body of one request.
pub(super) struct Body {
    incoming: Incoming,
    /// What was put back by [`Body::unread`].
    front: Option<Bytes>,
    /// Of `Content-Encoding`.
    decoder: Option<Decoder>,
    /// Of `decompress=1`.
    decompressor: Option<Decompressor>,
    bytes_left: u64,
    bytes_max: u64,
    idle_max: Duration,
    /// The client was silent for too long, or went away: nothing more comes.
    is_over: bool,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        (encoding, decompress): (Option<Encoding>, bool),
        bytes_max: u64,
        idle_max: Duration,
    ) -> Self {
        let decoder = encoding.map(Encoding::decoder);
        let decompressor = decompress.then(Decompressor::default);
        let (front, bytes_left, is_over) = (None, bytes_max, false);
        Self { incoming, front, decoder, decompressor, bytes_left, bytes_max, idle_max, is_over }
    }

    /// The next piece, never empty; `None` at the proper end. A body that breaks off is an error.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        if let Some(front) = self.front.take() {
            return Ok(Some(front));
        }
        loop {
            if let Some(decompressor) = &mut self.decompressor
                && let Some(block) = decompressor.next_block()?
            {
                return self.count(block).map(Some);
            }
            let Some(piece) = self.decoded().await? else {
                if let Some(decompressor) = &self.decompressor {
                    decompressor.finish()?;
                }
                return Ok(None);
            };
            match &mut self.decompressor {
                Some(decompressor) => decompressor.push(&piece),
                None if piece.is_empty() => {}
                None => return self.count(piece).map(Some),
            }
        }
    }

    /// Puts a piece back to be read next.
    pub(super) fn unread(&mut self, piece: Bytes) {
        self.front = (!piece.is_empty()).then_some(piece);
    }

    /// Reads what is left and drops it, for a while, so that a client which is still sending gets to read its answer.
    pub(super) async fn drain(&mut self) {
        if self.is_over {
            return;
        }
        let drained_within = self.idle_max.min(DRAINED_WITHIN);
        self.bytes_left = DRAINED_BYTES_MAX;
        self.front = None;
        self.decoder = None;
        self.decompressor = None;
        let rest = async { while let Ok(Some(_)) = self.next().await {} };
        let _ = tokio::time::timeout(drained_within, rest).await;
    }

    /// The next piece without its `Content-Encoding`.
    async fn decoded(&mut self) -> Result<Option<Bytes>, Exception> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(piece) = decoder.next()?
            {
                return Ok(Some(piece));
            }
            let piece = self.receive().await?;
            match (&mut self.decoder, piece) {
                (None, piece) => return Ok(piece),
                (Some(decoder), Some(piece)) => decoder.push(&piece),
                (Some(decoder), None) => {
                    let last = decoder.finish();
                    self.decoder = None;
                    return last;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Exception> {
        loop {
            let frame = tokio::time::timeout(self.idle_max, self.incoming.frame()).await.map_err(|_| {
                self.is_over = true;
                let message = format!("No data from the client for {} s", self.idle_max.as_secs());
                Exception::new(code::SOCKET_TIMEOUT, "SOCKET_TIMEOUT", message)
            })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    let message = format!("The request body broke off: {error}");
                    return Err(Exception::new(code::NETWORK_ERROR, "NETWORK_ERROR", message));
                }
            }
        }
    }

    fn count(&mut self, piece: Bytes) -> Result<Bytes, Exception> {
        let left = self.bytes_left.checked_sub(piece.len() as u64).ok_or_else(|| {
            let message = format!(
                "The request body is larger than the limit of {} bytes: send smaller batches",
                self.bytes_max
            );
            Exception::new(code::TOO_MANY_BYTES, "TOO_MANY_BYTES", message)
        })?;
        self.bytes_left = left;
        Ok(piece)
    }
}
