//! HTTP in, envelopes out.
//!
//! ```text
//! connection ─▶ server: limits on connections, head size, read time
//!   request  ─▶ admission: known source? its rate, its requests in flight, memory for its body
//!            ─▶ body: size, read time
//!            ─▶ verify: the raw bytes, before anything parses them
//!            ─▶ publish: durable
//!            ─▶ tally: counted as acknowledged
//!            ─▶ 200
//! ```
//!
//! Invariant: 200 is answered only after the queue said the envelope is durable; a 4xx is never our own fault.

mod admission;
mod answer;
mod heartbeat;
mod observations;
mod queue_observations;
mod server;
mod sources;
mod spool_observations;
mod tallies;
mod tally;
mod trace;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use queue::Publisher;
use runtime::config::IngestConfig;
use runtime::telemetry::Telemetry;
use runtime::{HealthHandle, Lifecycle, SharedClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use answer::Answer;
pub use queue_observations::CommitObservations;
pub use sources::{SourceError, Sources};

use crate::heartbeat::Heartbeats;
use crate::observations::Observations;
use crate::tallies::Tallies;
use crate::webhooks::Receiver;

/// What ingest needs to run.
#[derive(Debug)]
pub struct Ingest {
    /// Limits and timeouts.
    pub config: IngestConfig,
    /// The configured sources, their keys prepared.
    pub sources: Sources,
    /// Where envelopes go.
    pub publisher: Publisher,
    /// Name of this process in heartbeats and tallies.
    pub instance: String,
    /// The time.
    pub clock: SharedClock,
    /// Metrics and traces.
    pub telemetry: Telemetry,
    /// This part's readiness.
    pub health: HealthHandle,
}

/// Serves webhooks on `listener` until the soft token is cancelled, then finishes the requests in hand and sends the last
/// tallies.
pub async fn run(ingest: Ingest, listener: TcpListener, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let observations = Observations::new(&ingest.telemetry);
    queue_observations::watch_queue(&ingest.telemetry, &ingest.publisher);
    let leaving = Arc::new(AtomicBool::new(false));
    let heartbeats = Heartbeats {
        publisher: ingest.publisher.clone(),
        instance: ingest.instance.clone(),
        interval: Duration::from_millis(ingest.config.heartbeat_interval_ms),
        clock: Arc::clone(&ingest.clock),
        health: ingest.health.clone(),
        leaving: Arc::clone(&leaving),
    };
    lifecycle.spawn("heartbeats", heartbeats.run(lifecycle.soft().clone()));
    let (health, config) = (ingest.health.clone(), ingest.config.clone());
    let tallies = Arc::new(Tallies {
        sources: ingest.sources.tallies(),
        publisher: ingest.publisher.clone(),
        instance: ingest.instance.clone(),
        interval: Duration::from_millis(config.heartbeat_interval_ms),
        clock: Arc::clone(&ingest.clock),
    });
    let (sending, soft) = (Arc::clone(&tallies), lifecycle.soft().clone());
    lifecycle.spawn("tallies", async move {
        sending.run(soft).await;
        Ok(())
    });
    let router = Receiver::new(ingest, observations).into_router();
    health.ready();
    lifecycle.spawn_detached(leave(lifecycle.leaving().clone(), Arc::clone(&leaving), health));
    server::serve(listener, router, &config, &leaving, &lifecycle).await;
    tokio::select! {
        biased;
        () = lifecycle.hard().cancelled() => {}
        () = tallies.send() => {}
    }
    Ok(())
}

/// Says that this process goes, as soon as it is to go.
async fn leave(announced: CancellationToken, leaving: Arc<AtomicBool>, health: HealthHandle) {
    announced.cancelled().await;
    leaving.store(true, Ordering::Relaxed);
    health.not_ready("draining");
}
