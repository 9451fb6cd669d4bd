//! The committing thread: takes what waits, makes it durable with one write and one sync, and wakes
//! who waited.

use super::config::LogConfig;
use super::lock::Lock;
use super::waiting::{Gather, WaitingRoom};
use super::watermark::Watermark;
use super::writer::{COMMIT_BYTES_MAX, Share, Writer};
use std::sync::Arc;
use std::time::Instant;

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
        let mut staged = Vec::new();
        let mut gather = Gather::nothing();
        while self.room.take(&mut staged, &gather) {
            let (mut committed_bytes, mut records) = (0, 0);
            let begun = Instant::now();
            while committed_bytes < staged.len() {
                let share = self.commit(&mut staged[committed_bytes..]);
                committed_bytes += share.bytes;
                records += share.records;
            }
            gather = Gather::after(records, begun);
            // Its memory is kept for the next records, but not that of a rare flood.
            staged.clear();
            staged.shrink_to(COMMIT_BYTES_MAX);
        }
        self.writer.close();
    }

    /// One commit, from the front; who waited for its share is answered.
    fn commit(&mut self, staged: &mut [u8]) -> Share {
        let (share, committed) = self.writer.commit(staged);
        if let Ok(commit) = &committed {
            self.watermark.advance(self.writer.last_sequence(), share.payload_bytes as u64);
            if let Some(observer) = &self.config.observer {
                observer.committed(commit);
            }
        }
        self.room.answer(share, &committed, self.writer.last_sequence());
        share
    }
}

impl Drop for Committer {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.room.abandon();
    }
}
