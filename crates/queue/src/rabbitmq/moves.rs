//! What is being taken out of the way while consuming goes on: one message after the other, each until the broker has
//! confirmed it where it goes.
//!
//! Invariant: a message in here is not acknowledged by anything but its own move. Those of a lane are no more than the broker
//! delivers without an acknowledgement.

use super::isolation::Move;
use super::mover::Mover;
use super::session::{AckChannel, BrokerError};
use super::task::Task;
use std::collections::VecDeque;
use std::future::pending;
use tokio::time::Instant;

pub(super) struct Moves {
    mover: Mover,
    waiting: VecDeque<Waiting>,
    current: Option<Current>,
}

struct Waiting {
    of: Origin,
    moved: Move,
    channel: AckChannel,
}

struct Current {
    of: Origin,
    task: Task<()>,
    since: Instant,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) channel: usize,
    pub(super) tag: u64,
}

impl Moves {
    pub(super) fn new(mover: Mover) -> Self {
        Self { mover, waiting: VecDeque::new(), current: None }
    }

    pub(super) fn push(&mut self, of: Origin, moved: Move, channel: AckChannel) {
        self.waiting.push_back(Waiting { of, moved, channel });
        self.begin();
    }

    /// The next message that was moved and acknowledged. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Origin, BrokerError> {
        let Some(current) = &mut self.current else { return pending().await };
        current.task.result().await?;
        let of = current.of;
        self.current = None;
        self.begin();
        Ok(of)
    }

    /// Since when the oldest is under way; `None`: nothing is.
    pub(super) fn since(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.since)
    }

    fn begin(&mut self) {
        if self.current.is_none()
            && let Some(Waiting { of, moved, channel }) = self.waiting.pop_front()
        {
            let mover = self.mover.clone();
            let task = Task::spawn(async move {
                mover.publish(moved).await;
                channel.ack(of.tag, false).await
            });
            self.current = Some(Current { of, task, since: Instant::now() });
        }
    }
}

impl std::fmt::Debug for Moves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let current = self.current.as_ref().map(|current| current.of);
        f.debug_struct("Moves")
            .field("current", &current)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
