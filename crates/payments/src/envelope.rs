//! What travels through the queue: a verified webhook exactly as it arrived, a heartbeat, or a tally.
//!
//! # Wire format, version 1
//!
//! Integers are little-endian; `text8`/`text16`/`bytes32` are a length of that many bits followed by the bytes.
//!
//! ```text
//! u8 version = 1, u8 kind
//! kind 1, webhook:   16 bytes id, i64 received_at ms, text8 provider, text16 source, text16 secret,
//!                    text16 traceparent, u16 headers × (text16 name, bytes32 value), bytes32 body
//! kind 2, heartbeat: i64 sent_at ms, text16 instance
//! kind 3, tally:     16 bytes cell, i64 minute ms, text16 instance, text16 source, u64 acknowledged, u64 fingerprint,
//!                    u64 uncertain, u16 named × 16 bytes id
//! ```
//!
//! A field is never added without a new version number; decoders keep reading every version ever written. A kind that a
//! decoder does not know is an error to it, and the processor parks such a message: a kind may be added.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::providers::Provider;
use crate::tally::Tally;
use crate::time::UnixMillis;

pub(crate) const VERSION: u8 = 1;
const KIND_WEBHOOK: u8 = 1;
const KIND_HEARTBEAT: u8 = 2;
pub(crate) const KIND_TALLY: u8 = 3;

/// Room for headers when a message is begun; more is grown into.
const HEADERS_BYTES_USUAL: usize = 1_024;

/// One message of the queue.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueMessage {
    /// A verified webhook.
    Webhook(Envelope),
    /// A sign of life that takes the same way as the webhooks.
    Heartbeat(Heartbeat),
    /// What was acknowledged, to be compared with what is stored.
    Tally(Tally),
}

/// A webhook whose signature was verified over exactly these bytes.
///
/// Invariant: made only from what was verified: by [`QueueMessage::decode`] from what
/// [`Verified::seal`](crate::Verified::seal) wrote, and from a stored webhook, which came that way
/// ([`Envelope::of_stored`]).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// Our id of this request (UUIDv7): a provider's retry is another request and gets another id.
    pub id: Uuid,
    /// When it arrived, our clock.
    pub received_at: UnixMillis,
    /// Who sent it.
    pub provider: Provider,
    /// The configured source it was posted to.
    pub source: String,
    /// Which of the source's secrets matched, by its reference (`env:STRIPE_US_SECRET`), never its value.
    pub secret: String,
    /// W3C trace context of the request, empty if it is not traced.
    pub traceparent: String,
    /// Headers as they arrived, names in lower case, credentials left out.
    pub headers: Vec<(String, Bytes)>,
    /// The exact body.
    pub body: Bytes,
}

/// Tells "no webhooks came" from "we are down": ingest sends one every few seconds through the whole pipeline, so
/// a stored heartbeat proves that everything accepted before it is stored too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which ingest process.
    pub instance: String,
    /// When it was sent, our clock.
    pub sent_at: UnixMillis,
}

/// Bytes that are not a message of a version we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Ends too early, or has bytes left over.
    #[error("message of {bytes} bytes does not have the length its fields say")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// Written by a newer Tillwatch.
    #[error("message has version {0}, this build reads up to {VERSION}; upgrade the processor first")]
    Version(u8),
    /// None of the kinds above: written by a newer Tillwatch, or no message.
    #[error("message kind {0} is not known")]
    Kind(u8),
    /// The provider is not built in.
    #[error("provider `{0}` is not known to this build")]
    Provider(String),
    /// A text field is not UTF-8.
    #[error("a text field is not UTF-8")]
    Text,
}

