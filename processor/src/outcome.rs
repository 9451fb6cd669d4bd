//! The one way each message ends. "Where did my webhook go?" always has an answer.

/// How one message of the queue ended; counted once, after it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Outcome {
    /// Normalized, its facts stored.
    Stored,
    /// Normalized to no facts: the provider's event means nothing for payments.
    StoredWithoutFacts,
    /// Kept, but not understood.
    Parked {
        /// Why: a code of [`payments::ParkReason`], `normalize_panicked` or `unreadable_message`. With
        /// `refused_by_store` its other facts are stored.
        reason: &'static str,
    },
    /// A sign of life, stored.
    Heartbeat,
    /// What ingest counted, stored.
    Tally,
}

impl Outcome {
    /// The stable name in metrics and in `webhooks.outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::StoredWithoutFacts => "stored_without_facts",
            Self::Parked { .. } => "parked",
            Self::Heartbeat => "heartbeat",
            Self::Tally => "tally",
        }
    }

    /// Why it was parked, else empty.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Parked { reason } => reason,
            Self::Stored | Self::StoredWithoutFacts | Self::Heartbeat | Self::Tally => "",
        }
    }
}
