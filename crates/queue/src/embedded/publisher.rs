//! The publishing side: admission, group commit on a thread of its own, and waking who waited.
//!
//! An idle log commits a record at once. A busy one gathers: while one commit is on the disk, the
//! next one collects, and on a disk that is faster than the gathering it waits for as many as the
//! last one had, or until [`GATHER_MAX`] after that one began. A commit costs the processor some
//! 100 to 200 µs however few records it has, so a server at its limit stores more if it commits
//! less often. Who publishes alone, one record after the other, never waits for company.

use super::config::{Commit, LogConfig};
use super::consumed;
use super::directory::{list_segments, total_bytes};
use super::lock::Lock;
use super::recovery::Recovery;
use super::watermark::Watermark;
use super::writer::Writer;
use crate::{OpenError, PublishError, StorageError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Commits that hold several records begin at least this far apart, unless as many are waiting as the
/// last one had.
const GATHER_MAX: Duration = Duration::from_millis(2);

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
    shared: Arc<Shared>,
    config: Arc<LogConfig>,
    recovery: Recovery,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What publishers and the committing thread share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when the committing thread, being idle, has something to do.
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Waiting and being committed.
    in_flight_records: usize,
    in_flight_bytes: usize,
    /// The committing thread sleeps until this many wait.
    awaited_records: Option<usize>,
    closed: bool,
    totals: Totals,
}

#[derive(Clone, Debug, Default)]
struct Totals {
    last_sequence: u64,
    commits: u64,
    records: u64,
    failures: u64,
    last_commit_records: usize,
    last_commit_duration: Duration,
}

#[derive(Debug)]
struct Waiting {
    payload: Bytes,
    done: oneshot::Sender<Result<(), PublishError>>,
}

