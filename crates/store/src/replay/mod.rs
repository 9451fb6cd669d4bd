//! A replay: what stored webhooks mean to the mappings of this build, put beside what is stored, then in its place.
//!
//! Everything a replay maps goes to tables of its own, so that nothing that is read changes before all of it is mapped
//! and compared. [`Staging::swap`] then attaches whole partitions: a day changes between one question and the next.
//!
//! Invariants:
//! - One replay at a time: its first table is created without `IF NOT EXISTS`, and who finds it there goes on with it
//!   only if it is the same one and nobody is at work.
//! - What was mapped is in `webhooks_read`, written after its rows. A replay that is interrupted goes on behind its end.
//! - Every step may be done again: copies collapse, as those of a redelivery do.
//! - Nothing that came meanwhile is lost: partitions are added to, never replaced, and versions decide.

mod changes;
mod error;
mod swap;
mod webhook;

use std::time::Duration;

use clickhouse::Row;
use clickhouse::error::Error as ClickHouseError;
use clickhouse::query::RowCursor;
use payments::UnixMillis;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Store, refusal};

pub use changes::{Changes, FactChanges, Group};
pub use error::ReplayError;
pub use webhook::{StoredWebhook, WebhookReadRow};

const PREFIX: &str = "replay_";
const RUN: &str = "replay_run";
const READ: &str = "replay_webhooks_read";

/// The tables that a replay has its own of.
const COPIED: &[&str] =
    &["payment_events_stored", "payment_event_places", "parked_webhooks_stored", "webhooks_stored"];

/// ClickHouse's code for a table that exists.
const TABLE_ALREADY_EXISTS: u32 = 57;

/// What a replay is at when nothing of it is in place, and when some of it may be.
const MAPPING: &str = "mapping";
const APPLYING: &str = "applying";

/// After so long without a sign of life a replay is taken for interrupted.
const SILENT: Duration = Duration::from_mins(2);

/// The replay's table for rows of `table`.
pub(crate) fn staged(table: &str) -> String {
    format!("{PREFIX}{table}")
}

/// Which webhooks are replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Received at or after.
    pub from_ms: i64,
    /// Received before; what comes later is not of this replay.
    pub to_ms: i64,
    /// Only of these sources; empty: of all.
    pub sources: Vec<String>,
    /// Only those that are parked.
    pub parked_only: bool,
    /// Only this one.
    pub webhook: Option<Uuid>,
}

fn query(action: &'static str) -> impl Fn(ClickHouseError) -> ReplayError {
    move |source| ReplayError::Query { action, source }
}

#[derive(Row, Deserialize)]
struct Begun {
    parameters: String,
    instance: String,
    to_ms: i64,
    phase: String,
    silent_ms: i64,
}

impl Begun {
    fn must_be_silent(&self) -> Result<(), ReplayError> {
        if u128::try_from(self.silent_ms).is_ok_and(|silent| silent >= SILENT.as_millis()) {
            return Ok(());
        }
        Err(ReplayError::UnderWay { instance: self.instance.clone(), seconds: self.silent_ms / 1_000 })
    }
}

/// The tables of a replay that is under way.
#[derive(Debug)]
pub struct Staging {
    live: Store,
    store: Store,
    selection: Selection,
    parameters: String,
    instance: String,
    /// Whether an interrupted one goes on.
    pub resumed: bool,
    /// Whether that one was being put in place, so that it must be finished, whatever a comparison finds.
    pub half_in_place: bool,
}

impl Staging {
    /// Begins a replay, or goes on with one of the same `parameters`: what was asked for, as its user would recognize
    /// it, and which mappings answer. The end of the selection is the one it began with.
    pub async fn open(
        live: &Store,
        mut selection: Selection,
        parameters: String,
        instance: String,
    ) -> Result<Self, ReplayError> {
        if let Some(cluster) = live.cluster() {
            return Err(ReplayError::Cluster { cluster: cluster.name.clone() });
        }
        let run = format!(
            "CREATE TABLE {RUN} (parameters String, instance String, to_ms Int64, phase String, \
             at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY at"
        );
        let created = client(live).query_raw(&run).execute().await;
        let resumed = match created {
            Ok(()) => false,
            Err(ClickHouseError::BadResponse(text)) if refusal::code(&text) == Some(TABLE_ALREADY_EXISTS) => {
                true
            }
            Err(source) => return Err(query("create the tables of a replay")(source)),
        };
        let mut phase = MAPPING.to_owned();
        if resumed {
            match begun(live).await? {
                Some(begun) => {
                    begun.must_be_silent()?;
                    if begun.parameters != parameters {
                        return Err(ReplayError::Another { parameters: begun.parameters });
                    }
                    selection.to_ms = begun.to_ms;
                    phase = begun.phase;
                }
                // Its first row comes right behind the table, unless it ended between the two.
                None => lock_must_be_old(live).await?,
            }
        }
        let store = live.staged();
        let staging = Self {
            live: live.clone(),
            store,
            selection,
            parameters,
            instance,
            resumed,
            half_in_place: phase == APPLYING,
        };
        staging.record(&staging.instance, &phase).await?;
        staging.sign_of_life().await?;
        staging.create().await?;
        Ok(staging)
    }

