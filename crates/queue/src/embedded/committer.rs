//! The committing thread: takes what waits, makes it durable with one write and one sync, and wakes
//! who waited.

use super::config::{Commit, LogConfig};
use super::gather::Gather;
use super::lock::Lock;
use super::waiting::WaitingRoom;
use super::watermark::Watermark;
use super::writer::{COMMIT_BYTES_MAX, Share, Writer};
use crate::PublishError;
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
            let begun = Instant::now();
            let (mut done_bytes, mut records) = (0, 0);
            while !staged.is_empty() {
                let (share, committed) = self.writer.commit(&mut staged[done_bytes..]);
                done_bytes += share.bytes;
                records += share.records;
                if done_bytes == staged.len() {
                    // Its memory is kept for the next records, but not that of a rare flood.
                    staged.clear();
                    staged.shrink_to(COMMIT_BYTES_MAX);
                }
                self.tell(share, &committed);
            }
            gather = Gather::after(records, begun);
        }
        self.writer.close();
    }

    /// Tells the consumer, the observer, and who waited.
    fn tell(&self, share: Share, committed: &Result<Commit, PublishError>) {
        if let Ok(commit) = committed {
            self.watermark.advance(self.writer.last_sequence(), share.payload_bytes as u64);
            if let Some(observer) = &self.config.observer {
                observer.committed(commit);
            }
        }
        self.room.answer(share, committed, self.writer.last_sequence());
    }
}

impl Drop for Committer {
    /// However the thread ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.room.abandon();
    }
}
