//! From messages to what is to be stored: decoded, normalized, sorted by table. Pure and CPU-bound.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use payments::{
    DecodeError, Envelope, Heartbeat, ParkReason, PaymentEvent, Provider, QueueMessage, SourceSettings, Tally,
};
use queue::{Batch, Position};

use crate::outcome::Outcome;

/// One batch, ready to be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What to acknowledge when all of it is stored.
    pub(crate) through: Position,
    pub(crate) webhooks: Vec<Normalized>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A webhook and what it means.
#[derive(Debug)]
pub(crate) struct Normalized {
    pub(crate) envelope: Envelope,
    /// Its facts, without those that were refused.
    pub(crate) facts: Vec<PaymentEvent>,
    /// Why it, or a fact of it, is parked.
    pub(crate) parked: Option<Parked>,
}

/// Why a webhook is parked.
#[derive(Debug)]
pub(crate) struct Parked {
    /// A stable code.
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

/// A message that is none: kept as it is, for whoever finds out why.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) message: Bytes,
    pub(crate) error: DecodeError,
}

/// How an envelope becomes facts: [`Provider::normalize`], but in tests.
pub(crate) type Normalize = fn(&Envelope, &SourceSettings) -> Result<Vec<PaymentEvent>, ParkReason>;

impl From<ParkReason> for Parked {
    fn from(reason: ParkReason) -> Self {
        Self { reason: reason.code(), detail: reason.to_string() }
    }
}

/// Decodes and normalizes a batch. A source that is no longer configured is read with default settings.
pub(crate) fn prepare(batch: Batch, settings: &HashMap<String, SourceSettings>) -> Prepared {
    let mut prepared = Prepared {
        through: batch.through(),
        webhooks: Vec::with_capacity(batch.deliveries().len()),
        heartbeats: Vec::new(),
        tallies: Vec::new(),
        unreadable: Vec::new(),
    };
    let default = SourceSettings::default();
    for delivery in batch.into_deliveries() {
        match QueueMessage::decode(delivery.payload.clone()) {
            Ok(QueueMessage::Webhook(envelope)) => {
                let settings = settings.get(&envelope.source).unwrap_or(&default);
                prepared.webhooks.push(Normalized::new(envelope, settings, Provider::normalize));
            }
            Ok(QueueMessage::Heartbeat(heartbeat)) => prepared.heartbeats.push(heartbeat),
            Ok(QueueMessage::Tally(tally)) => prepared.tallies.push(tally),
            Err(error) => prepared.unreadable.push(Unreadable { message: delivery.payload, error }),
        }
    }
    prepared
}

impl Normalized {
    /// A body that makes the mapping panic would do so again after every restart: it is parked like any other that is
    /// not understood.
    pub(crate) fn new(envelope: Envelope, settings: &SourceSettings, normalize: Normalize) -> Self {
        // Unwind safety: both are only read.
        let facts = match catch_unwind(AssertUnwindSafe(|| normalize(&envelope, settings))) {
            Ok(facts) => facts.map_err(Parked::from),
            Err(panic) => Err(Parked { reason: "normalize_panicked", detail: message(&*panic) }),
        };
        let (facts, parked) = match facts {
            Ok(facts) => (facts, None),
            Err(parked) => (Vec::new(), Some(parked)),
        };
        Self { envelope, facts, parked }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match &self.parked {
            Some(parked) => Outcome::Parked { reason: parked.reason },
            None if self.facts.is_empty() => Outcome::StoredWithoutFacts,
            None => Outcome::Stored,
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use payments::UnixMillis;

    use super::*;

    fn envelope() -> Envelope {
        let mut message = vec![1, 1];
        message.extend_from_slice(&[7; 16]);
        message.extend_from_slice(&1_795_316_820_123_i64.to_le_bytes());
        message.extend_from_slice(b"\x06stripe\x01\x00s\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00{}");
        match QueueMessage::decode(message.into()).unwrap() {
            QueueMessage::Webhook(envelope) => envelope,
            QueueMessage::Heartbeat(_) | QueueMessage::Tally(_) => unreachable!("kind 1 is a webhook"),
        }
    }

    #[test]
    fn a_body_that_makes_the_mapping_panic_is_parked_with_its_message() {
        let normalize: Normalize = |envelope, _| panic!("no field at byte {}", envelope.body.len());
        let webhook = Normalized::new(envelope(), &SourceSettings::default(), normalize);
        assert_eq!(webhook.outcome(), Outcome::Parked { reason: "normalize_panicked" });
        assert_eq!(webhook.parked.unwrap().detail, "no field at byte 2");
        assert_eq!((webhook.envelope.body.as_ref(), webhook.facts.len()), (&b"{}"[..], 0));
    }

    #[test]
    fn what_the_mapping_says_is_kept() {
        let settings = SourceSettings::default();
        let understood = Normalized::new(envelope(), &settings, |envelope, _| {
            let kind = payments::Kind::Authorization;
            Ok(vec![PaymentEvent::new("e", 0, kind, payments::Outcome::Approved, envelope.received_at)])
        });
        assert_eq!((understood.outcome(), understood.facts.len()), (Outcome::Stored, 1));
        assert_eq!(understood.facts[0].occurred_at, UnixMillis(1_795_316_820_123));
        let nothing = Normalized::new(envelope(), &settings, |_, _| Ok(Vec::new()));
        assert_eq!(nothing.outcome(), Outcome::StoredWithoutFacts);
        let broken =
            Normalized::new(envelope(), &settings, |_, _| Err(ParkReason::InvalidJson("x".to_owned())));
        assert_eq!(broken.outcome(), Outcome::Parked { reason: "invalid_json" });
    }
}
