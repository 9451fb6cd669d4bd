//! What becomes of a message that cannot be handled like the others.
//!
//! The broker delivers a message again when the processor that had it, or the connection, or the broker itself was gone,
//! and counts how often (`x-delivery-count`; a restart of RabbitMQ 3.10 counts twice). Most of what comes back was only
//! near the cause, so nothing is given up for it:
//!
//! 1. A message that came back to its lane [`CAME_BACK_MAX`] times goes, as it is, to the queue `alone`.
//! 2. From there one message at a time is processed, with nothing else under way: if that ends a processor, it was this
//!    one. A frame that came back [`CAME_BACK_ALONE_MAX`] times is split; a single record rests for a growing while in one of the
//!    `retry` queues and then is tried alone again.
//! 3. A record that failed after every rest is dead: it goes to the queue `dead` with reason and history.
//!
//! A frame of a later version rests like that too, whole, since a later processor may be on its way; a damaged one is
//! dead at once.
//!
//! Invariant: a message is acknowledged only after the broker confirmed all of what it became. A processor that ends
//! between the two leaves both, and the store counts them once.

use super::frame::{self, FrameError};
use super::topology::Topology;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a message may come back before it is taken out of its lane: two restarts of the broker in a row are no
/// reason yet.
pub const CAME_BACK_MAX: u64 = 5;
/// How often before what is taken alone has failed.
pub const CAME_BACK_ALONE_MAX: u64 = 3;

/// Header: how often the message failed alone.
pub const FAILURES_HEADER: &str = "x-tillwatch-failures";
/// Header: why the message is where it is.
pub const REASON_HEADER: &str = "x-tillwatch-reason";
/// Header: all that happened to it, oldest first; tables of `at` (seconds), `queue` and `reason`.
pub const HISTORY_HEADER: &str = "x-tillwatch-history";

/// A message as it was delivered.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) queue: String,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
    pub(super) is_alone: bool,
}

/// What to do with it.
#[derive(Debug)]
pub(super) enum Fate {
    /// Its records are processed.
    Process(Vec<Bytes>),
    /// It becomes other messages.
    Move(Move),
}

/// Messages to publish before the one they come from is acknowledged.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) to: String,
    pub(super) bodies: Vec<Bytes>,
    pub(super) are_frames: bool,
    pub(super) headers: FieldTable,
    pub(super) reason: String,
}

impl Delivered {
    pub(super) fn fate(self, topology: &Topology) -> Fate {
        let is_frame = self.is_frame();
        let records = if is_frame { frame::records(self.body.clone()) } else { Ok(vec![self.body.clone()]) };
        let came_back = self.came_back();
        match records {
            Err(error @ FrameError::Version(_)) => self.failed(topology, error.to_string()),
            Err(error) => self.moved(topology.dead_letters(), vec![self.body.clone()], 0, error.to_string()),
            Ok(records) if came_back < self.came_back_max() => Fate::Process(records),
            Ok(_) if !self.is_alone => {
                let reason = format!("came back {came_back} times without being stored");
                self.moved(topology.alone(), vec![self.body.clone()], self.failures(), reason)
            }
            Ok(records) if records.len() > 1 => {
                let reason = format!("came back {came_back} times alone, in a frame of {}", records.len());
                self.split(topology.alone(), records, reason)
            }
            Ok(_) => self.failed(topology, format!("came back {came_back} times alone without being stored")),
        }
    }

    fn came_back_max(&self) -> u64 {
        if self.is_alone { CAME_BACK_ALONE_MAX } else { CAME_BACK_MAX }
    }

    fn is_frame(&self) -> bool {
        frame::is_frame(&self.properties)
    }

    /// How often it was delivered before. RabbitMQ 3.10 and 4.0 count every return in `x-delivery-count`; from 4.3 on that
    /// is what the broker takes for a failure, and the other header counts all.
    pub(super) fn came_back(&self) -> u64 {
        let count = |header| self.header(header).and_then(integer).unwrap_or(0);
        count("x-delivery-count").max(count("x-acquired-count"))
    }

