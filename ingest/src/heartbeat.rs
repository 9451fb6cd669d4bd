//! Signs of life that take the same way as the webhooks: a stored heartbeat proves that everything accepted before
//! it is stored too, so "no webhooks" can be told from "we are down".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use payments::Heartbeat;
use queue::{PublishError, Publisher, spool};
use runtime::{HealthHandle, SharedClock, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) struct Heartbeats {
    pub(crate) publisher: Publisher,
    pub(crate) instance: String,
    pub(crate) interval: Duration,
    pub(crate) clock: SharedClock,
    /// Ingest's: what a heartbeat meets, every webhook meets.
    pub(crate) health: HealthHandle,
    /// Whether this process says that it goes: then nothing makes it ready again.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl Heartbeats {
    /// Sends one at once and then one per interval, until `stop`. A queue that is closed before is an error: nothing
    /// but a new start opens it again.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                sent = self.send() => sent?,
            }
        }
    }

    /// One in every lane, since each proves what its own has taken before.
    async fn send(&self) -> anyhow::Result<()> {
        let lanes = self.publisher.lanes();
        for sent in join_all((0..lanes).map(|lane| self.send_in(lane, lanes))).await {
            let Err(error) = sent else { continue };
            let cause = chain(&error);
            match error {
                PublishError::Closed => return Err(error).context("webhooks cannot be accepted any more"),
                // A burst: the next webhook may be accepted already.
                PublishError::Overloaded { .. } => {}
                _ => self.health.not_ready(&cause),
            }
            warn!(error = cause, "heartbeat not sent: data will be called stale until one is");
            return Ok(());
        }
        if !self.leaving.load(Ordering::Relaxed) {
            match self.publisher.spool().and_then(note_of_spool) {
                Some(note) => self.health.ready_but(note),
                None => self.health.ready(),
            }
        }
        Ok(())
    }

    fn send_in(
        &self,
        lane: usize,
        lanes: usize,
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let instance = if lanes == 1 { self.instance.clone() } else { format!("{}/{lane}", self.instance) };
        self.publisher.publish(lane, &[&Heartbeat { instance, sent_at: self.clock.now() }.encode()])
    }
}

/// What whoever asks for readiness should know of the spool.
fn note_of_spool(spool: &spool::Publisher) -> Option<String> {
    match spool.stats() {
        Ok(stats) if !stats.is_spooling && stats.records == 0 => None,
        Ok(stats) => Some(format!(
            "the broker does not confirm; {} webhooks wait on the spool, the oldest for {} s",
            stats.records,
            stats.oldest_age.unwrap_or_default().as_secs()
        )),
        Err(error) => Some(format!("the spool cannot be looked at: {}", chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payments::UnixMillis;
    use queue::LogConfig;
    use runtime::{Health, MockClock};

    fn heartbeats(log: LogConfig) -> (Heartbeats, Health) {
        let health = Health::default();
        let heartbeats = Heartbeats {
            publisher: Publisher::open_embedded(log).unwrap(),
            instance: "one".to_owned(),
            interval: Duration::from_millis(1),
            clock: MockClock::at(UnixMillis(0)),
            health: health.register("ingest"),
            leaving: Arc::default(),
        };
        (heartbeats, health)
    }

    #[tokio::test]
    async fn a_queue_that_closes_by_itself_ends_heartbeats_with_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (heartbeats, health) = heartbeats(LogConfig::new(folder.path()));
        let publisher = heartbeats.publisher.clone();
        heartbeats.send().await.unwrap();
        assert!(health.is_ready());
        publisher.close().await;
        let error = heartbeats.run(CancellationToken::new()).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "webhooks cannot be accepted any more: the queue is closed");
    }

    #[tokio::test]
    async fn a_queue_that_is_full_makes_ingest_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogConfig::new(folder.path());
        log.record_bytes_max = 64 << 10;
        log.segment_bytes = 1 << 20;
        log.bytes_max = 2 << 20;
        let (heartbeats, health) = heartbeats(log);
        heartbeats.send().await.unwrap();
        while heartbeats.publisher.publish(0, &[&vec![0; 60 << 10]]).await.is_ok() {}
        // What is left may hold a few heartbeats yet, but not a thousand.
        for _ in 0..100_000 {
            heartbeats.send().await.unwrap();
            if !health.is_ready() {
                break;
            }
        }
        let reason = health.parts()["ingest"].clone().unwrap_err();
        assert!(reason.starts_with("the log is full"), "{reason}");
    }
}
