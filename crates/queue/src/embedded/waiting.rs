//! The records that wait for the disk: their admission, the buffers they are staged in, and the answers. When the
//! committing thread takes a buffer is [`Gather`]'s.
//!
//! Nobody waits for ever: a disk that hangs keeps the committing thread, so another one, the watch, answers
//! those who have waited too long.

use super::config::{Commit, LogConfig};
use super::format::{record_bytes, stage_record};
use super::gather::Gather;
use super::writer::{COMMIT_BYTES_MAX, Share};
use crate::PublishError;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What publishers and the committing thread share.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    state: Mutex<State>,
    /// Signalled when the committing thread, being idle, has something to do.
    work: Condvar,
    /// Signalled when the watch is over.
    abandoned: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Full buffers, oldest first: there are some only when the disk has fallen behind.
    full: VecDeque<Buffer>,
    /// The one that records are staged in.
    filling: Buffer,
    /// Who waits for those being committed.
    committing: Waiters,
    /// Waiting and being committed.
    pub(crate) in_flight_records: usize,
    pub(crate) in_flight_bytes: usize,
    /// The committing thread sleeps until this many wait.
    awaited_records: Option<usize>,
    closed: bool,
    /// Nobody commits any more.
    abandoned: bool,
    pub(crate) totals: Totals,
}

/// Records of one commit, and who waits for each of them. It has one record, or as many as fit in
/// [`COMMIT_BYTES_MAX`].
#[derive(Debug, Default)]
struct Buffer {
    /// As they will stand in the segment, but for what is known only there: each is copied once on its way to the disk,
    /// from where its pieces are.
    staged: Vec<u8>,
    waiting: Waiters,
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

/// Where a publisher is told what became of its record.
type Answer = oneshot::Sender<Result<(), PublishError>>;

/// Who waits for records that lie one behind the other: one place for each record.
#[derive(Debug, Default)]
struct Waiters {
    places: Vec<Place>,
    /// Of all records of the buffer, those already answered included: its memory is given back as a whole.
    payload_bytes: usize,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    /// `None` if its publisher has been told that the disk does not answer.
    answer: Option<Answer>,
}

impl Waiters {
    /// Takes out those who have waited so long; their places stay.
    fn expire(&mut self, patience: Duration, expired: &mut Vec<Answer>) {
        let old = self.places.iter_mut().take_while(|place| place.since.elapsed() >= patience);
        expired.extend(old.filter_map(|place| place.answer.take()));
    }
}

impl WaitingRoom {
    pub(crate) fn new(last_sequence: u64) -> Self {
        let totals = Totals { last_sequence, ..Totals::default() };
        Self {
            state: Mutex::new(State { totals, ..State::default() }),
            work: Condvar::new(),
            abandoned: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a record, whose payload is given in pieces, or refuses it: too large, too many, or closed. When this
    /// returns, the pieces are no longer needed.
    pub(crate) fn admit(
        &self,
        payload: &[&[u8]],
        config: &LogConfig,
    ) -> Result<oneshot::Receiver<Result<(), PublishError>>, PublishError> {
        let bytes = payload.iter().map(|piece| piece.len()).sum();
        if bytes > config.record_bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max: config.record_bytes_max });
        }
        let (answer, answered) = oneshot::channel();
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
        state.stage(payload, bytes, answer);
        let wake = state.has_awaited();
        if wake {
            state.awaited_records = None;
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(answered)
    }

    /// Exchanges the next staged records for the (empty) buffer: as soon as there are any, or, before
    /// `gather.until`, as soon as there are `gather.records` or a buffer is full. `false` when closed and nothing is
    /// left. Requires that all that was taken before is answered.
    pub(crate) fn take(&self, staged: &mut Vec<u8>, gather: &Gather) -> bool {
        let mut state = self.lock();
        loop {
            let patience = gather.until.saturating_duration_since(Instant::now());
            let awaited = if patience.is_zero() || state.closed { 1 } else { gather.records };
            state.awaited_records = Some(awaited);
            if state.has_awaited() {
                state.awaited_records = None;
                state.take(staged);
                return true;
            }
            if state.closed {
                return false;
            }
            state = if patience.is_zero() {
                self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
            };
            state.awaited_records = None;
        }
    }