    fn failures(&self) -> usize {
        self.header(FAILURES_HEADER)
            .and_then(integer)
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&AMQPValue> {
        header(&self.properties, name)
    }

    fn failed(self, topology: &Topology, reason: String) -> Fate {
        let failures = self.failures() + 1;
        let to = topology.retry(failures).unwrap_or_else(|| topology.dead_letters());
        self.moved(to, vec![self.body.clone()], failures, reason)
    }

    fn moved(&self, to: String, bodies: Vec<Bytes>, failures: usize, reason: String) -> Fate {
        let headers = self.headers(failures, &reason);
        Fate::Move(Move { to, bodies, are_frames: self.is_frame(), headers, reason })
    }

    fn split(&self, to: String, records: Vec<Bytes>, reason: String) -> Fate {
        let headers = self.headers(self.failures(), &reason);
        Fate::Move(Move { to, bodies: records, are_frames: false, headers, reason })
    }

    fn headers(&self, failures: usize, reason: &str) -> FieldTable {
        let history = noted(&self.properties, &self.queue, reason);
        let mut headers = FieldTable::default();
        let failures = i64::try_from(failures).unwrap_or(i64::MAX);
        headers.insert(FAILURES_HEADER.into(), AMQPValue::LongLongInt(failures));
        headers.insert(REASON_HEADER.into(), text(reason));
        headers.insert(HISTORY_HEADER.into(), AMQPValue::FieldArray(history));
        headers
    }
}

/// One thing that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in seconds since 1970.
    pub at: u64,
    /// In which queue it was.
    pub queue: String,
    /// What was found.
    pub reason: String,
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// A message's history, and one thing more.
#[expect(clippy::disallowed_methods, reason = "a note for people, on which nothing depends")]
pub(super) fn noted(properties: &BasicProperties, queue: &str, reason: &str) -> FieldArray {
    let mut history = match header(properties, HISTORY_HEADER) {
        Some(AMQPValue::FieldArray(history)) => history.clone(),
        _ => FieldArray::default(),
    };
    let mut now = FieldTable::default();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    now.insert("at".into(), AMQPValue::Timestamp(seconds));
    now.insert("queue".into(), text(queue));
    now.insert("reason".into(), text(reason));
    history.push(AMQPValue::FieldTable(now));
    history
}

/// Why a message is where it is; what the broker itself moved has no reason of ours.
pub(super) fn reason(properties: &BasicProperties) -> String {
    let ours = header(properties, REASON_HEADER).map(words);
    ours.unwrap_or_else(|| "the broker gave it up after too many deliveries".to_owned())
}

/// What happened to a message, oldest first.
pub(super) fn history(properties: &BasicProperties) -> Vec<Step> {
    let Some(AMQPValue::FieldArray(history)) = header(properties, HISTORY_HEADER) else { return Vec::new() };
    let steps = history.as_slice().iter().filter_map(|step| {
        let AMQPValue::FieldTable(step) = step else { return None };
        let step = step.inner();
        let at = match step.get("at") {
            Some(AMQPValue::Timestamp(at)) => *at,
            _ => 0,
        };
        let of = |name: &str| step.get(name).map(words).unwrap_or_default();
        Some(Step { at, queue: of("queue"), reason: of("reason") })
    });
    steps.collect()
}

fn words(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Whatever width the broker chose.
fn integer(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::ShortShortInt(value) => u64::try_from(value).ok(),
        AMQPValue::ShortShortUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => u64::try_from(value).ok(),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        AMQPValue::LongInt(value) => u64::try_from(value).ok(),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::LongLongInt(value) => u64::try_from(value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rabbitmq::frame::FrameWriter;

    fn topology() -> Topology {
        Topology::new("q", 1)
    }

    fn framed(records: &[&[u8]]) -> Bytes {
        let mut frame = FrameWriter::with_capacity(0);
        for record in records {
            assert!(frame.push(&[record]));
        }
        frame.finish().unwrap().into()
    }

    fn delivered(body: Bytes, is_alone: bool, came_back: i64, mut headers: FieldTable) -> Delivered {
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(came_back));
        let mut properties = BasicProperties::default().with_headers(headers);
        if body.starts_with(b"TWF") {
            properties = properties.with_content_type(frame::CONTENT_TYPE.into());
        }
        Delivered { queue: "q.0".to_owned(), body, properties, is_alone }
    }

    fn moved(message: Delivered) -> Move {
        match message.fate(&topology()) {
            Fate::Move(moved) => moved,
            Fate::Process(records) => panic!("{records:?} are processed"),
        }
    }

    #[test]
    fn what_came_back_a_few_times_is_processed_and_then_it_is_taken_alone_whole() {
        for came_back in [0, 4] {
            let message = delivered(framed(&[b"a", b"b"]), false, came_back, FieldTable::default());
            assert!(matches!(message.fate(&topology()), Fate::Process(records) if records == ["a", "b"]));
        }
        let frame = framed(&[b"a", b"b"]);
        let moved = moved(delivered(frame.clone(), false, 5, FieldTable::default()));
        assert_eq!((moved.to.as_str(), moved.are_frames, moved.bodies), ("q.alone", true, vec![frame]));
    }

    #[test]
    fn a_frame_that_fails_alone_is_split_and_a_record_rests_longer_and_longer_until_it_is_dead() {
        let parts = moved(delivered(framed(&[b"a", b"b"]), true, 3, FieldTable::default()));
        assert_eq!((parts.to.as_str(), parts.are_frames), ("q.alone", false));
        assert_eq!(parts.bodies, ["a", "b"]);
        let mut headers = parts.headers;
        for to in ["q.retry.10s", "q.retry.60s", "q.retry.600s", "q.dead"] {
            let moved = moved(delivered(Bytes::from("a"), true, 3, headers));
            assert_eq!((moved.to.as_str(), moved.bodies), (to, vec![Bytes::from("a")]));
            headers = moved.headers;
        }
        let AMQPValue::FieldArray(history) = &headers.inner()[HISTORY_HEADER] else { panic!("{headers:?}") };
        assert_eq!(history.as_slice().len(), 5);
    }

    #[test]
    fn a_later_version_rests_whole_and_damage_is_dead_at_once() {
        let mut later = framed(&[b"a", b"b"]).to_vec();
        later[3] = 9;
        let rests = moved(delivered(later.into(), false, 0, FieldTable::default()));
        assert_eq!((rests.to.as_str(), rests.are_frames), ("q.retry.10s", true));
        assert!(rests.reason.contains("version 9"), "{}", rests.reason);
        let mut damaged = framed(&[b"a", b"b"]).to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let dead = moved(delivered(damaged.into(), false, 0, FieldTable::default()));
        assert_eq!((dead.to.as_str(), dead.are_frames), ("q.dead", true));
    }
}
