//! From messages to what is to be stored: decoded, normalized, sorted by table. Pure and CPU-bound.

use std::collections::HashMap;

use bytes::Bytes;
use payments::{
    DecodeError, Envelope, Heartbeat, ParkReason, PaymentEvent, Provider, QueueMessage, SourceSettings,
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
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A webhook and what it means.
#[derive(Debug)]
pub(crate) struct Normalized {
    pub(crate) envelope: Envelope,
    pub(crate) facts: Result<Vec<PaymentEvent>, ParkReason>,
}

/// A message that is none: kept as it is, for whoever finds out why.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) message: Bytes,
    pub(crate) error: DecodeError,
}

/// Decodes and normalizes a batch. A source that is no longer configured is read with default settings.
pub(crate) fn prepare(batch: Batch, settings: &HashMap<String, SourceSettings>) -> Prepared {
    let mut prepared = Prepared {
        through: batch.through(),
        webhooks: Vec::with_capacity(batch.deliveries().len()),
        heartbeats: Vec::new(),
        unreadable: Vec::new(),
    };
    let default = SourceSettings::default();
    for delivery in batch.into_deliveries() {
        match QueueMessage::decode(delivery.payload.clone()) {
            Ok(QueueMessage::Webhook(envelope)) => {
                let settings = settings.get(&envelope.source).unwrap_or(&default);
                let facts = Provider::normalize(&envelope, settings);
                prepared.webhooks.push(Normalized { envelope, facts });
            }
            Ok(QueueMessage::Heartbeat(heartbeat)) => prepared.heartbeats.push(heartbeat),
            Err(error) => prepared.unreadable.push(Unreadable { message: delivery.payload, error }),
        }
    }
    prepared
}

impl Normalized {
    pub(crate) fn outcome(&self) -> Outcome {
        match &self.facts {
            Ok(facts) if facts.is_empty() => Outcome::StoredWithoutFacts,
            Ok(_) => Outcome::Stored,
            Err(reason) => Outcome::Parked { reason: reason.code() },
        }
    }

    /// Its facts; none if it is parked.
    pub(crate) fn facts(&self) -> &[PaymentEvent] {
        self.facts.as_deref().unwrap_or_default()
    }
}
