//! The committing thread: takes what waits, makes it durable with one write and one sync, and wakes
//! who waited.

use super::config::{Commit, LogConfig};
use super::lock::Lock;
use super::waiting::{Gather, Waiting, WaitingRoom};
use super::watermark::Watermark;
use super::writer::Writer;
use crate::PublishError;
use std::collections::VecDeque;
use std::sync::Arc;

/// The committing thread.
pub(crate) struct Committer {
    room: Arc<WaitingRoom>,
    config: Arc<LogConfig>,
    writer: Writer,
    watermark: Arc<Watermark>,
    _lock: Lock,
}

impl Committer {
    /// Over a writer that is ready to append; the lock is held as long as it lives.
    pub(crate) fn new(
        room: Arc<WaitingRoom>,
        config: Arc<LogConfig>,
        writer: Writer,
        watermark: Arc<Watermark>,
        lock: Lock,
    ) -> Self {
        Self { room, config, writer, watermark, _lock: lock }
    }

    /// Commits until the room is closed and empty.
    pub(crate) fn run(&mut self) {
        let mut batch = Vec::new();
        let mut rest = VecDeque::new();
        let mut gather = Gather::nothing();
        while self.room.take(&mut batch, &gather) {
            gather = Gather::after(batch.len());
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
        let mut state = self.room.lock();
        state.in_flight_records -= answered;
        state.in_flight_bytes -= bytes;
        state.totals.record(result, self.writer.last_sequence());
        drop(state);
        let answer = result.as_ref().map(|_| ()).map_err(Clone::clone);
        for Waiting { payload, done } in rest.drain(..answered) {
            drop(payload);
            // A publisher that no longer waits has no use for the answer.
            drop(done.send(answer.clone()));
        }
    }
}

impl Drop for Committer {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.room.abandon();
    }
}