impl QueueMessage {
    /// The message in wire format.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Webhook(envelope) => envelope.encode(),
            Self::Heartbeat(heartbeat) => heartbeat.encode(),
            Self::Tally(tally) => tally.encode(),
        }
    }

    /// Reads a message; the body and header values share `bytes`' memory.
    pub fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let whole = bytes.len();
        let mut reader = Reader { bytes: &mut bytes, whole };
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let message = match reader.u8()? {
            KIND_WEBHOOK => Self::Webhook(reader.envelope()?),
            KIND_HEARTBEAT => {
                let sent_at = reader.millis()?;
                Self::Heartbeat(Heartbeat { sent_at, instance: reader.text16()? })
            }
            KIND_TALLY => Self::Tally(Tally::decode(&mut reader)?),
            kind => return Err(DecodeError::Kind(kind)),
        };
        if bytes.is_empty() { Ok(message) } else { Err(DecodeError::Length { bytes: whole }) }
    }
}

impl Envelope {
    /// Of a webhook that is stored, so was verified when it came; the rest is filled in from its row.
    pub fn of_stored(id: Uuid, received_at: UnixMillis, provider: Provider) -> Self {
        Self {
            id,
            received_at,
            provider,
            source: String::new(),
            secret: String::new(),
            traceparent: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The envelope in wire format.
    pub fn encode(&self) -> Bytes {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
        let head = Head {
            id: self.id,
            received_at: self.received_at,
            provider: self.provider,
            source: &self.source,
            secret: &self.secret,
            traceparent: &self.traceparent,
        };
        Sealed { head: head.encode(headers, self.body.len()), body: &self.body }.to_bytes()
    }
}

/// An envelope in wire format, as it is before anything copies the body: two pieces, one behind the other.
#[derive(Debug)]
pub struct Sealed<'a> {
    pub(crate) head: Vec<u8>,
    pub(crate) body: &'a [u8],
}

impl Sealed<'_> {
    /// The pieces, in order.
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.head, self.body]
    }

    /// The pieces put together, as [`QueueMessage::decode`] reads them.
    pub fn to_bytes(&self) -> Bytes {
        self.pieces().concat().into()
    }
}

/// What an envelope tells beside headers and body.
pub(crate) struct Head<'a> {
    pub(crate) id: Uuid,
    pub(crate) received_at: UnixMillis,
    pub(crate) provider: Provider,
    pub(crate) source: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) traceparent: &'a str,
}

impl Head<'_> {
    /// The envelope in wire format, up to the body's bytes.
    pub(crate) fn encode<'h>(
        &self,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        body_bytes: usize,
    ) -> Vec<u8> {
        let texts = self.source.len() + self.secret.len() + self.traceparent.len();
        let mut out = Vec::with_capacity(64 + texts + HEADERS_BYTES_USUAL);
        out.put_u8(VERSION);
        out.put_u8(KIND_WEBHOOK);
        out.put_slice(self.id.as_bytes());
        out.put_i64_le(self.received_at.0);
        let provider: &str = self.provider.name();
        out.put_u8(u8::try_from(provider.len()).unwrap_or(u8::MAX));
        out.put_slice(provider.as_bytes());
        put_text16(&mut out, self.source);
        put_text16(&mut out, self.secret);
        put_text16(&mut out, self.traceparent);
        // The count stands before the headers and is known after them.
        let count_at = out.len();
        out.put_u16_le(0);
        let mut count = 0_u16;
        // Ingest bounds the header count (a hundred) and sizes (kilobytes) far below these limits.
        for (name, value) in headers.take(usize::from(u16::MAX)) {
            put_text16(&mut out, name);
            put_length32(&mut out, value.len());
            out.put_slice(value);
            count += 1;
        }
        out[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
        put_length32(&mut out, body_bytes);
        out
    }
}

impl Heartbeat {
    /// The heartbeat in wire format.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(12 + self.instance.len());
        out.put_u8(VERSION);
        out.put_u8(KIND_HEARTBEAT);
        out.put_i64_le(self.sent_at.0);
        put_text16(&mut out, &self.instance);
        out.freeze()
    }
}

pub(crate) fn put_text16(out: &mut impl BufMut, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "end is at most u16::MAX")]
    out.put_u16_le(end as u16);
    out.put_slice(&text.as_bytes()[..end]);
}

