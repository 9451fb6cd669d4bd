//! From a prepared batch to rows that are stored, whatever ClickHouse says on the way.
//!
//! - What may pass later is tried again, with growing pauses, for as long as it takes: the batch stays in memory, the
//!   rest stays in the queue.
//! - A batch that holds something ClickHouse refuses is halved until the refused row is alone; its webhook is parked
//!   with the reason, and all others are stored.
//!
//! `webhooks` is written last: a row in it says that everything its webhook became is stored.

use std::sync::Arc;
use std::time::Duration;

use payments::UnixMillis;
use rand::RngExt as _;
use runtime::SharedClock;
use runtime::config::ProcessorConfig;
use store::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, StoredRow, WebhookRow};
use store::{Decision, InsertError, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::observations::Observations;
use crate::prepare::{Normalized, Prepared};

/// The process is stopping and the store does not take the batch: it stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

pub(crate) struct Inserter {
    store: Store,
    clock: SharedClock,
    observations: Arc<Observations>,
    delay: Duration,
    delay_max: Duration,
    timeout: Duration,
}

/// Index of a row that ClickHouse refuses, and why.
struct Refused {
    index: usize,
    why: String,
}

impl Inserter {
    pub(crate) fn new(
        config: &ProcessorConfig,
        store: Store,
        clock: SharedClock,
        observations: Arc<Observations>,
    ) -> Self {
        Self {
            store,
            clock,
            observations,
            delay: Duration::from_millis(config.retry_delay_ms),
            delay_max: Duration::from_millis(config.retry_delay_ms_max.max(config.retry_delay_ms)),
            timeout: Duration::from_millis(config.insert_timeout_ms),
        }
    }

    /// Stores all of `prepared`, and gives it back as it was stored: webhooks whose facts are refused are parked.
    pub(crate) async fn insert(
        &self,
        mut prepared: Prepared,
        stop: &CancellationToken,
    ) -> Result<Prepared, Stopped> {
        let stored_at = self.clock.now();
        self.facts(&mut prepared, stored_at, stop).await?;
        self.parked(&prepared, stored_at, stop).await?;
        self.webhooks(&prepared, stored_at, stop).await?;
        let heartbeats: Vec<_> =
            prepared.heartbeats.iter().map(|beat| HeartbeatRow::new(beat, stored_at)).collect();
        let refused = self.rows::<HeartbeatRow>(&heartbeats, stop).await?;
        self.only_report(HeartbeatRow::TABLE, &refused);
        Ok(prepared)
    }

    async fn facts(
        &self,
        prepared: &mut Prepared,
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut owners = Vec::new();
        let mut rows = Vec::new();
        for (owner, webhook) in prepared.webhooks.iter().enumerate() {
            for fact in webhook.facts() {
                owners.push(owner);
                rows.push(PaymentEventRow::new(&webhook.envelope, fact, stored_at));
            }
        }
        let refused = self.rows::<PaymentEventRow>(&rows, stop).await?;
        drop(rows);
        for Refused { index, why } in refused {
            if let Some(webhook) = owners.get(index).and_then(|owner| prepared.webhooks.get_mut(*owner)) {
                webhook.refuse(why);
            }
        }
        Ok(())
    }

    async fn parked(
        &self,
        prepared: &Prepared,
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let understood = prepared.webhooks.iter().filter_map(|webhook| webhook.parked_row(stored_at));
        let unreadable = prepared.unreadable.iter().map(|unreadable| {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &unreadable.message);
            ParkedWebhookRow::unreadable(&unreadable.message, id, unreadable.error.to_string(), stored_at)
        });
        let rows: Vec<_> = understood.chain(unreadable).collect();
        let refused = self.rows::<ParkedWebhookRow>(&rows, stop).await?;
        self.only_report(ParkedWebhookRow::TABLE, &refused);
        Ok(())
    }

    async fn webhooks(
        &self,
        prepared: &Prepared,
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let rows: Vec<_> = prepared
            .webhooks
            .iter()
            .map(|webhook| {
                let outcome = webhook.outcome().name();
                WebhookRow::new(&webhook.envelope, outcome, webhook.facts().len(), stored_at)
            })
            .collect();
        let refused = self.rows::<WebhookRow>(&rows, stop).await?;
        self.only_report(WebhookRow::TABLE, &refused);
        Ok(())
    }

    /// Stores `rows`, halving what is refused; returns the rows that are refused alone.
    async fn rows<T>(&self, rows: &[T::Value<'_>], stop: &CancellationToken) -> Result<Vec<Refused>, Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut refused = Vec::new();
        let mut ranges = Vec::new();
        ranges.push(0..rows.len());
        while let Some(range) = ranges.pop() {
            match self.until_decided::<T>(&rows[range.clone()], stop).await? {
                Ok(()) => {}
                Err(error) if range.len() == 1 => {
                    self.observations.row_refused(T::TABLE, &error);
                    let why = std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    refused.push(Refused { index: range.start, why });
                }
                Err(error) => {
                    self.observations.insert_split(T::TABLE, range.len(), &error);
                    let middle = range.start + range.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
            }
        }
        Ok(refused)
    }

    /// Tries until the rows are stored or refused for good.
    async fn until_decided<T>(
        &self,
        rows: &[T::Value<'_>],
        stop: &CancellationToken,
    ) -> Result<Result<(), InsertError>, Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut pause = self.delay;
        loop {
            let Err(error) = self.store.insert::<T>(rows, self.timeout).await else { return Ok(Ok(())) };
            match error.decision() {
                Decision::Split => return Ok(Err(error)),
                Decision::Retry => {
                    self.observations.insert_retried(T::TABLE, &error, pause);
                    let jittered = pause.mul_f64(rand::rng().random_range(0.8..1.2));
                    tokio::select! {
                        () = stop.cancelled() => return Err(Stopped),
                        () = tokio::time::sleep(jittered) => {}
                    }
                    pause = (pause * 2).min(self.delay_max);
                }
            }
        }
    }

    /// Rows of ours that no provider's data can break: if one is refused it is our defect, and it is in the log.
    fn only_report(&self, table: &'static str, refused: &[Refused]) {
        for Refused { why, .. } in refused {
            tracing::error!(table, why, "a row that must always be accepted was refused");
        }
    }
}

impl Normalized {
    /// Its facts cannot be stored: they are replaced by the reason.
    fn refuse(&mut self, why: String) {
        self.facts = Err(payments::ParkReason::RefusedByStore(why));
    }

    fn parked_row(&self, stored_at: UnixMillis) -> Option<ParkedWebhookRow<'_>> {
        let reason = self.facts.as_ref().err()?;
        Some(ParkedWebhookRow::new(&self.envelope, reason, stored_at))
    }
}
