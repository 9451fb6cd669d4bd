//! Takes records, and sees when the broker does not confirm them.

use super::drain::{Drain, Drained};
use super::record;
use super::route::{Appending, Route, Routes};
use crate::{OpenError, PublishError, StorageError, embedded, rabbitmq};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Settings of the spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The log that is the spool, in a directory of its own.
    pub log: embedded::LogConfig,
    /// A record that the broker has not confirmed after this time goes onto the log.
    pub after: Duration,
}

/// A handle to publish with; clones share one broker and one log.
#[derive(Clone, Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
}

/// What is on the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Whether records go onto the log now, of any lane.
    pub is_spooling: bool,
    /// Records on the log that the broker has not confirmed.
    pub records: u64,
    /// Bytes the log takes on disk, preallocated space included.
    pub bytes_on_disk: u64,
    /// How long the oldest record has been on the log.
    pub oldest_age: Option<Duration>,
    /// Records put on the log since the publisher was opened.
    pub spooled: u64,
    /// Records of the log that the broker confirmed since the publisher was opened.
    pub drained: u64,
}

#[derive(Debug)]
struct Inner {
    broker: rabbitmq::Publisher,
    log: embedded::Publisher,
    routes: Arc<Routes>,
    after: Duration,
    spooled: AtomicU64,
    drained: Arc<Drained>,
    stop: CancellationToken,
    draining: Mutex<Option<JoinHandle<()>>>,
}

/// Opens a spool in front of `broker`. What an earlier run has left on it goes first.
pub fn open(broker: rabbitmq::Publisher, config: SpoolConfig) -> Result<Publisher, OpenError> {
    let after = config.after;
    let (log, consumer) = open_log(config)?;
    let left = log.stats()?.records_waiting;
    if left > 0 {
        tracing::info!(
            records = left,
            "the spool holds records of an earlier run; they go to the broker first"
        );
    }
    let routes = Arc::new(Routes::new(broker.lanes(), left == 0));
    let drained = Arc::new(Drained::default());
    let stop = CancellationToken::new();
    let drain = Drain {
        broker: broker.clone(),
        log: log.clone(),
        consumer,
        routes: Arc::clone(&routes),
        drained: Arc::clone(&drained),
        after,
        published: None,
        stop: stop.clone(),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "`Publisher::close`, which the lifecycle calls, waits for it"
    )]
    let draining = Mutex::new(Some(tokio::spawn(drain.run())));
    let spooled = AtomicU64::new(0);
    Ok(Publisher { inner: Arc::new(Inner { broker, log, routes, after, spooled, drained, stop, draining }) })
}

/// How many records lie on a spool that nobody drains; none where there is none.
pub fn left(config: SpoolConfig) -> Result<u64, OpenError> {
    if !config.log.dir.try_exists().unwrap_or(true) {
        return Ok(0);
    }
    let (log, _consumer) = open_log(config)?;
    Ok(log.stats()?.records_waiting)
}

fn open_log(mut config: SpoolConfig) -> Result<(embedded::Publisher, embedded::Consumer), OpenError> {
    config.log.record_bytes_max += record::HEAD_BYTES;
    config.log.in_flight_bytes_max += record::HEAD_BYTES;
    embedded::open(config.log)
}

impl Publisher {
    /// Publishes a record to the lane of that number, modulo their count: to the broker, or onto the log. The pieces are
    /// copied before this returns. If the future is dropped before it is ready, the record may or may not be stored.
    pub fn publish(
        &self,
        lane: usize,
        payload: &[&[u8]],
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let inner = Arc::clone(&self.inner);
        let lane = lane % inner.broker.lanes().max(1);
        let payload = payload.concat();
        async move { inner.publish(lane, &payload).await }
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.inner.broker.lanes()
    }

