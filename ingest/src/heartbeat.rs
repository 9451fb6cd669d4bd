//! Signs of life that take the same way as the webhooks: a stored heartbeat proves that everything accepted before
//! it is stored too, so "no webhooks" can be told from "we are down".

use std::time::Duration;

use payments::Heartbeat;
use queue::Publisher;
use runtime::SharedClock;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) struct Heartbeats {
    pub(crate) publisher: Publisher,
    pub(crate) instance: String,
    pub(crate) interval: Duration,
    pub(crate) clock: SharedClock,
}

impl Heartbeats {
    /// Sends one at once and then one per interval, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => self.send().await,
            }
        }
    }

    async fn send(&self) {
        let heartbeat = Heartbeat { instance: self.instance.clone(), sent_at: self.clock.now() };
        if let Err(error) = self.publisher.publish(heartbeat.encode()).await {
            warn!(error = %error, "heartbeat not sent: data will be called stale until one is");
        }
    }
}