    /// The fate of the first ones being committed is known. They are in flight no longer before they know it: who
    /// is answered may publish again at once. Their bytes come back with the last ones of their buffer, whose memory
    /// must be free by then.
    pub(crate) fn answer(&self, share: Share, result: &Result<Commit, PublishError>, last_sequence: u64) {
        let mut answered = Vec::with_capacity(share.records);
        let mut state = self.lock();
        answered.extend(state.committing.places.drain(..share.records));
        state.in_flight_records -= share.records;
        if state.committing.places.is_empty() {
            state.in_flight_bytes -= std::mem::take(&mut state.committing.payload_bytes);
        }
        state.totals.record(result, last_sequence);
        drop(state);
        let fate = result.as_ref().map(|_| ()).map_err(Clone::clone);
        for answer in answered.into_iter().filter_map(|place| place.answer) {
            // A publisher that no longer waits has no use for the answer.
            drop(answer.send(fate.clone()));
        }
    }

    /// Until nobody commits any more, tells those who have waited for so long, or for up to a quarter more, that the
    /// disk does not answer.
    pub(crate) fn watch(&self, patience: Duration) {
        let mut state = self.lock();
        while !state.abandoned {
            drop(self.abandoned.wait_timeout(state, patience / 4).unwrap_or_else(PoisonError::into_inner));
            self.expire(patience);
            state = self.lock();
        }
    }

    fn expire(&self, patience: Duration) {
        let mut expired = Vec::new();
        let mut state = self.lock();
        state.committing.expire(patience, &mut expired);
        for buffer in &mut state.full {
            buffer.waiting.expire(patience, &mut expired);
        }
        state.filling.waiting.expire(patience, &mut expired);
        drop(state);
        for answer in expired {
            drop(answer.send(Err(PublishError::TimedOut { within: patience })));
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
        state.abandoned = true;
        (state.in_flight_records, state.in_flight_bytes) = (0, 0);
        let buffers = (std::mem::take(&mut state.full), std::mem::take(&mut state.filling));
        let gone = (buffers, std::mem::take(&mut state.committing));
        drop(state);
        drop(gone);
        self.abandoned.notify_all();
    }
}

impl State {
    fn stage(&mut self, payload: &[&[u8]], payload_bytes: usize, answer: Answer) {
        let staged_bytes = self.filling.staged.len();
        if staged_bytes > 0 && staged_bytes + record_bytes(payload_bytes) > COMMIT_BYTES_MAX {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
        stage_record(&mut self.filling.staged, payload);
        let waiting = &mut self.filling.waiting;
        // The time is read under the lock: places are in order of their times.
        waiting.places.push(Place { since: Instant::now(), answer: Some(answer) });
        waiting.payload_bytes += payload_bytes;
        self.in_flight_records += 1;
        self.in_flight_bytes += payload_bytes;
    }

    /// Whether there is what the committing thread waits for.
    fn has_awaited(&self) -> bool {
        let records = self.filling.waiting.places.len();
        self.awaited_records.is_some_and(|awaited| records >= awaited || !self.full.is_empty())
    }

    /// Takes the oldest buffer. The usual one, which is still being filled, leaves the memory of the one before.
    fn take(&mut self, staged: &mut Vec<u8>) {
        if let Some(oldest) = self.full.pop_front() {
            (*staged, self.committing) = (oldest.staged, oldest.waiting);
        } else {
            std::mem::swap(&mut self.filling.staged, staged);
            std::mem::swap(&mut self.filling.waiting, &mut self.committing);
        }
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

#[cfg(test)]
mod tests;
