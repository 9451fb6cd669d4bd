//! From a prepared batch to rows that are stored, whatever ClickHouse says on the way.
//!
//! - What may pass later is tried again, with growing pauses, for as long as it takes: the batch stays in memory, the
//!   rest stays in the queue, and the processor says that it is not ready.
//! - A fact that ClickHouse refuses is found ([`sift`](crate::sift)); its webhook is parked with the reason, and all
//!   other facts are stored.
//! - When many facts are refused and none is taken, or the tables are not as they must be, or a row is refused that no
//!   provider's data can break, it is not the rows: it is waited for. A few facts may well all be refused.
//!
//! Invariant: a batch is returned only when every request of it is in `webhooks` and every parked one in
//! `parked_webhooks`. `webhooks` is written last: a row in it says that everything its webhook became is stored.

use std::sync::Arc;
use std::time::Duration;

use payments::{ParkReason, UnixMillis};
use runtime::config::ProcessorConfig;
use runtime::{HealthHandle, SharedClock};
use store::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, StoredRow, TallyRow, WebhookRow};
use store::{Decision, InsertError, Store, TablesError};
use tokio_util::sync::CancellationToken;

use crate::observations::Observations;
use crate::pauses::{Pauses, Stopped};
use crate::prepare::{Normalized, Prepared, Unreadable};
use crate::sift::{PIECES_REFUSED_MAX, Sift, Sifted};

/// Failures in a row after which the processor is not ready.
const FAILURES_UNTIL_NOT_READY: u32 = 3;

/// Attempts at what may be too much at once before it is halved, and at one row that may have been cut on its way
/// before it is refused.
const ATTEMPTS_MIN: u32 = 3;

pub(crate) struct Inserter {
    store: Store,
    clock: SharedClock,
    observations: Arc<Observations>,
    health: HealthHandle,
    delay: Duration,
    delay_max: Duration,
    timeout: Duration,
}

impl Inserter {
    pub(crate) fn new(
        config: &ProcessorConfig,
        store: Store,
        clock: SharedClock,
        observations: Arc<Observations>,
        health: HealthHandle,
    ) -> Self {
        Self {
            store,
            clock,
            observations,
            health,
            delay: Duration::from_millis(config.retry_delay_ms),
            delay_max: Duration::from_millis(config.retry_delay_ms_max.max(config.retry_delay_ms)),
            timeout: Duration::from_millis(config.insert_timeout_ms),
        }
    }

    /// Waits until the tables are those that our rows are made for.
    pub(crate) async fn wait_for_tables(&self, stop: &CancellationToken) -> Result<(), Stopped> {
        let mut pauses = self.pauses();
        while let Err(error) = self.check_tables(stop).await? {
            self.observations.tables_differ(&error, pauses.next());
            self.health.not_ready(runtime::chain(&error));
            pauses.wait(stop).await?;
        }
        self.health.ready();
        Ok(())
    }

    /// Asks once; the answer is not waited for once the process is to stop.
    async fn check_tables(&self, stop: &CancellationToken) -> Result<Result<(), TablesError>, Stopped> {
        tokio::select! {
            () = stop.cancelled() => Err(Stopped),
            checked = self.store.check_tables() => Ok(checked),
        }
    }

    /// Stores all of `prepared`, and gives it back as it was stored: webhooks whose facts are refused are parked.
    pub(crate) async fn insert(
        &self,
        mut prepared: Prepared,
        stop: &CancellationToken,
    ) -> Result<Prepared, Stopped> {
        let stored_at = self.clock.now();
        self.facts(&mut prepared.webhooks, stored_at, stop).await?;
        self.parked(&prepared.webhooks, &prepared.unreadable, stored_at, stop).await?;
        self.webhooks(&prepared.webhooks, stored_at, stop).await?;
        let heartbeats: Vec<_> =
            prepared.heartbeats.iter().map(|beat| HeartbeatRow::new(beat, stored_at)).collect();
        // After the webhooks: a tally is compared with what is stored.
        let tallies: Vec<_> = prepared.tallies.iter().map(|tally| TallyRow::new(tally, stored_at)).collect();
        self.all::<TallyRow>(&tallies, stop).await?;
        self.all::<HeartbeatRow>(&heartbeats, stop).await?;
        self.health.ready();
        Ok(prepared)
    }

    /// Stores the facts that ClickHouse takes; the others leave their webhooks, which are parked.
    pub(crate) async fn facts(
        &self,
        webhooks: &mut [Normalized],
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut owners = Vec::new();
        let mut rows = Vec::new();
        for (owner, webhook) in webhooks.iter().enumerate() {
            for (index, fact) in webhook.facts.iter().enumerate() {
                owners.push((owner, index));
                rows.push(PaymentEventRow::new(&webhook.envelope, fact, stored_at));
            }
        }
        let owner_count = owners.first().zip(owners.last()).map_or(0, |(first, last)| last.0 - first.0 + 1);
        let mut refused = self.takeable::<PaymentEventRow>(&rows, owner_count, stop).await?.refused;
        drop(rows);
        // From the end, so that the indices before stay true.
        refused.sort_by_key(|refused| std::cmp::Reverse(refused.row));
        for refused in refused {
            if let Some((webhook, index)) =
                owners.get(refused.row).and_then(|(owner, index)| webhooks.get_mut(*owner).zip(Some(*index)))
            {
                webhook.facts.remove(index);
                webhook.parked = Some(ParkReason::RefusedByStore(refused.why).into());
            }
        }
        Ok(())
    }

