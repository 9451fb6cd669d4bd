//! Sends the tallies the way their webhooks go. A tally stands in the queue behind everything it counts, so whatever
//! holds webhooks back holds back the count that they are compared with.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use payments::{Tally, UnixMillis};
use queue::{PublishError, Publisher};
use runtime::{SharedClock, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::tally::SourceTally;

/// Tallies of one source sent at once. There is one of each minute, so only after an outage are there more, and those
/// are sent one lot after the other.
const AT_ONCE_MAX: usize = 64;

pub(crate) struct Tallies {
    pub(crate) sources: Vec<Arc<SourceTally>>,
    pub(crate) publisher: Publisher,
    pub(crate) instance: String,
    pub(crate) interval: Duration,
    pub(crate) clock: SharedClock,
}

impl Tallies {
    /// Sends what has grown, once per interval, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.send() => {}
            }
        }
    }

    /// Sends what has grown. What the queue does not take is sent the next time: nothing is lost by it but time.
    pub(crate) async fn send(&self) {
        let sent = join_all(self.sources.iter().map(|source| self.send_of(source))).await;
        if let Some(error) = sent.into_iter().find_map(Result::err) {
            warn!(error = chain(&error), "tallies not sent: what is acknowledged is counted late");
        }
        let now = self.clock.now();
        for source in &self.sources {
            let forgotten = source.tidy(now);
            if forgotten > 0 {
                warn!(
                    source = source.source,
                    minutes = forgotten,
                    "tallies forgotten: too many wait to be sent"
                );
            }
        }
    }

    async fn send_of(&self, source: &SourceTally) -> Result<(), PublishError> {
        loop {
            let now = self.clock.now();
            let tallies = source.untold(&self.instance, now, AT_ONCE_MAX);
            let sent = join_all(tallies.iter().map(|tally| self.send_one(source, tally, now))).await;
            sent.into_iter().collect::<Result<(), _>>()?;
            if tallies.len() < AT_ONCE_MAX {
                return Ok(());
            }
        }
    }

    async fn send_one(
        &self,
        source: &SourceTally,
        tally: &Tally,
        now: UnixMillis,
    ) -> Result<(), PublishError> {
        self.publisher.publish(source.lane, &[&tally.encode()]).await?;
        source.told(tally, now);
        Ok(())
    }
}
