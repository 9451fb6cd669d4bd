//! `tillwatch simulate`: the world lives, and its providers post.

mod progress;
mod report;
mod simulation;

use std::path::PathBuf;
use std::time::Duration;

use payments::UnixMillis;
use runtime::SharedClock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::progress::Progress;
use self::simulation::{Delivery, Simulation};
use crate::http::{Answer, Connection, Target, post, write_request};
use crate::ledger::LedgerError;
use crate::providers::{Signer, SignerError, SimulatedSource};
use crate::scenario::{ScenarioConfig, ScenarioKind};
use crate::schedule::ScheduleConfig;

pub use report::{Report, ReportTotal};

/// How a simulation is run.
#[derive(Clone, Debug)]
pub struct SimulateConfig {
    /// Of the world: same seed and start, same payments.
    pub seed: u64,
    /// Where ingest listens.
    pub target: Target,
    /// Whose webhooks are posted.
    pub sources: Vec<SimulatedSource>,
    /// Webhooks a second, on average.
    pub rate_per_s: f64,
    /// Stop after this time; `None` runs until it is stopped.
    pub duration: Option<Duration>,
    /// What goes wrong, and when.
    pub scenario: ScenarioConfig,
    /// How providers deliver.
    pub schedule: ScheduleConfig,
    /// Begin with the payments of this long before the start, so that charts are not empty. Their webhooks are posted
    /// as fast as they are acknowledged, so volumes by arrival rise for a moment; zero leaves them out.
    pub backfill: Duration,
    /// Whether the rate follows the hours of the day; otherwise it is the same around the clock.
    pub daily_curve: bool,
    /// Requests at once.
    pub connections: usize,
    /// After `duration`, how long what is not yet acknowledged is still retried.
    pub drain: Duration,
    /// Where the truth is written.
    pub ledger: Option<PathBuf>,
}

/// A simulation that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Nowhere to post to.
    #[error("no sources: the simulator posts to the sources of the configuration")]
    NoSources,
    /// A rate that is not a rate.
    #[error("the rate must be between 0.01 and 2000 webhooks a second, not {0} (`load` sends more)")]
    Rate(f64),
    /// A secret that cannot sign.
    #[error("cannot sign")]
    Signer(#[from] SignerError),
    /// The ledger.
    #[error("cannot keep the ledger")]
    Ledger(#[from] LedgerError),
}

impl SimulateConfig {
    /// The demo: 70 webhooks a second, until stopped.
    pub fn new(seed: u64, target: Target, sources: Vec<SimulatedSource>) -> Self {
        Self {
            seed,
            target,
            sources,
            rate_per_s: 70.0,
            duration: None,
            scenario: ScenarioConfig::new(ScenarioKind::Steady),
            schedule: ScheduleConfig::default(),
            backfill: Duration::ZERO,
            daily_curve: false,
            connections: 32,
            drain: Duration::from_mins(1),
            ledger: None,
        }
    }
}

/// Longest sleep between two looks at the world.
const LOOK_MS_MAX: u64 = 50;

/// Runs until the duration is over or `stop` is cancelled. A stop lets the requests under way end and sends no more;
/// an end by duration goes on until everything that occurred is acknowledged, or `drain` is over.
pub async fn run(
    config: SimulateConfig,
    clock: SharedClock,
    stop: CancellationToken,
) -> Result<Report, SimulateError> {
    let signers: Vec<Signer> = config.sources.iter().map(Signer::new).collect::<Result<_, _>>()?;
    let heads: Vec<Vec<u8>> = config.sources.iter().map(|source| config.target.head(&source.name)).collect();
    let mut simulation = Simulation::new(&config, clock.now())?;
    let mut progress = Progress::start(&config, clock.now());
    let mut posts: JoinSet<Posted> = JoinSet::new();
    let mut idle: Vec<Connection> = Vec::new();
    loop {
        let now = clock.now();
        if stop.is_cancelled() {
            simulation.stop();
        }
        simulation.advance(now)?;
        while posts.len() < config.connections.max(1) {
            let Some(delivery) = simulation.next_due(now)? else { break };
            let sender = Sender {
                signer: signers[delivery.source].clone(),
                head: heads[delivery.source].clone(),
                target: config.target.clone(),
                timeout: config.schedule.request_timeout,
                connection: idle.pop(),
            };
            posts.spawn(sender.post(delivery, now));
        }
        if posts.is_empty() && simulation.is_over(now) {
            break;
        }
        progress.show(&simulation, now);
        let nap = Duration::from_millis(simulation.idle_ms(now).clamp(1, LOOK_MS_MAX));
        tokio::select! {
            Some(posted) = posts.join_next() => {
                // A task that panicked has no delivery to give back; the panic goes on here.
                let posted = posted.map_err(tokio::task::JoinError::into_panic);
                let posted = posted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                idle.extend(posted.connection);
                simulation.answered(posted.delivery, posted.answer, clock.now())?;
            }
            () = tokio::time::sleep(nap) => {}
        }
    }
    progress.finish();
    Ok(simulation.finish(clock.now())?)
}

/// Posts one delivery.
struct Sender {
    signer: Signer,
    head: Vec<u8>,
    target: Target,
    timeout: Duration,
    connection: Option<Connection>,
}

struct Posted {
    delivery: Delivery,
    answer: Answer,
    connection: Option<Connection>,
}

impl Sender {
    async fn post(self, mut delivery: Delivery, now: UnixMillis) -> Posted {
        let headers = self.signer.sign(&mut delivery.webhook, now);
        let mut request = Vec::new();
        write_request(&mut request, &self.head, &headers, &delivery.webhook.body);
        let mut connection = self.connection;
        let answer = post(&mut connection, &self.target, &request, self.timeout).await;
        Posted { delivery, answer, connection }
    }
}

#[cfg(test)]
mod tests;