    async fn create(&self) -> Result<(), ReplayError> {
        let read = format!(
            "CREATE TABLE IF NOT EXISTS {READ} (received_at DateTime64(3, 'UTC'), webhook_id UUID, \
             source LowCardinality(String), outcome_before LowCardinality(String), outcome LowCardinality(String), \
             reason LowCardinality(String)) ENGINE = ReplacingMergeTree ORDER BY (received_at, webhook_id)"
        );
        let copies =
            COPIED.iter().map(|table| format!("CREATE TABLE IF NOT EXISTS {} AS {table}", staged(table)));
        for statement in copies.chain([read]) {
            self.execute("create the tables of a replay", &statement).await?;
        }
        Ok(())
    }

    /// Throws a replay away, whoever began it; whether there was one. One that shows signs of life is left alone.
    pub async fn abandon(live: &Store) -> Result<bool, ReplayError> {
        let there =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, ?)";
        let asked = client(live).query(there).bind(PREFIX).fetch_one::<u64>().await;
        if asked.map_err(query("tell its tables"))? == 0 {
            return Ok(false);
        }
        match begun(live).await? {
            Some(begun) => {
                begun.must_be_silent()?;
                if begun.phase == APPLYING {
                    return Err(ReplayError::HalfInPlace { parameters: begun.parameters });
                }
            }
            None => lock_must_be_old(live).await?,
        }
        drop_tables(live).await?;
        Ok(true)
    }

    /// Ends it: its tables are dropped.
    pub async fn finish(self) -> Result<(), ReplayError> {
        self.sign_of_life().await?;
        drop_tables(&self.live).await
    }

    /// Leaves its tables as they are and says that nobody is at work: it may be gone on with at once.
    pub async fn leave(self) -> Result<(), ReplayError> {
        let begun = self.own().await?;
        self.record("", &begun.phase).await
    }

    /// Says that it is under way, and fails if another took it over: at least every minute, and before every step that
    /// changes what is read.
    pub async fn sign_of_life(&self) -> Result<(), ReplayError> {
        let begun = self.own().await?;
        self.record(&self.instance, &begun.phase).await
    }

    /// From here on it is finished, not abandoned: some days may be in place and others not.
    pub(super) async fn begin_to_apply(&self) -> Result<(), ReplayError> {
        self.own().await?;
        self.record(&self.instance, APPLYING).await
    }

    async fn own(&self) -> Result<Begun, ReplayError> {
        match begun(&self.live).await? {
            Some(begun) if begun.instance == self.instance => Ok(begun),
            Some(other) => Err(ReplayError::TakenOver { instance: other.instance }),
            None => Err(ReplayError::TakenOver { instance: "somebody who threw it away".to_owned() }),
        }
    }

    /// No instance: nobody is at work.
    async fn record(&self, instance: &str, phase: &str) -> Result<(), ReplayError> {
        let sql = format!("INSERT INTO {RUN} (parameters, instance, to_ms, phase) VALUES (?, ?, ?, ?)");
        let asked = client(&self.live).query(&sql).bind(&self.parameters).bind(instance);
        let sign = asked.bind(self.selection.to_ms).bind(phase);
        sign.execute().await.map_err(query("record a sign of life"))
    }

    /// Where mapped rows go.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many webhooks are selected, and how many of them are mapped already.
    pub async fn counts(&self) -> Result<(u64, u64), ReplayError> {
        let selected = format!("SELECT count() FROM webhooks WHERE {}", self.selected());
        let read = format!("SELECT count() FROM {READ} FINAL");
        let action = "count webhooks";
        let selected = self.bound(&selected).fetch_one::<u64>().await.map_err(query(action))?;
        let read = client(&self.live).query_raw(&read).fetch_one::<u64>().await.map_err(query(action))?;
        Ok((selected, read))
    }

    /// The end of what is mapped.
    pub async fn read_until(&self) -> Result<Option<(i64, Uuid)>, ReplayError> {
        #[derive(Row, Deserialize)]
        struct Last {
            received_at: i64,
            #[serde(with = "clickhouse::serde::uuid")]
            webhook_id: Uuid,
        }
        let sql = format!("SELECT received_at, webhook_id FROM {READ} ORDER BY 1 DESC, 2 DESC LIMIT 1");
        let last = client(&self.live).query_raw(&sql).fetch_optional::<Last>().await;
        Ok(last.map_err(query("tell how far a replay is"))?.map(|last| (last.received_at, last.webhook_id)))
    }

    /// The next `limit` selected webhooks behind `after`, in the order they came.
    pub fn webhooks(
        &self,
        after: Option<(i64, Uuid)>,
        limit: u32,
    ) -> Result<RowCursor<StoredWebhook>, ReplayError> {
        let behind = after.map_or_else(String::new, |(at, id)| {
            format!(
                " AND received_at >= fromUnixTimestamp64Milli({at}) \
                 AND (received_at, webhook_id) > (fromUnixTimestamp64Milli({at}), toUUID('{id}'))"
            )
        });
        let sql = format!(
            "SELECT webhook_id, source, provider, received_at, stored_at, secret, outcome, facts, traceparent, headers, body \
             FROM webhooks WHERE {}{behind} ORDER BY received_at, webhook_id LIMIT {limit}",
            self.selected()
        );
        self.bound(&sql).fetch::<StoredWebhook>().map_err(query("read stored webhooks"))
    }

    fn selected(&self) -> String {
        let Selection { from_ms, to_ms, sources, parked_only, webhook } = &self.selection;
        let mut sql = format!(
            "received_at >= fromUnixTimestamp64Milli({from_ms}) AND received_at < fromUnixTimestamp64Milli({to_ms})"
        );
        if !sources.is_empty() {
            sql.push_str(" AND source IN ?");
        }
        if *parked_only {
            sql.push_str(" AND outcome = 'parked'");
        }
        match webhook {
            Some(id) => sql.push_str(&format!(" AND webhook_id = '{id}'")),
            // What somebody decided against is not brought back by the way.
            None => sql.push_str(
                " AND webhook_id NOT IN (SELECT webhook_id FROM parked_webhooks WHERE reason = 'dropped')",
            ),
        }
        sql
    }

    fn bound(&self, sql: &str) -> clickhouse::query::Query {
        let query = client(&self.live).query(sql);
        if self.selection.sources.is_empty() { query } else { query.bind(&self.selection.sources) }
    }

    async fn execute(&self, action: &'static str, sql: &str) -> Result<(), ReplayError> {
        client(&self.live).query_raw(sql).execute().await.map_err(query(action))
    }
}