impl Publisher {
    /// Starts the committing thread over a recovered directory.
    pub(crate) fn start(
        config: Arc<LogConfig>,
        writer: Writer,
        recovery: Recovery,
        watermark: Arc<Watermark>,
        lock: Lock,
    ) -> Result<Self, OpenError> {
        let totals = Totals { last_sequence: writer.last_sequence(), ..Totals::default() };
        let shared = Arc::new(Shared {
            state: Mutex::new(State { totals, ..State::default() }),
            work: Condvar::new(),
        });
        let mut committer = Committer {
            shared: Arc::clone(&shared),
            config: Arc::clone(&config),
            writer,
            watermark,
            _lock: lock,
        };
        let thread = std::thread::Builder::new()
            .name("queue-commit".to_owned())
            .spawn(move || committer.run())
            .map_err(OpenError::Thread)?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { shared, config, recovery, thread }) })
    }

    /// Stores a record; returns when it is durable. If the future is dropped before, the record may
    /// or may not be stored.
    pub async fn publish(&self, record: Bytes) -> Result<(), PublishError> {
        let (done, committed) = oneshot::channel();
        self.inner.admit(Waiting { payload: record, done })?;
        // The sender is dropped without an answer only if the committing thread is gone.
        committed.await.unwrap_or(Err(PublishError::Closed))
    }

    /// Takes no more records, commits what is waiting, and releases the directory.
    pub async fn close(&self) {
        self.inner.shared.close();
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
        let state = self.inner.shared.lock();
        Ok(PublisherStats {
            bytes_on_disk: total_bytes(&segments),
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

impl Inner {
    fn admit(&self, waiting: Waiting) -> Result<(), PublishError> {
        let bytes = waiting.payload.len();
        if bytes > self.config.record_bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max: self.config.record_bytes_max });
        }
        let mut state = self.shared.lock();
        if state.closed {
            return Err(PublishError::Closed);
        }
        if state.in_flight_records >= self.config.in_flight_records_max
            || state.in_flight_bytes + bytes > self.config.in_flight_bytes_max
        {
            return Err(PublishError::Overloaded {
                records: state.in_flight_records,
                bytes: state.in_flight_bytes,
            });
        }
        state.in_flight_records += 1;
        state.in_flight_bytes += bytes;
        state.waiting.push(waiting);
        let wake = state.awaited_records.is_some_and(|awaited| state.waiting.len() >= awaited);
        if wake {
            state.awaited_records = None;
        }
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the log's committing thread panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        self.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Moves everything waiting into the (empty) batch: as soon as there is anything, or, before
    /// `gather.until`, as soon as there is `gather.records`. `false` when closed and nothing is left.
    fn take(&self, batch: &mut Vec<Waiting>, gather: &Gather) -> bool {
        let mut state = self.lock();
        loop {
            let patience = gather.until.saturating_duration_since(Instant::now());
            let awaited = if patience.is_zero() { 1 } else { gather.records };
            if state.waiting.len() >= awaited || (state.closed && !state.waiting.is_empty()) {
                std::mem::swap(&mut state.waiting, batch);
                return true;
            }
            if state.closed {
                return false;
            }
            state.awaited_records = Some(awaited);
            state = if patience.is_zero() {
                self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
            };
            state.awaited_records = None;
        }
    }
}

/// What the next commit waits for.
struct Gather {
    records: usize,
    until: Instant,
}

/// The committing thread.
struct Committer {
    shared: Arc<Shared>,
    config: Arc<LogConfig>,
    writer: Writer,
    watermark: Arc<Watermark>,
    _lock: Lock,
}

impl Committer {
    fn run(&mut self) {
        let mut batch = Vec::new();
        let mut rest = VecDeque::new();
        let mut gather = Gather { records: 1, until: Instant::now() };
        while self.shared.take(&mut batch, &gather) {
            gather = Gather { records: batch.len(), until: Instant::now() + GATHER_MAX };
            rest.extend(batch.drain(..));
            while !rest.is_empty() {
                self.step(&mut rest);
            }
        }
        self.writer.close();
    }

    /// One commit: of as many as fit the segment, from the front.
    fn step(&mut self, rest: &mut VecDeque<Waiting>) {
        let Some(first) = rest.front() else { return };
        if let Err(error) = self.writer.ensure_room(first.payload.len()) {
            // Without a segment none of them can be stored.
            return self.answer(rest, rest.len(), &Err(error));
        }
        let mut staged = 0;
        let mut payload_bytes = 0;
        while let Some(next) = rest.get(staged)
            && self.writer.stage(&next.payload)
        {
            staged += 1;
            payload_bytes += next.payload.len() as u64;
        }
        let committed = self.writer.commit();
        if let Ok(commit) = &committed {
            self.watermark.advance(self.writer.last_sequence(), payload_bytes);
            if let Some(observer) = &self.config.observer {
                observer.committed(commit);
            }
        }
        self.answer(rest, staged, &committed);
    }

    /// Answers the first ones, whose fate is now known. They are no longer in flight by then: who is
    /// answered may publish again at once.
    fn answer(&self, rest: &mut VecDeque<Waiting>, answered: usize, result: &Result<Commit, PublishError>) {
        let bytes: usize = rest.iter().take(answered).map(|waiting| waiting.payload.len()).sum();
        let mut state = self.shared.lock();
        state.in_flight_records -= answered;
        state.in_flight_bytes -= bytes;
        state.totals.record(result, self.writer.last_sequence());
        drop(state);
        let answer = result.as_ref().map(|_| ()).map_err(Clone::clone);
        for waiting in rest.drain(..answered) {
            // A publisher that no longer waits has no use for the answer.
            drop(waiting.done.send(answer.clone()));
        }
    }
}

impl Drop for Committer {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
    }
}

impl Totals {
    fn record(&mut self, result: &Result<Commit, PublishError>, last_sequence: u64) {
        self.last_sequence = last_sequence;
        match result {
            Ok(commit) => {
                self.commits += 1;
                self.records += commit.records as u64;
                self.last_commit_records = commit.records;
                self.last_commit_duration = commit.duration;
            }
            Err(PublishError::Full { .. }) => {}
            Err(_) => self.failures += 1,
        }
    }
}
