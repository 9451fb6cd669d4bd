//! The loop: receive, prepare, insert, acknowledge; inserting one batch while preparing the next.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry::global::BoxedTracer;
use payments::{SourceSettings, UnixMillis};
use queue::{BatchLimits, Consumer, Position};
use runtime::config::ProcessorConfig;
use runtime::{HealthHandle, SharedClock};
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::insert::{Inserter, Stopped};
use crate::observations::Observations;
use crate::prepare::{Prepared, prepare};
use crate::trace::{Stages, record_batch};

/// Pause after the queue could not be read.
const RECEIVE_RETRY_DELAY: Duration = Duration::from_millis(500);

pub(crate) struct Pipeline {
    limits: BatchLimits,
    settings: Arc<HashMap<String, SourceSettings>>,
    consumer: Consumer,
    inserter: Arc<Inserter>,
    clock: SharedClock,
    observations: Arc<Observations>,
    tracer: Option<Arc<BoxedTracer>>,
    health: HealthHandle,
}

/// A batch on its way into the store.
type Inserting = Pin<Box<dyn Future<Output = Result<Position, Stopped>> + Send>>;

/// A prepared batch and when it was received.
struct Waiting {
    prepared: Prepared,
    received_at: UnixMillis,
}

impl Pipeline {
    pub(crate) fn new(processor: Processor) -> Self {
        let Processor { config, settings, consumer, store, clock, telemetry, health } = processor;
        let observations = Arc::new(Observations::new(&telemetry));
        Self {
            limits: limits(&config),
            settings: Arc::new(settings),
            consumer,
            inserter: Arc::new(Inserter::new(&config, store, Arc::clone(&clock), Arc::clone(&observations))),
            clock,
            observations,
            tracer: telemetry.tracer("processor").map(Arc::new),
            health,
        }
    }

    /// Runs until `stop`; then finishes what is being inserted, if the store lets it.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut inserting: Option<Inserting> = None;
        let mut waiting: Option<Waiting> = None;
        self.health.ready();
        loop {
            if inserting.is_none()
                && let Some(next) = waiting.take()
            {
                inserting = Some(self.insert(next, stop.clone()));
            }
            if stop.is_cancelled() && inserting.is_none() {
                return Ok(());
            }
            tokio::select! {
                inserted = finish(&mut inserting) => {
                    inserting = None;
                    match inserted {
                        Ok(through) => self.consumer.ack(through).await.context("acknowledging to the queue")?,
                        // Not acknowledged: it is delivered again after the restart.
                        Err(Stopped) => return Ok(()),
                    }
                }
                received = receive(&mut self.consumer, &self.limits), if waiting.is_none() && !stop.is_cancelled() => {
                    match received {
                        Ok(batch) => waiting = Some(self.prepare(batch).await?),
                        Err(error) => {
                            self.observations.receive_failed(&error);
                            tokio::time::sleep(RECEIVE_RETRY_DELAY).await;
                        }
                    }
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Decodes and normalizes off the async threads: a large batch takes tens of milliseconds.
    async fn prepare(&self, batch: queue::Batch) -> anyhow::Result<Waiting> {
        let received_at = self.clock.now();
        let settings = Arc::clone(&self.settings);
        let prepared = tokio::task::spawn_blocking(move || prepare(batch, &settings)).await?;
        Ok(Waiting { prepared, received_at })
    }

    fn insert(&self, waiting: Waiting, stop: CancellationToken) -> Inserting {
        let (inserter, clock) = (Arc::clone(&self.inserter), Arc::clone(&self.clock));
        let (observations, tracer) = (Arc::clone(&self.observations), self.tracer.clone());
        let prepared_at = clock.now();
        Box::pin(async move {
            let started = Instant::now();
            let Waiting { prepared, received_at } = waiting;
            let prepared = inserter.insert(prepared, &stop).await?;
            let stored_at = clock.now();
            observations.batch_stored(&prepared, stored_at, started.elapsed());
            if let Some(tracer) = tracer {
                record_batch(&tracer, &prepared, Stages { received_at, prepared_at, stored_at });
            }
            Ok(prepared.through)
        })
    }
}

fn limits(config: &ProcessorConfig) -> BatchLimits {
    BatchLimits {
        records_max: config.batch_webhooks_max,
        bytes_max: config.batch_bytes_max,
        linger: Duration::from_millis(config.linger_ms),
    }
}

async fn receive(consumer: &mut Consumer, limits: &BatchLimits) -> Result<queue::Batch, queue::ConsumeError> {
    consumer.receive(limits).await
}

/// Waits for the insert in hand; for ever if there is none.
async fn finish(inserting: &mut Option<Inserting>) -> Result<Position, Stopped> {
    match inserting {
        Some(inserting) => inserting.await,
        None => std::future::pending().await,
    }
}