/// A question of a replay takes as long as it takes.
pub(super) fn client(live: &Store) -> clickhouse::Client {
    live.client().with_setting("max_execution_time", "0")
}

/// When a selection without an end ends: now.
pub fn until(to: Option<UnixMillis>, now: UnixMillis) -> i64 {
    to.map_or(now.0, |to| to.0.min(now.0))
}

/// A lock without a row is a replay that begins now, or one that ended before its first row.
async fn lock_must_be_old(live: &Store) -> Result<(), ReplayError> {
    let sql = "SELECT toInt64(dateDiff('second', metadata_modification_time, now())) FROM system.tables \
               WHERE database = currentDatabase() AND name = ?";
    let asked = client(live).query(sql).bind(RUN).fetch_optional::<i64>().await;
    let seconds = asked.map_err(query("tell what replay was begun"))?.unwrap_or(i64::MAX);
    if u64::try_from(seconds).is_ok_and(|seconds| seconds >= SILENT.as_secs()) {
        return Ok(());
    }
    Err(ReplayError::UnderWay { instance: "a process that begins".to_owned(), seconds })
}

async fn begun(live: &Store) -> Result<Option<Begun>, ReplayError> {
    let sql = format!(
        "SELECT parameters, instance, to_ms, phase, \
         if(instance = '', toInt64(9223372036854775807), dateDiff('millisecond', at, now64(3))) AS silent_ms \
         FROM {RUN} ORDER BY at DESC LIMIT 1"
    );
    client(live).query_raw(&sql).fetch_optional().await.map_err(query("tell what replay was begun"))
}

/// What was mapped is forgotten first: one that ends half-way is begun anew, and never taken for a replay that maps
/// everything to nothing. The table that is the lock goes last: until then nobody begins another.
async fn drop_tables(live: &Store) -> Result<(), ReplayError> {
    let copies = COPIED.iter().map(|table| staged(table));
    for table in [READ.to_owned()].into_iter().chain(copies).chain([RUN.to_owned()]) {
        let sql = format!("DROP TABLE IF EXISTS {table} SYNC SETTINGS max_table_size_to_drop = 0");
        client(live).query_raw(&sql).execute().await.map_err(query("drop the tables of a replay"))?;
    }
    Ok(())
}
