//! Growing pauses between attempts, which end when the process does.

use std::time::Duration;

use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

/// The process is stopping and the store does not take the batch: it stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The pauses of one thing that is tried again and again.
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// About how long the next one is.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let jittered = self.next.mul_f64(rand::rng().random_range(0.8..1.2));
        self.next = (self.next * 2).min(self.max);
        tokio::select! {
            () = stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(jittered) => Ok(()),
        }
    }
}
