//! From the log to the broker, in order.

use super::record::{Record, UnknownRecord};
use super::route::Routes;
use crate::error::chain;
use crate::{Batch, BatchLimits, ConsumeError, Position, PublishError, StorageError, embedded, rabbitmq};
use futures_util::future::join_all;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Published together: enough that frames are full in every lane, little enough to be held in memory.
const LIMITS: BatchLimits = BatchLimits { records_max: 1_000, bytes_max: 8 << 20, linger: Duration::ZERO };

/// With no more than this left, records are held while the rest is drained: some ten milliseconds.
const LEFT_TO_JOIN: u64 = 1_000;

/// How often it is looked whether the broker is back; while records are held, whether the log is empty; and while every
/// lane is direct, whether one still is not.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY_HELD: Duration = Duration::from_millis(2);
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(1);

/// Pause after a refusal.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a publisher that is closed goes on draining.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is known of the draining.
#[derive(Debug, Default)]
pub(super) struct Drained {
    records: AtomicU64,
    /// When the first record of the batch in hand came.
    oldest: Mutex<Option<SystemTime>>,
}

impl Drained {
    /// Records drained.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// When the oldest record that is not drained came, once it is read.
    pub(super) fn oldest(&self) -> Option<SystemTime> {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_hand(&self, oldest: Option<SystemTime>) {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
    }
}

pub(super) struct Drain {
    pub(super) broker: rabbitmq::Publisher,
    pub(super) log: embedded::Publisher,
    pub(super) consumer: embedded::Consumer,
    pub(super) routes: Arc<Routes>,
    pub(super) drained: Arc<Drained>,
    /// What is held is not held longer than this.
    pub(super) after: Duration,
    /// Published, and not yet taken off the log.
    pub(super) published: Option<Position>,
    pub(super) stop: CancellationToken,
}

/// Nobody is held for a drain that has ended, however it did.
impl Drop for Drain {
    fn drop(&mut self) {
        self.routes.part();
    }
}

/// Why the drain made no progress.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Read(#[from] ConsumeError),
    #[error(transparent)]
    Look(#[from] StorageError),
    #[error("run the version that wrote it")]
    Unknown(#[from] UnknownRecord),
    #[error("the spool is closed")]
    Stopped,
}

impl Drain {
    /// Drains until `stop`, and then as long as the broker confirms, for at most the farewell.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let farewell = async {
            stop.cancelled().await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            () = farewell => {}
            () = self.drain() => {}
        }
    }

    async fn drain(&mut self) {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(DrainError::Stopped) => return,
                // To go on would take it off the log.
                Err(error @ DrainError::Unknown(_)) => {
                    tracing::error!(error = chain(&error), "the spool is not drained any more");
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the spool is not drained; trying again");
                    self.routes.part();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes what is published off the log; tried again before anything else where the disk refuses.
    async fn take_off(&mut self) -> Result<(), DrainError> {
        if let Some(through) = self.published {
            self.consumer.ack(through).await?;
            self.published = None;
        }
        Ok(())
    }

    /// Drains a batch, or finds that there is none.
    async fn step(&mut self) -> Result<(), DrainError> {
        self.take_off().await?;
        // What is dropped with the future is read again.
        if let Ok(batch) = timeout(self.look_every(), self.consumer.receive(&LIMITS)).await {
            self.publish(batch?).await?;
        } else if self.stop.is_cancelled() && self.is_empty().await? {
            return Err(DrainError::Stopped);
        }
        if self.routes.is_spooling() && self.log.stats()?.records_waiting <= LEFT_TO_JOIN {
            self.join().await?;
        }
        Ok(())
    }

    fn look_every(&self) -> Duration {
        if self.routes.is_joining() {
            LOOK_EVERY_HELD
        } else if self.routes.is_spooling() || self.stop.is_cancelled() {
            LOOK_EVERY
        } else {
            LOOK_EVERY_IDLE
        }
    }

    /// Holds what would go onto the log; when nothing is on it any more, every lane is direct.
    async fn join(&mut self) -> Result<(), DrainError> {
        if self.broker.away().is_some() {
            self.routes.part();
            return Ok(());
        }
        self.routes.join();
        if self.is_empty().await? && self.routes.direct() {
            let records = self.drained.records();
            tracing::info!(records, "the spool is drained; webhooks go to the broker again");
        }
        Ok(())
    }

    /// Whether everything that was ever put on the log is drained. Asked in this order: what is no longer on its way to
    /// the disk can be read.
    async fn is_empty(&mut self) -> Result<bool, DrainError> {
        let is_in_flight = self.routes.is_appending() || self.log.stats()?.in_flight_records > 0;
        Ok(!is_in_flight && self.consumer.is_drained().await?)
    }

    /// Publishes a batch, each record until the broker has confirmed it, and takes it off the log.
    async fn publish(&mut self, batch: Batch) -> Result<(), DrainError> {
        let through = batch.through();
        let decoded = batch.into_deliveries().into_iter().map(|delivery| Record::decode(delivery.payload));
        let mut left = decoded.collect::<Result<Vec<_>, _>>()?;
        self.drained.in_hand(left.first().map(|record| record.spooled_at));
        let records = left.len() as u64;
        while !left.is_empty() {
            self.wait_for_broker().await?;
            self.attempt(&mut left).await?;
        }
        self.published = Some(through);
        self.take_off().await?;
        self.drained.records.fetch_add(records, Ordering::Relaxed);
        self.drained.in_hand(None);
        Ok(())
    }

    /// Publishes all of `left` and leaves what was not confirmed.
    async fn attempt(&self, left: &mut Vec<Record>) -> Result<(), DrainError> {
        let published = left.iter().map(|record| self.broker.publish(record.lane, &[&record.payload]));
        let mut told = pin!(join_all(published));
        let told = if let Ok(told) = timeout(self.after, &mut told).await {
            told
        } else {
            // What is held waits no longer.
            self.routes.part();
            told.await
        };
        let Some(refusal) = told.iter().find_map(|told| told.as_ref().err()).cloned() else {
            left.clear();
            return Ok(());
        };
        let mut told = told.into_iter();
        left.retain(|_| told.next().is_none_or(|told| told.is_err()));
        self.routes.part();
        if matches!(refusal, PublishError::Closed) {
            return Err(DrainError::Stopped);
        }
        tracing::warn!(
            records = left.len(),
            error = chain(&refusal),
            "the spool is not drained; trying again"
        );
        sleep(PAUSE).await;
        Ok(())
    }

    /// Returns when there is a broker to publish to. Who stops does not wait.
    async fn wait_for_broker(&self) -> Result<(), DrainError> {
        while self.broker.away().is_some() {
            self.routes.part();
            if self.stop.is_cancelled() {
                return Err(DrainError::Stopped);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
