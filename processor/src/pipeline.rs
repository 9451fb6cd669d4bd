//! The loop: receive, prepare, insert, acknowledge; inserting one batch while preparing the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry::global::BoxedTracer;
use payments::{SourceSettings, UnixMillis};
use queue::{BatchLimits, Consumer, Position};
use runtime::config::ProcessorConfig;
use runtime::{HealthHandle, SharedClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::insert::Inserter;
use crate::observations::Observations;
use crate::pauses::Stopped;
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
            inserter: Arc::new(Inserter::new(
                &config,
                store,
                Arc::clone(&clock),
                Arc::clone(&observations),
                health.clone(),
            )),
            clock,
            observations,
            tracer: telemetry.tracer("processor").map(Arc::new),
            health,
        }
    }

    /// Runs until `stop`; then finishes what is being inserted, if the store lets it.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        if self.inserter.wait_for_tables(stop).await == Err(Stopped) {
            return Ok(());
        }
        // A task of its own, so that it goes on while the next batch is prepared; at most one.
        let mut inserting = JoinSet::new();
        let mut waiting: Option<Waiting> = None;
        loop {
            if inserting.is_empty()
                && let Some(next) = waiting.take()
            {
                inserting.spawn(self.insert(next, stop.clone()));
            }
            if stop.is_cancelled() && inserting.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(inserted) = inserting.join_next() => {
                    match inserted.context("inserting a batch")? {
                        Ok(through) => self.consumer.ack(through).await.context("acknowledging to the queue")?,
                        // Not acknowledged: it is delivered again after the restart.
                        Err(Stopped) => return Ok(()),
                    }
                }
                received = self.receive(), if waiting.is_none() && !stop.is_cancelled() => {
                    if let Some(batch) = received {
                        waiting = Some(self.prepare(batch).await?);
                    }
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// The next batch; `None`, after a pause, if the queue could not be read. Nothing is lost if it is dropped.
    async fn receive(&mut self) -> Option<queue::Batch> {
        match self.consumer.receive(&self.limits).await {
            Ok(batch) => Some(batch),
            Err(error) => {
                self.observations.receive_failed(&error);
                self.health.not_ready(runtime::chain(&error));
                tokio::time::sleep(RECEIVE_RETRY_DELAY).await;
                None
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

    fn insert(
        &self,
        waiting: Waiting,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<Position, Stopped>> + Send + use<> {
        let (inserter, clock) = (Arc::clone(&self.inserter), Arc::clone(&self.clock));
        let (observations, tracer) = (Arc::clone(&self.observations), self.tracer.clone());
        let prepared_at = clock.now();
        async move {
            let started = Instant::now();
            let Waiting { prepared, received_at } = waiting;
            let prepared = inserter.insert(prepared, &stop).await?;
            let stored_at = clock.now();
            observations.batch_stored(&prepared, stored_at, started.elapsed());
            if let Some(tracer) = tracer {
                record_batch(&tracer, &prepared, Stages { received_at, prepared_at, stored_at });
            }
            Ok(prepared.through)
        }
    }
}

fn limits(config: &ProcessorConfig) -> BatchLimits {
    BatchLimits {
        records_max: config.batch_webhooks_max,
        bytes_max: config.batch_bytes_max,
        linger: Duration::from_millis(config.linger_ms),
    }
}
