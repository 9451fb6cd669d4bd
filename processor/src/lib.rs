//! Envelopes in, rows out.
//!
//! ```text
//! queue ──receive──▶ prepare: decode, normalize ──▶ insert: events, parked, webhooks, tallies, heartbeats ──▶ ack
//! ```
//!
//! While one batch is inserted the next is received and prepared, so at most three batches are in memory: one
//! being read, one prepared, one being inserted.
//!
//! Invariant: a position is acknowledged to the queue only after everything up to it is stored. A crash anywhere
//! delivers again what was not acknowledged, and the tables count it once.

mod insert;
mod observations;
mod outcome;
mod pauses;
mod pipeline;
mod prepare;
mod replay;
mod sift;
mod trace;

use std::collections::HashMap;

use payments::SourceSettings;
use queue::Consumer;
use runtime::config::ProcessorConfig;
use runtime::telemetry::Telemetry;
use runtime::{HealthHandle, Lifecycle, SharedClock};
use store::Store;

pub use outcome::Outcome;
pub use replay::{Replay, stage};

use crate::pipeline::Pipeline;

/// What the processor needs to run.
#[derive(Debug)]
pub struct Processor {
    /// Batches and retries.
    pub config: ProcessorConfig,
    /// How each source is to be read.
    pub settings: HashMap<String, SourceSettings>,
    /// Where envelopes come from.
    pub consumer: Consumer,
    /// Where rows go.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// Metrics and traces.
    pub telemetry: Telemetry,
    /// This part's readiness.
    pub health: HealthHandle,
}

/// Processes until the soft token is cancelled, then finishes the insert in hand.
pub async fn run(processor: Processor, lifecycle: Lifecycle) -> anyhow::Result<()> {
    Pipeline::new(processor).run(lifecycle.soft()).await
}