    pub(crate) async fn parked(
        &self,
        webhooks: &[Normalized],
        unreadable: &[Unreadable],
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let not_understood = webhooks.iter().filter_map(|webhook| webhook.parked_row(stored_at));
        let unreadable = unreadable.iter().map(|unreadable| {
            let id = store::rows::unreadable_id(&unreadable.message);
            ParkedWebhookRow::unreadable(&unreadable.message, id, unreadable.error.to_string(), stored_at)
        });
        let rows: Vec<_> = not_understood.chain(unreadable).collect();
        self.all::<ParkedWebhookRow>(&rows, stop).await
    }

    pub(crate) async fn webhooks(
        &self,
        webhooks: &[Normalized],
        stored_at: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let rows: Vec<_> = webhooks
            .iter()
            .map(|webhook| {
                let outcome = webhook.outcome().name();
                WebhookRow::new(&webhook.envelope, outcome, webhook.facts.len(), stored_at)
            })
            .collect();
        self.all::<WebhookRow>(&rows, stop).await
    }

    /// Stores every one of `rows`, whatever it takes: no provider's data can break them, so a refusal is about the
    /// table, and passes when that is mended.
    pub(crate) async fn all<T>(&self, rows: &[T::Value<'_>], stop: &CancellationToken) -> Result<(), Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut pauses = self.pauses();
        loop {
            let sifted = self.sift::<T>(rows, PIECES_REFUSED_MAX, stop).await?;
            let Some(why) = sifted.why() else { return Ok(()) };
            self.refused_for_good(T::TABLE, why, &mut pauses, stop).await?;
        }
    }

    /// Stores what ClickHouse takes of `rows`, which belong to so many webhooks, and tells what it does not take. Where
    /// it takes nothing, and not because of each row alone, it is not the rows, and all are tried again.
    async fn takeable<T>(
        &self,
        rows: &[T::Value<'_>],
        webhooks: usize,
        stop: &CancellationToken,
    ) -> Result<Sifted, Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut pauses = self.pauses();
        // The facts of one webhook may well all be refused.
        let pieces_refused_max = if webhooks > 1 { PIECES_REFUSED_MAX } else { usize::MAX };
        loop {
            let sifted = self.sift::<T>(rows, pieces_refused_max, stop).await?;
            let Some(why) = sifted.why().filter(|_| sifted.stored == 0) else { return Ok(sifted) };
            if !sifted.is_given_up() && self.check_tables(stop).await?.is_ok() {
                return Ok(sifted);
            }
            self.refused_for_good(T::TABLE, why, &mut pauses, stop).await?;
        }
    }

    async fn sift<T>(
        &self,
        rows: &[T::Value<'_>],
        pieces_refused_max: usize,
        stop: &CancellationToken,
    ) -> Result<Sifted, Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut sift = Sift::new(rows.len(), pieces_refused_max);
        while let Some(piece) = sift.next() {
            match self.until_decided::<T>(&rows[piece.clone()], stop).await? {
                Ok(()) => sift.stored(&piece),
                Err(error) => {
                    self.observations.insert_refused(T::TABLE, piece.len(), &error);
                    sift.refused(&piece, &error);
                }
            }
        }
        Ok(sift.finish())
    }

    /// Tries until the rows are stored, refused for good, or to be tried in smaller pieces.
    async fn until_decided<T>(
        &self,
        rows: &[T::Value<'_>],
        stop: &CancellationToken,
    ) -> Result<Result<(), InsertError>, Stopped>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let mut pauses = self.pauses();
        let mut failures = 0;
        loop {
            let Err(error) = self.store.insert::<T>(rows, self.timeout).await else { return Ok(Ok(())) };
            failures += 1;
            match error.decision() {
                Decision::Split => return Ok(Err(error)),
                Decision::SplitIfRepeated if failures >= ATTEMPTS_MIN || rows.len() > 1 => {
                    return Ok(Err(error));
                }
                Decision::RetrySmaller if failures >= ATTEMPTS_MIN && rows.len() > 1 => {
                    return Ok(Err(error));
                }
                Decision::Retry | Decision::RetrySmaller | Decision::SplitIfRepeated => {}
            }
            self.observations.insert_retried(T::TABLE, &error, pauses.next());
            if failures >= FAILURES_UNTIL_NOT_READY {
                self.health.not_ready(format!("{error} ({})", error.name()));
            }
            pauses.wait(stop).await?;
        }
    }

    async fn refused_for_good(
        &self,
        table: &'static str,
        why: &str,
        pauses: &mut Pauses,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.observations.table_refuses(table, why, pauses.next());
        self.health
            .not_ready(format!("ClickHouse refuses rows of {table} that nothing is wrong with: {why}"));
        pauses.wait(stop).await
    }

    fn pauses(&self) -> Pauses {
        Pauses::new(self.delay, self.delay_max)
    }
}

impl Normalized {
    fn parked_row(&self, stored_at: UnixMillis) -> Option<ParkedWebhookRow<'_>> {
        let parked = self.parked.as_ref()?;
        Some(ParkedWebhookRow::because(&self.envelope, parked.reason, parked.detail.clone(), stored_at))
    }
}

#[cfg(test)]
mod tests;
