//! The consuming side: batches by count, bytes and age, over the blocking [`Reader`].

use super::config::LogConfig;
use super::directory::{list_segments, total_bytes};
use super::reader::{Damage, Pending, Reader};
use super::watermark::{Committed, Watermark};
use crate::{Batch, BatchLimits, ConsumeError, Position, StorageError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How often a log that another process writes is looked at: at first, and when it stays idle.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(5);
const POLL_INTERVAL_MAX: Duration = Duration::from_millis(20);

/// The one consumer of a log. Reading and acknowledging are separate: several batches may be
/// received before the first is acknowledged.
#[derive(Debug)]
pub struct Consumer {
    config: Arc<LogConfig>,
    reader: Arc<Mutex<Reader>>,
    news: News,
    /// When the oldest record not handed out was first seen.
    available_since: Option<Instant>,
}

/// What a consumer knows of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Bytes the log takes on disk, preallocated space included.
    pub bytes_on_disk: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Records that are durable and not acknowledged; `None` where another process writes the log
    /// (its [`PublisherStats`](super::PublisherStats) tell).
    pub records_waiting: Option<u64>,
    /// Position of the last record received.
    pub received_position: u64,
    /// Position up to which everything is acknowledged.
    pub acked_position: u64,
    /// What was unreadable since the log was opened.
    pub damage: Damage,
}

/// How the consumer learns that there is more.
#[derive(Debug)]
enum News {
    /// The writer is in this process and says so.
    Watermark(Arc<Watermark>),
    /// The writer may be in another process: the file is looked at again and again.
    Poll { interval: Duration },
}

impl Consumer {
    pub(crate) fn new(config: Arc<LogConfig>, reader: Reader, watermark: Option<Arc<Watermark>>) -> Self {
        let news = watermark.map_or(News::Poll { interval: POLL_INTERVAL_MIN }, News::Watermark);
        Self { config, reader: Arc::new(Mutex::new(reader)), news, available_since: None }
    }

    /// Waits for a batch: until `records_max` or `bytes_max` is reached, or `linger` has passed since
    /// its first record became available. Nothing is lost if the future is dropped: the next call
    /// hands out what this one had read.
    pub async fn receive(&mut self, limits: &BatchLimits) -> Result<Batch, ConsumeError> {
        loop {
            let seen = self.news.committed();
            let pending = self.fill(limits, seen.sequence).await?;
            if pending.records > 0 {
                let since = *self.available_since.get_or_insert_with(Instant::now);
                self.news.found_something();
                let deadline = since + limits.linger;
                if (pending.is_full || Instant::now() >= deadline)
                    && let Some(batch) = self.take(limits)
                {
                    return Ok(batch);
                }
                self.news.wait_until_full(seen, pending, limits, deadline).await;
            } else if self.news.wait_for_one(seen, pending).await {
                let since = *self.available_since.get_or_insert_with(Instant::now);
                self.news.wait_until_full(seen, pending, limits, since + limits.linger).await;
            }
        }
    }

    /// Everything up to and including `through` is consumed and never delivered again. The log
    /// remembers it when the process is killed; a power cut may undo the latest calls.
    pub async fn ack(&mut self, through: Position) -> Result<(), ConsumeError> {
        blocking(&self.reader, move |reader| reader.ack(through)).await
    }

    /// Whether nothing durable is left to be received.
    pub async fn is_drained(&self) -> Result<bool, ConsumeError> {
        let any = BatchLimits { records_max: 1, bytes_max: 1, linger: Duration::ZERO };
        let seen = self.news.committed();
        Ok(self.fill(&any, seen.sequence).await?.records == 0)
    }

    /// Figures for metrics. Reads the directory (tens of microseconds): for every few seconds.
    pub fn stats(&self) -> Result<ConsumerStats, StorageError> {
        let segments = list_segments(&self.config.dir)?;
        let reader = lock(&self.reader);
        let acked = reader.acked();
        let records_waiting = match &self.news {
            News::Watermark(watermark) => Some(watermark.committed().sequence.saturating_sub(acked)),
            News::Poll { .. } => None,
        };
        Ok(ConsumerStats {
            bytes_on_disk: total_bytes(&self.config.dir, &segments)?,
            segments: segments.len(),
            records_waiting,
            received_position: reader.received(),
            acked_position: acked,
            damage: reader.damage(),
        })
    }

    fn take(&mut self, limits: &BatchLimits) -> Option<Batch> {
        let mut reader = lock(&self.reader);
        let batch = reader.take(limits);
        if !reader.has_pending() {
            self.available_since = None;
        }
        batch
    }

    async fn fill(&self, limits: &BatchLimits, sequence_max: u64) -> Result<Pending, ConsumeError> {
        let limits = limits.clone();
        blocking(&self.reader, move |reader| reader.fill(&limits, sequence_max)).await
    }
}

impl News {
    /// How far the log may be read now.
    fn committed(&self) -> Committed {
        match self {
            Self::Watermark(watermark) => watermark.committed(),
            Self::Poll { .. } => Committed { sequence: u64::MAX, payload_bytes: 0 },
        }
    }

    fn found_something(&mut self) {
        match self {
            Self::Watermark(_) => {}
            Self::Poll { interval } => *interval = POLL_INTERVAL_MIN,
        }
    }

    /// Waits for a first record; `true` if there is one, `false` if it is time to look.
    async fn wait_for_one(&mut self, seen: Committed, pending: Pending) -> bool {
        match self {
            Self::Watermark(watermark) => {
                // What is durable but could not be read yet does not become readable by waiting.
                let sequence = pending.next_sequence.max(seen.sequence + 1);
                watermark.wait(Committed { sequence, payload_bytes: u64::MAX }).await;
                true
            }
            Self::Poll { interval } => {
                sleep(*interval).await;
                *interval = (*interval * 2).min(POLL_INTERVAL_MAX);
                false
            }
        }
    }

    /// Waits until the rest of a batch is there, at most until the deadline.
    async fn wait_until_full(
        &self,
        seen: Committed,
        pending: Pending,
        limits: &BatchLimits,
        deadline: Instant,
    ) {
        match self {
            Self::Watermark(watermark) => {
                let records = limits.records_max.saturating_sub(pending.records) as u64;
                let bytes = limits.bytes_max.saturating_sub(pending.bytes) as u64;
                let full = watermark.wait(Committed {
                    sequence: seen.sequence.saturating_add(records.max(1)),
                    payload_bytes: seen.payload_bytes.saturating_add(bytes.max(1)),
                });
                // Either way the log is looked at again.
                let _ = timeout_at(deadline, full).await;
            }
            Self::Poll { interval } => {
                sleep_until(deadline.min(Instant::now() + *interval)).await;
            }
        }
    }
}

/// Runs file operations where they may block. If the caller goes away meanwhile, they end all the
/// same, and their result is in the reader.
async fn blocking<T: Send + 'static>(
    reader: &Arc<Mutex<Reader>>,
    work: impl FnOnce(&mut Reader) -> Result<T, ConsumeError> + Send + 'static,
) -> Result<T, ConsumeError> {
    let reader = Arc::clone(reader);
    match tokio::task::spawn_blocking(move || work(&mut lock(&reader))).await {
        Ok(result) => result,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ConsumeError::Closed),
        },
    }
}

fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    // A panic while reading leaves at worst a record that is read once more.
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}
