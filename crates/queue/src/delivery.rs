//! What a consumer receives, and how it says how much it wants.

use bytes::Bytes;
use std::time::Duration;

/// A place in the queue. A later delivery to one consumer has a greater position, and positions may have gaps. Those of
/// the embedded log go on after a restart; RabbitMQ's are the consumer's own, and begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(crate) u64);

impl Position {
    /// The position as a number, for logs and metrics.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One record on its way to the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands; what [`Consumer::ack`](crate::Consumer::ack) takes.
    pub position: Position,
    /// The bytes as published. A slice of the chunk or the frame it was read in (at most 1 MiB, or one record):
    /// keeping it keeps all of that in memory.
    pub payload: Bytes,
}

/// Deliveries in the order of their positions; at least one.
#[derive(Debug)]
pub struct Batch {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) payload_bytes: usize,
    pub(crate) through: Position,
}

impl Batch {
    /// The deliveries, oldest first.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// The deliveries, oldest first, to own.
    pub fn into_deliveries(self) -> Vec<Delivery> {
        self.deliveries
    }

    /// Sum of the payloads' bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Position of the last delivery: acknowledging it acknowledges the whole batch.
    pub fn through(&self) -> Position {
        self.through
    }
}

/// When a batch is complete: at whichever of these comes first.
#[derive(Clone, Debug)]
pub struct BatchLimits {
    /// Deliveries a batch holds at most; at least 1.
    pub records_max: usize,
    /// Payload bytes a batch holds at most; a single larger record still comes, alone.
    pub bytes_max: usize,
    /// How long after its first record became available an incomplete batch is handed out.
    pub linger: Duration,
}
