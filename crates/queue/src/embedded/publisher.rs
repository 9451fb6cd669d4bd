//! The publishing side, as everybody who publishes holds it.

use super::committer::Committer;
use super::config::LogConfig;
use super::consumed;
use super::directory::{list_segments, total_bytes};
use super::lock::Lock;
use super::recovery::Recovery;
use super::waiting::WaitingRoom;
use super::watermark::Watermark;
use super::writer::Writer;
use crate::{OpenError, PublishError, StorageError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A handle to publish with; clones share one log. The last one to be dropped waits for what is
/// being committed and releases the directory.
#[derive(Clone, Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
}

/// What a publisher knows of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublisherStats {
    /// Bytes the log takes on disk, preallocated space included.
    pub bytes_on_disk: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Records that are durable and not acknowledged by the consumer. Positions that were skipped
    /// after a failed commit are counted too.
    pub records_waiting: u64,
    /// Position of the last durable record.
    pub last_position: u64,
    /// Records waiting for the disk.
    pub in_flight_records: usize,
    /// Their payload bytes.
    pub in_flight_bytes: usize,
    /// Commits since the log was opened.
    pub commits: u64,
    /// Records committed since the log was opened.
    pub records: u64,
    /// Commits and new segments that failed since the log was opened.
    pub failures: u64,
    /// Records of the last commit.
    pub last_commit_records: usize,
    /// How long the last commit took, from the start of its write to the end of its sync.
    pub last_commit_duration: Duration,
}

#[derive(Debug)]
struct Inner {
    room: Arc<WaitingRoom>,
    config: Arc<LogConfig>,
    recovery: Recovery,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Publisher {
    /// Starts the committing thread over a recovered directory, and the one that watches over it.
    pub(crate) fn start(
        config: Arc<LogConfig>,
        writer: Writer,
        recovery: Recovery,
        watermark: Arc<Watermark>,
        lock: Lock,
    ) -> Result<Self, OpenError> {
        let room = Arc::new(WaitingRoom::new(writer.last_sequence()));
        let mut committer = Committer::new(Arc::clone(&room), Arc::clone(&config), writer, watermark, lock);
        let (watched, patience) = (Arc::clone(&room), config.answer_timeout);
        // A committer that is not started is dropped, which ends the watch.
        let threads = vec![
            start_thread("queue-watch", move || watched.watch(patience))?,
            start_thread("queue-commit", move || committer.run())?,
        ];
        Ok(Self { inner: Arc::new(Inner { room, config, recovery, threads: Mutex::new(threads) }) })
    }

    /// Stores a record, whose payload is given in pieces: they are copied before this returns, and the future is
    /// ready when the record is durable. If the future is dropped before, the record may or may not be
    /// stored.
    pub fn publish(
        &self,
        payload: &[&[u8]],
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let admitted = self.inner.room.admit(payload, &self.inner.config);
        // The sender is dropped without an answer only if the committing thread is gone.
        async move { admitted?.await.unwrap_or(Err(PublishError::Closed)) }
    }

    /// Takes no more records, commits what is waiting, and releases the directory.
    pub async fn close(&self) {
        self.inner.room.close();
        let inner = Arc::clone(&self.inner);
        // It fails only if the runtime is shutting down: the last drop waits in that case.
        let joined = tokio::task::spawn_blocking(move || inner.join()).await;
        if let Err(error) = joined {
            tracing::debug!(%error, "the log is closed when its last publisher is dropped");
        }
    }

    /// What opening the log found.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Figures for metrics. Reads the directory (tens of microseconds): for every few seconds.
    pub fn stats(&self) -> Result<PublisherStats, StorageError> {
        let segments = list_segments(&self.inner.config.dir)?;
        let consumed = consumed::read(&self.inner.config.dir)?.sequence();
        let state = self.inner.room.lock();
        Ok(PublisherStats {
            bytes_on_disk: total_bytes(&self.inner.config.dir, &segments)?,
            segments: segments.len(),
            records_waiting: state.totals.last_sequence.saturating_sub(consumed),
            last_position: state.totals.last_sequence,
            in_flight_records: state.in_flight_records,
            in_flight_bytes: state.in_flight_bytes,
            commits: state.totals.commits,
            records: state.totals.records,
            failures: state.totals.failures,
            last_commit_records: state.totals.last_commit_records,
            last_commit_duration: state.totals.last_commit_duration,
        })
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(OpenError::Thread)
}

impl Inner {
    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a thread of the log panicked");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.room.close();
        self.join();
    }
}