    /// Takes no more records. What is on the log goes to the broker as long as it confirms, for a while; what is left
    /// then stays on the disk for the next run.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.stop.cancel();
        let draining = inner.draining.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(draining) = draining
            && let Err(error) = draining.await
        {
            tracing::error!(%error, "draining the spool ended badly");
        }
        inner.log.close().await;
        match inner.log.stats() {
            Ok(stats) if stats.records_waiting > 0 => tracing::warn!(
                records = stats.records_waiting,
                "acknowledged records are left on the spool; start again with the same data directory"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = crate::error::chain(&error), "the spool cannot be looked at");
            }
        }
        inner.broker.close().await;
    }

    /// The broker behind.
    pub fn broker(&self) -> &rabbitmq::Publisher {
        &self.inner.broker
    }

    /// Figures for metrics. Reads the directory (tens of microseconds): for every few seconds.
    pub fn stats(&self) -> Result<SpoolStats, StorageError> {
        let inner = &self.inner;
        let log = inner.log.stats()?;
        let oldest = if log.records_waiting > 0 { inner.drained.oldest() } else { None };
        Ok(SpoolStats {
            is_spooling: inner.routes.is_spooling(),
            records: log.records_waiting,
            bytes_on_disk: log.bytes_on_disk,
            oldest_age: oldest.map(|oldest| record::now().duration_since(oldest).unwrap_or_default()),
            spooled: inner.spooled.load(Ordering::Relaxed),
            drained: inner.drained.records(),
        })
    }
}

impl Inner {
    async fn publish(&self, lane: usize, payload: &[u8]) -> Result<(), PublishError> {
        // That the broker may have it is not forgotten where the disk refuses it.
        let mut uncertain = None;
        loop {
            if self.stop.is_cancelled() {
                return Err(PublishError::Closed);
            }
            let route = self.routes.of(lane);
            if let (Route::Direct, Some(reason)) = (&route, self.broker.away()) {
                // It is given nothing, so nothing is uncertain.
                self.spool(lane, &PublishError::BrokerAway { reason });
                continue;
            }
            match route {
                Route::Direct => match self.direct(lane, payload).await {
                    Ok(told) => return told.map_err(|error| uncertain.unwrap_or(error)),
                    Err(why) => {
                        self.spool(lane, &why);
                        uncertain = uncertain.or_else(|| why.may_be_stored().then_some(why));
                    }
                },
                Route::Spool(appending) => {
                    let appended = self.append(lane, payload, appending).await;
                    return appended.map_err(|error| uncertain.unwrap_or(error));
                }
                // Either way it is looked at again.
                Route::Hold(mut change) => tokio::select! {
                    () = self.stop.cancelled() => {}
                    _ = change.changed() => {}
                    // Whatever keeps the last of the log: what comes goes behind it.
                    () = sleep(self.after) => self.routes.part(),
                },
            }
        }
    }

    /// What the broker says, or why it does not.
    async fn direct(&self, lane: usize, payload: &[u8]) -> Result<Result<(), PublishError>, PublishError> {
        match timeout(self.after, self.broker.publish(lane, &[payload])).await {
            Ok(Err(error)) if means_spool(&error) => Err(error),
            Ok(told) => Ok(told),
            Err(_) => Err(PublishError::TimedOut { within: self.after }),
        }
    }

    fn spool(&self, lane: usize, why: &PublishError) {
        if self.routes.spool(lane) {
            tracing::warn!(lane, why = crate::error::chain(why), "webhooks of the lane go onto the spool");
        }
    }

    async fn append(&self, lane: usize, payload: &[u8], appending: Appending) -> Result<(), PublishError> {
        let appended = self.log.publish(&[&record::head(lane, record::now()), payload]).await;
        drop(appending);
        if appended.is_ok() {
            self.spooled.fetch_add(1, Ordering::Relaxed);
        }
        appended
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Whether the log may take what the broker has not confirmed. More than may be on its way is not that: the broker is
/// there, and one busy source shall not send all others through the log.
fn means_spool(error: &PublishError) -> bool {
    match error {
        PublishError::BrokerAway { .. }
        | PublishError::TimedOut { .. }
        | PublishError::Nacked
        | PublishError::Unroutable { .. } => true,
        PublishError::Full { .. }
        | PublishError::Storage(_)
        | PublishError::Overloaded { .. }
        | PublishError::TooLarge { .. }
        | PublishError::Closed => false,
    }
}