fn put_length32(out: &mut impl BufMut, bytes: usize) {
    // Ingest bounds a body to megabytes; 4 GiB cannot be reached.
    out.put_u32_le(u32::try_from(bytes).unwrap_or(u32::MAX));
}

/// Takes fields off the front of a message and never reads past its end.
pub(crate) struct Reader<'a> {
    bytes: &'a mut Bytes,
    whole: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if self.bytes.len() < length {
            return Err(DecodeError::Length { bytes: self.whole });
        }
        Ok(self.bytes.split_to(length))
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?.get_u8())
    }

    pub(crate) fn millis(&mut self) -> Result<UnixMillis, DecodeError> {
        Ok(UnixMillis(self.take(8)?.get_i64_le()))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(self.take(2)?.get_u16_le())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(self.take(8)?.get_u64_le())
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let bytes = self.take(16)?;
        Ok(Uuid::from_bytes(bytes.as_ref().try_into().map_err(|_| DecodeError::Text)?))
    }

    pub(crate) fn text16(&mut self) -> Result<String, DecodeError> {
        let length = self.u16()?;
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<String, DecodeError> {
        let bytes = self.take(length)?;
        str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Text)
    }

    fn bytes32(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.take(4)?.get_u32_le();
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn envelope(&mut self) -> Result<Envelope, DecodeError> {
        let id = self.uuid()?;
        let received_at = self.millis()?;
        let length = usize::from(self.u8()?);
        let name = self.text(length)?;
        let provider: Provider = name.parse().map_err(|_| DecodeError::Provider(name))?;
        let (source, secret, traceparent) = (self.text16()?, self.text16()?, self.text16()?);
        let count = self.u16()?;
        let mut headers = Vec::with_capacity(usize::from(count).min(64));
        for _ in 0..count {
            headers.push((self.text16()?, self.bytes32()?));
        }
        let body = self.bytes32()?;
        Ok(Envelope { id, received_at, provider, source, secret, traceparent, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            id: Uuid::from_u128(0x0193_5f00_0000_7000_8000_0000_0000_0001),
            received_at: UnixMillis(1_795_316_820_123),
            provider: Provider::Stripe,
            source: "stripe-us".to_owned(),
            secret: "env:STRIPE_US_SECRET".to_owned(),
            traceparent: String::new(),
            headers: vec![("stripe-signature".to_owned(), Bytes::from_static(b"t=1,v1=00"))],
            body: Bytes::from_static(b"{\"id\":\"evt_1\"}\xff"),
        }
    }

    #[test]
    fn a_webhook_survives_the_round_trip_to_the_byte() {
        let message = QueueMessage::Webhook(envelope());
        assert_eq!(QueueMessage::decode(message.encode()), Ok(message));
    }

    #[test]
    fn a_heartbeat_survives_the_round_trip() {
        let message = QueueMessage::Heartbeat(Heartbeat { instance: "a".to_owned(), sent_at: UnixMillis(7) });
        assert_eq!(QueueMessage::decode(message.encode()), Ok(message));
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_and_never_a_panic() {
        let bytes = envelope().encode();
        for end in 0..bytes.len() {
            assert!(QueueMessage::decode(bytes.slice(..end)).is_err(), "cut at {end}");
        }
        let longer = [bytes.as_ref(), b"x"].concat();
        assert_eq!(QueueMessage::decode(longer.into()), Err(DecodeError::Length { bytes: bytes.len() + 1 }));
    }

    /// The first version's bytes, kept for ever: a decoder that cannot read them would lose what is queued.
    #[test]
    fn version_1_is_still_read() {
        let written_by_version_1 = "010101935f000000700080000000000000019ba83801a20100000673747269706509007374726970\
             652d75731400656e763a5354524950455f55535f5345435245540000010010007374726970652d73\
             69676e617475726509000000743d312c76313d30300f0000007b226964223a226576745f31227dff";
        let bytes: Bytes = hex::decode(written_by_version_1).unwrap().into();
        assert_eq!(QueueMessage::decode(bytes), Ok(QueueMessage::Webhook(envelope())));
    }
}
