//! What writer and reader share within one process: how far the log is durable, and a wake-up when
//! enough is there.
//!
//! The reader names what it is waiting for, so that a busy writer wakes it once per batch and not
//! once per commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How far the log is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The last durable sequence.
    pub(crate) sequence: u64,
    /// Payload bytes committed since the log was opened.
    pub(crate) payload_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Watermark {
    state: Mutex<State>,
    reached: Notify,
}

#[derive(Debug)]
struct State {
    committed: Committed,
    awaited: Committed,
}

const NOTHING_AWAITED: Committed = Committed { sequence: u64::MAX, payload_bytes: u64::MAX };

impl Watermark {
    pub(crate) fn new(sequence: u64) -> Self {
        let committed = Committed { sequence, payload_bytes: 0 };
        Self { state: Mutex::new(State { committed, awaited: NOTHING_AWAITED }), reached: Notify::new() }
    }

    /// How far the log is durable now.
    pub(crate) fn committed(&self) -> Committed {
        self.lock().committed
    }

    /// The writer's news.
    pub(crate) fn advance(&self, sequence: u64, payload_bytes: u64) {
        let mut state = self.lock();
        state.committed.sequence = sequence;
        state.committed.payload_bytes += payload_bytes;
        if state.is_reached() {
            state.awaited = NOTHING_AWAITED;
            drop(state);
            self.reached.notify_one();
        }
    }

    /// Returns when the log is durable up to the sequence, or by as many bytes, whichever is first.
    /// For one reader at a time; may be dropped at any point.
    pub(crate) async fn wait(&self, awaited: Committed) {
        loop {
            {
                let mut state = self.lock();
                state.awaited = awaited;
                if state.is_reached() {
                    state.awaited = NOTHING_AWAITED;
                    return;
                }
            }
            // A notification between the lock and here is kept for us by `Notify`; one that is left
            // over from an abandoned wait costs one more turn.
            self.reached.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the numbers are whole at any point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_reached(&self) -> bool {
        self.committed.sequence >= self.awaited.sequence
            || self.committed.payload_bytes >= self.awaited.payload_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_wait_ends_at_its_sequence_or_at_its_bytes_whichever_is_first() {
        let watermark = Watermark::new(10);
        let mut by_sequence = pin!(watermark.wait(Committed { sequence: 12, payload_bytes: u64::MAX }));
        assert!(poll(by_sequence.as_mut()).is_pending());
        watermark.advance(11, 100);
        assert!(poll(by_sequence.as_mut()).is_pending());
        watermark.advance(12, 100);
        assert!(poll(by_sequence.as_mut()).is_ready());

        let mut by_bytes = pin!(watermark.wait(Committed { sequence: 99, payload_bytes: 250 }));
        assert!(poll(by_bytes.as_mut()).is_pending());
        watermark.advance(13, 50);
        assert!(poll(by_bytes.as_mut()).is_ready());
    }

    #[test]
    fn an_abandoned_wait_does_not_end_the_next_one_early() {
        let watermark = Watermark::new(0);
        {
            let mut abandoned = pin!(watermark.wait(Committed { sequence: 1, payload_bytes: u64::MAX }));
            assert!(poll(abandoned.as_mut()).is_pending());
        }
        watermark.advance(1, 1);
        let mut next = pin!(watermark.wait(Committed { sequence: 2, payload_bytes: u64::MAX }));
        assert!(poll(next.as_mut()).is_pending());
        watermark.advance(2, 1);
        assert!(poll(next.as_mut()).is_ready());
    }
}
