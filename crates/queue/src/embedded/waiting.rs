//! The records that wait for the disk: their admission, and when the committing thread takes them.
//!
//! An idle log commits a record at once. A busy one gathers: while one commit is on the disk, the
//! next one collects, and on a disk that is faster than the gathering it waits for as many as the
//! last one had, or until [`GATHER_MAX`] after that one began. A commit costs the processor some
//! 100 to 200 µs however few records it has, so a server at its limit stores more if it commits
//! less often. Who publishes alone, one record after the other, never waits for company.

use super::config::{Commit, LogConfig};
use crate::PublishError;
use bytes::Bytes;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A commit that follows one of several records begins this long after it, unless as many are waiting
/// before.
pub(crate) const GATHER_MAX: Duration = Duration::from_millis(2);

/// What publishers and the committing thread share.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    state: Mutex<State>,
    /// Signalled when the committing thread, being idle, has something to do.
    work: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    waiting: Vec<Waiting>,
    /// Waiting and being committed.
    pub(crate) in_flight_records: usize,
    pub(crate) in_flight_bytes: usize,
    /// The committing thread sleeps until this many wait.
    awaited_records: Option<usize>,
    closed: bool,
    pub(crate) totals: Totals,
}

/// What has been committed since the log was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) last_sequence: u64,
    pub(crate) commits: u64,
    pub(crate) records: u64,
    pub(crate) failures: u64,
    pub(crate) last_commit_records: usize,
    pub(crate) last_commit_duration: Duration,
}

/// A record, and who waits for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) payload: Bytes,
    pub(crate) done: oneshot::Sender<Result<(), PublishError>>,
}

/// What the next commit waits for.
#[derive(Debug)]
pub(crate) struct Gather {
    records: usize,
    until: Instant,
}

impl Gather {
    /// Waits for nothing but a first record.
    pub(crate) fn nothing() -> Self {
        Self { records: 1, until: Instant::now() }
    }

    /// As a commit of so many records begins: what the one after it waits for.
    pub(crate) fn after(records: usize) -> Self {
        Self { records, until: Instant::now() + GATHER_MAX }
    }
}

impl WaitingRoom {
    pub(crate) fn new(last_sequence: u64) -> Self {
        let totals = Totals { last_sequence, ..Totals::default() };
        Self { state: Mutex::new(State { totals, ..State::default() }), work: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record in, or refuses it: too large, too many, or closed.
    pub(crate) fn admit(&self, waiting: Waiting, config: &LogConfig) -> Result<(), PublishError> {
        let bytes = waiting.payload.len();
        if bytes > config.record_bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max: config.record_bytes_max });
        }
        let mut state = self.lock();
        if state.closed {
            return Err(PublishError::Closed);
        }
        if state.in_flight_records >= config.in_flight_records_max
            || state.in_flight_bytes + bytes > config.in_flight_bytes_max
        {
            return Err(PublishError::Overloaded {
                records: state.in_flight_records,
                bytes: state.in_flight_bytes,
            });
        }
        state.in_flight_records += 1;
        state.in_flight_bytes += bytes;
        state.waiting.push(waiting);
        let records = state.waiting.len();
        let wake = state.awaited_records.take_if(|awaited| records >= *awaited).is_some();
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Moves everything waiting into the (empty) batch: as soon as there is anything, or, before
    /// `gather.until`, as soon as there is `gather.records`. `false` when closed and nothing is left.
    pub(crate) fn take(&self, batch: &mut Vec<Waiting>, gather: &Gather) -> bool {
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

    /// Takes no more; what is waiting is still committed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Nobody commits any more: who waits is told so by the end of its channel.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
    }
}

impl Totals {
    pub(crate) fn record(&mut self, result: &Result<Commit, PublishError>, last_sequence: u64) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    const A_LONG_TIME: Duration = Duration::from_secs(3_600);

    fn admit(room: &WaitingRoom, records: usize) {
        for _ in 0..records {
            let (done, _) = oneshot::channel();
            room.admit(Waiting { payload: Bytes::new(), done }, &LogConfig::new("unused")).unwrap();
        }
    }

    fn taken(room: &WaitingRoom, gather: &Gather) -> Option<usize> {
        let mut batch = Vec::new();
        room.take(&mut batch, gather).then_some(batch.len())
    }

    #[test]
    fn a_busy_log_gathers_as_many_as_the_last_commit_had() {
        let room = Arc::new(WaitingRoom::new(0));
        let taking = {
            let room = Arc::clone(&room);
            let gather = Gather { records: 3, until: Instant::now() + A_LONG_TIME };
            thread::spawn(move || taken(&room, &gather))
        };
        admit(&room, 2);
        // Whenever the other thread looks, it finds two and goes on waiting, or all three.
        admit(&room, 1);
        assert_eq!(taking.join().unwrap(), Some(3));
    }

    #[test]
    fn gathering_ends_by_time_with_what_there_is() {
        let room = WaitingRoom::new(0);
        admit(&room, 2);
        assert_eq!(taken(&room, &Gather::after(100)), Some(2));
    }

    #[test]
    fn who_publishes_alone_waits_for_nobody() {
        let room = WaitingRoom::new(0);
        for _ in 0..3 {
            admit(&room, 1);
            assert_eq!(
                taken(&room, &Gather { until: Instant::now() + A_LONG_TIME, ..Gather::after(1) }),
                Some(1)
            );
        }
    }

    #[test]
    fn closing_ends_the_gathering_and_leaves_nobody_behind() {
        let room = WaitingRoom::new(0);
        admit(&room, 2);
        room.close();
        let gather = Gather { records: 100, until: Instant::now() + A_LONG_TIME };
        assert_eq!(taken(&room, &gather), Some(2));
        assert_eq!(taken(&room, &gather), None);
    }
}
