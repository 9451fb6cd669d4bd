//! `tillwatch load`: how fast webhooks are acknowledged.
//!
//! Every request is a new event with ids of its own (but for the duplicates that were asked for), so what was stored
//! can be counted against the ledger. Everything runs on one thread of its own: a generator that competes with the
//! server for every core measures itself.

mod compare;
mod cpu;
pub mod floor;
mod pace;
mod pool;
mod progress;
mod recorder;
mod report;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use runtime::SharedClock;
use tokio_util::sync::CancellationToken;

use crate::http::Target;
use crate::ledger::LedgerError;
use crate::providers::{SignerError, SimulatedSource};

pub use compare::Comparison;
pub use cpu::process_cpu;
pub use pace::Pace;
pub use report::{Latencies, LoadReport, SourceFacts};

/// How a load test is run.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Of the world.
    pub seed: u64,
    /// Where ingest listens.
    pub target: Target,
    /// Whose webhooks are posted, in the proportions of the simulated traffic.
    pub sources: Vec<SimulatedSource>,
    /// Flat out, or at a rate.
    pub pace: Pace,
    /// Connections, and so requests at once.
    pub connections: usize,
    /// Measured time; the warm-up comes before it.
    pub duration: Duration,
    /// Load that is not measured.
    pub warm_up: Duration,
    /// Share of events that are sent a second time, signed anew.
    pub duplicate_share: f64,
    /// Send what was not acknowledged again, until it is (for tests that kill the server). Otherwise it is an error.
    pub retry: bool,
    /// After the end, how long answers are waited for, and retries made.
    pub drain: Duration,
    /// A request that is not answered in this time is an error.
    pub request_timeout: Duration,
    /// Where the truth is written. Writing it costs the generator about as much again as sending.
    pub ledger: Option<PathBuf>,
    /// Process of the server, to tell its processor time per request.
    pub server_pid: Option<u32>,
}

/// A load test that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nowhere to post to.
    #[error("no sources: load is posted to the sources of the configuration")]
    NoSources,
    /// A rate that is not a rate.
    #[error("the rate must be between 0.1 and 1000000 requests a second, not {0}")]
    Rate(f64),
    /// None, or more than there are ports.
    #[error("connections must be between 1 and 20000, not {0}")]
    Connections(usize),
    /// A secret that cannot sign.
    #[error("cannot sign")]
    Signer(#[from] SignerError),
    /// The ledger.
    #[error("cannot keep the ledger")]
    Ledger(#[from] LedgerError),
    /// The generator's thread or its runtime.
    #[error("cannot start the load generator")]
    Start(#[source] std::io::Error),
    /// The generator ended without a result.
    #[error("the load generator died")]
    Died,
}

impl LoadConfig {
    /// Flat out for ten seconds over 64 connections.
    pub fn new(seed: u64, target: Target, sources: Vec<SimulatedSource>) -> Self {
        Self {
            seed,
            target,
            sources,
            pace: Pace::FlatOut,
            connections: 64,
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(2),
            duplicate_share: 0.0,
            retry: false,
            drain: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            ledger: None,
            server_pid: None,
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        if self.sources.is_empty() {
            return Err(LoadError::NoSources);
        }
        if !(1..=20_000).contains(&self.connections) {
            return Err(LoadError::Connections(self.connections));
        }
        match self.pace {
            Pace::PerSecond(rate) if !(0.1..=1_000_000.0).contains(&rate) => Err(LoadError::Rate(rate)),
            Pace::PerSecond(_) | Pace::FlatOut => Ok(()),
        }
    }
}

/// Runs a load test, or until `stop` is cancelled: then what is under way is waited for and reported.
pub async fn run(
    config: LoadConfig,
    clock: SharedClock,
    stop: CancellationToken,
) -> Result<LoadReport, LoadError> {
    config.check()?;
    let (done, result) = tokio::sync::oneshot::channel();
    let generate = move || {
        let outcome = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LoadError::Start)
            .and_then(|runtime| runtime.block_on(worker::generate(config, clock, stop)));
        // The caller may have gone away; then nobody wants the result.
        let _ = done.send(outcome);
    };
    std::thread::Builder::new().name("load".to_owned()).spawn(generate).map_err(LoadError::Start)?;
    result.await.map_err(|_| LoadError::Died)?
}

#[cfg(test)]
mod tests;
