//! Streams the result of a SELECT: held while it is small, then handed over piece by piece, so that
//! memory stays bounded whatever the size of the result.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::exception::{Exception, code};
use super::execute::{Answer, Plain, Reply, whole};
use super::outcome::{Output, Stats};
use super::session::Session;

/// A result up to this size is held and answered with its length and its numbers, and its failure
/// with a proper error status.
const HELD_BYTES_MAX: usize = 1 << 20;
/// Pieces of a streamed result that may wait for a slow reader. A piece is one block of the engine: up to
/// 65,409 rows.
const PIECES_WAITING: usize = 1;

/// Runs the SELECT. Returning early drops the engine's stream, which cancels the query.
pub(super) fn run(session: &mut Session, plain: &Plain, format: String, runtime: &Handle, reply: Reply) {
    let mut sink = Sink {
        state: State::Held { reply, bytes: Vec::new() },
        format,
        stats: Stats::default(),
        idle_max: plain.client_idle_max,
        runtime,
    };
    let outcome = pieces(session, plain, &mut sink);
    if outcome.is_err() || sink.is_gone() {
        session.use_up();
    }
    match outcome {
        Ok(()) => sink.finish(),
        Err(error) => sink.fail(error),
    }
}

fn pieces(session: &mut Session, plain: &Plain, sink: &mut Sink<'_>) -> Result<(), Exception> {
    let mut header = None;
    let mut select = session
        .connection()
        .select(&plain.sql, &sink.format, &plain.scope.params)
        .map_err(Exception::from_engine)?;
    while let Some(piece) = select.next() {
        let output = piece.map_err(Exception::from_engine)?;
        sink.take(without_header(output, &sink.format, &mut header)?);
        if sink.is_gone() {
            break;
        }
    }
    Ok(())
}

/// Where the pieces go.
struct Sink<'r> {
    state: State,
    format: String,
    stats: Stats,
    idle_max: Duration,
    runtime: &'r Handle,
}

enum State {
    /// Not answered yet.
    Held { reply: Reply, bytes: Vec<u8> },
    /// The answer has begun.
    Streaming(mpsc::Sender<Result<Bytes, Exception>>),
    /// The client does not read on.
    Gone,
}

impl Sink<'_> {
    fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    fn take(&mut self, output: Output) {
        self.stats.add(output.stats);
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Held { reply, mut bytes } => {
                bytes.extend_from_slice(&output.bytes);
                if bytes.len() > HELD_BYTES_MAX {
                    self.begin(reply, bytes)
                } else {
                    State::Held { reply, bytes }
                }
            }
            State::Streaming(rest) => self.send(rest, Ok(output.bytes.into())),
            State::Gone => State::Gone,
        };
    }

    fn begin(&self, reply: Reply, bytes: Vec<u8>) -> State {
        let (rest, receiver) = mpsc::channel(PIECES_WAITING);
        let (format, stats) = (self.format.clone(), self.stats);
        let answer = Answer { format, first: bytes.into(), rest: Some(receiver), stats };
        if reply.send(Ok(answer)).is_ok() { State::Streaming(rest) } else { State::Gone }
    }

    /// Hands a piece to the reader, waiting a bounded time for room.
    fn send(&self, rest: mpsc::Sender<Result<Bytes, Exception>>, piece: Result<Bytes, Exception>) -> State {
        let sent =
            self.runtime.block_on(async { tokio::time::timeout(self.idle_max, rest.send(piece)).await });
        if matches!(sent, Ok(Ok(()))) { State::Streaming(rest) } else { State::Gone }
    }

    fn finish(self) {
        if let State::Held { reply, bytes } = self.state {
            // The client may be gone.
            let _ = reply.send(Ok(whole(self.format, Output { bytes, stats: self.stats })));
        }
    }

    fn fail(mut self, error: Exception) {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Held { reply, .. } => drop(reply.send(Err(error))),
            State::Streaming(rest) => drop(self.send(rest, Err(error))),
            State::Gone => {}
        }
    }
}

/// Cuts off the header (column names and types) that the engine repeats in every piece after the first.
fn without_header(
    mut output: Output,
    format: &str,
    header: &mut Option<Vec<u8>>,
) -> Result<Output, Exception> {
    let lists = match format {
        "RowBinaryWithNames" => 1,
        "RowBinaryWithNamesAndTypes" => 2,
        _ => return Ok(output),
    };
    let broken = || {
        let message = "A piece of the result does not begin with its header";
        Exception::new(code::STD_EXCEPTION, "STD_EXCEPTION", message)
    };
    match header {
        None => {
            let length = header_length(&output.bytes, lists).ok_or_else(broken)?;
            *header = Some(output.bytes[..length].to_vec());
        }
        Some(header) if output.bytes.starts_with(header) => {
            output.bytes.drain(..header.len());
        }
        Some(_) => return Err(broken()),
    }
    Ok(output)
}

/// Length of `count, count strings of names[, count strings of types]`, lengths as LEB128.
fn header_length(bytes: &[u8], lists: usize) -> Option<usize> {
    let mut at = 0;
    let columns = leb128(bytes, &mut at)?;
    for _ in 0..columns.checked_mul(lists)? {
        let length = leb128(bytes, &mut at)?;
        at = at.checked_add(length).filter(|end| *end <= bytes.len())?;
    }
    Some(at)
}

fn leb128(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
