//! A dead letter, read.

use axum::body::Bytes;
use payments::{DecodeError, Envelope, QueueMessage, UnixMillis};
use queue::rabbitmq::dead_letters::DeadLetter;
use uuid::Uuid;

/// What a record of it is.
pub(super) enum Record {
    Webhook(Box<Envelope>),
    /// Our own: a heartbeat or a tally.
    Ours,
    Unreadable(Bytes, DecodeError),
}

pub(super) struct Letter {
    pub(super) dead: DeadLetter,
    /// At least one.
    pub(super) records: Vec<Record>,
}

impl Letter {
    pub(super) fn new(dead: DeadLetter) -> Self {
        let records = dead.records.iter().map(|record| match QueueMessage::decode(record.clone()) {
            Ok(QueueMessage::Webhook(envelope)) => Record::Webhook(Box::new(envelope)),
            Ok(QueueMessage::Heartbeat(_) | QueueMessage::Tally(_)) => Record::Ours,
            Err(error) => Record::Unreadable(record.clone(), error),
        });
        Self { records: records.collect(), dead }
    }

    /// Whether it holds the webhook of this id.
    pub(super) fn is(&self, id: Uuid) -> bool {
        self.records.iter().any(|record| record.id() == id)
    }

    /// Of its first webhook; one that cannot be read has the id under which it would be parked.
    pub(super) fn id(&self) -> Uuid {
        self.records.first().map(Record::id).unwrap_or_default()
    }

    pub(super) fn webhooks(&self) -> impl Iterator<Item = &Envelope> {
        self.records.iter().filter_map(|record| match record {
            Record::Webhook(envelope) => Some(&**envelope),
            Record::Ours | Record::Unreadable(..) => None,
        })
    }

    /// Whether a webhook of it is of this source; `-`: it holds none that can be read.
    pub(super) fn is_of(&self, source: &str) -> bool {
        self.source() == source || self.webhooks().any(|envelope| envelope.source == source)
    }

    /// Whether all its webhooks are of this source.
    pub(super) fn is_of_no_other_than(&self, source: &str) -> bool {
        self.webhooks().all(|envelope| envelope.source == source)
    }

    /// Of its first webhook.
    pub(super) fn source(&self) -> &str {
        self.webhooks().next().map_or("-", |envelope| envelope.source.as_str())
    }

    /// When it died, if that is known.
    pub(super) fn died_at(&self) -> Option<UnixMillis> {
        let step = self.dead.history.last()?;
        Some(UnixMillis(i64::try_from(step.at).ok()?.checked_mul(1_000)?))
    }

    pub(super) fn line(&self) -> String {
        let died = self.died_at().map_or_else(|| "-".to_owned(), |at| at.to_string());
        let more = match self.records.len() {
            0 | 1 => String::new(),
            records => format!(" ({records} in one message)"),
        };
        format!("{died}  {}  {}  {}{more}", self.id(), self.source(), self.dead.reason)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let ids: Vec<String> = self.records.iter().map(|record| record.id().to_string()).collect();
        serde_json::json!({
            "died_at": self.died_at().map(|at| at.to_string()),
            "webhook_ids": ids,
            "source": self.source(),
            "provider": self.webhooks().next().map(|envelope| envelope.provider.name()),
            "received_at": self.webhooks().next().map(|envelope| envelope.received_at.to_string()),
            "reason": self.dead.reason,
            "steps": self.dead.history.len(),
        })
    }
}

impl Record {
    pub(super) fn id(&self) -> Uuid {
        match self {
            Self::Webhook(envelope) => envelope.id,
            Self::Ours => Uuid::nil(),
            Self::Unreadable(bytes, _) => store::rows::unreadable_id(bytes),
        }
    }
}
