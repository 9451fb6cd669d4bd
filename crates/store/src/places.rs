//! Keeps a fact in one minute only.
//!
//! The facts' table is ordered by minute, and copies collapse within theirs. Mostly that is enough: a provider that
//! repeats an event repeats its time. Where the time may differ (see [`PaymentEventRow`](crate::rows::PaymentEventRow)),
//! every place of the fact is noted, after its row, in a table ordered by its identity. Looking there finds older copies
//! in other minutes, and each gets a row that retracts it.
//!
//! Invariant: first the rows, then their places, then the look. So of two processors that store two copies at the same
//! time the later one sees both; and a crash in between is mended by the redelivery, since nothing was acknowledged.
//! On a cluster places are written and read in sequence
//! ([`sequential_client`](crate::Store::sequential_client)): the look sees the other's places on whichever replica.

use clickhouse::Row;
use clickhouse::error::Error as ClickHouseError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Store;
use crate::cluster::in_turn;
use crate::rows::{StoredRow, TIME};

/// Where a fact lies.
#[derive(Clone, Debug, Row, Serialize)]
pub struct Place<'a> {
    identity: u64,
    source: &'a str,
    event_id: &'a str,
    fact: u16,
    occurred_at: i64,
    received_at: i64,
    mapper_version: u16,
}

impl<'a> Place<'a> {
    pub(crate) fn new(
        (source, event_id, fact): (&'a str, &'a str, u16),
        (occurred_at, received_at): (i64, i64),
        mapper_version: u16,
    ) -> Self {
        let mut digest = Sha256::new();
        for part in [source.as_bytes(), &[0], event_id.as_bytes(), &[0], &fact.to_le_bytes()] {
            digest.update(part);
        }
        // A collision only makes two facts be looked at together.
        let identity = digest.finalize().iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
        Self { identity, source, event_id, fact, occurred_at, received_at, mapper_version }
    }
}

impl StoredRow for Place<'_> {
    const TABLE: &'static str = "payment_event_places";
    const TYPES: &'static [&'static str] =
        &["UInt64", "LowCardinality(String)", "String", "UInt16", TIME, TIME, "UInt16"];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(&self.identity.to_le_bytes());
        digest(&self.occurred_at.to_le_bytes());
        digest(&self.received_at.to_le_bytes());
        digest(&self.mapper_version.to_le_bytes());
    }
}

/// Takes an older copy out of its minute: the same key, marked as deleted, with a version above the copy's.
#[derive(Debug, Row, Serialize, Deserialize)]
pub(crate) struct Retraction {
    source: String,
    event_id: String,
    fact: u16,
    occurred_at: i64,
    received_at: i64,
    mapper_version: u16,
    is_deleted: u8,
}

impl StoredRow for Retraction {
    const TABLE: &'static str = "payment_events_stored";
    const TYPES: &'static [&'static str] =
        &["LowCardinality(String)", "String", "UInt16", TIME, TIME, "UInt16", "UInt8"];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        for part in [b"retract", self.source.as_bytes(), self.event_id.as_bytes(), &self.fact.to_le_bytes()] {
            digest(part);
            digest(&[0]);
        }
        digest(&self.occurred_at.to_le_bytes());
        digest(&self.mapper_version.to_le_bytes());
    }
}

#[derive(Row, Deserialize)]
struct Repeated {
    identity: u64,
}

/// Identities in one question: some 20 KB of SQL, well below what ClickHouse parses by default.
const ASKED_AT_ONCE: usize = 1_000;

impl Store {
    /// Notes `places` and retracts every older copy of their facts that lies elsewhere.
    pub(crate) async fn settle(&self, places: &[Place<'_>]) -> Result<(), ClickHouseError> {
        if places.is_empty() {
            return Ok(());
        }
        let mut identities: Vec<u64> = places.iter().map(|place| place.identity).collect();
        identities.sort_unstable();
        identities.dedup();
        if self.is_staged() {
            for asked in identities.chunks(ASKED_AT_ONCE) {
                self.look_at_live(asked).await?;
            }
        }
        in_turn(|| self.write_with::<Place<'_>>(self.sequential_client(), places)).await?;
        let mut repeated = Vec::new();
        for asked in identities.chunks(ASKED_AT_ONCE) {
            repeated.extend(in_turn(|| self.repeated(asked)).await?);
        }
        for asked in repeated.chunks(ASKED_AT_ONCE) {
            let retractions = in_turn(|| self.superseded(asked)).await?;
            if !retractions.is_empty() {
                self.write::<Retraction>(&retractions).await?;
            }
        }
        Ok(())
    }

    /// Notes in a replay's table where the facts lie that are read, so that it retracts them as a live copy would.
    async fn look_at_live(&self, identities: &[u64]) -> Result<(), ClickHouseError> {
        let sql = format!(
            "INSERT INTO {} (identity, source, event_id, fact, occurred_at, received_at, mapper_version) \
             SELECT identity, source, event_id, fact, occurred_at, received_at, mapper_version \
             FROM {} WHERE identity IN ({})",
            self.table(Place::TABLE),
            Place::TABLE,
            list(identities)
        );
        self.sequential_client().query_raw(&sql).execute().await
    }

    /// Those of `identities` that were noted more than once, be it twice in the same minute: nearly always none or few,
    /// and cheap to find, since only one column is read.
    async fn repeated(&self, identities: &[u64]) -> Result<Vec<u64>, ClickHouseError> {
        let sql = format!(
            "SELECT identity FROM {} WHERE identity IN ({}) GROUP BY identity HAVING count() > 1",
            self.table(Place::TABLE),
            list(identities)
        );
        let rows: Vec<Repeated> = self.sequential_client().query_raw(&sql).fetch_all().await?;
        Ok(rows.into_iter().map(|row| row.identity).collect())
    }

    /// The copies that a newer copy in another minute supersedes.
    async fn superseded(&self, identities: &[u64]) -> Result<Vec<Retraction>, ClickHouseError> {
        let sql = format!(
            "SELECT source, event_id, fact, toUnixTimestamp64Milli(occurred_at) AS occurred_at, \
             toUnixTimestamp64Milli(received_at) AS received_at, mapper_version, toUInt8(1) AS is_deleted \
             FROM (SELECT *, version, max(version) OVER (PARTITION BY source, event_id, fact) AS newest \
             FROM {} FINAL WHERE identity IN ({})) WHERE version < newest",
            self.table(Place::TABLE),
            list(identities)
        );
        self.sequential_client().query_raw(&sql).fetch_all().await
    }
}

fn list(identities: &[u64]) -> String {
    let texts: Vec<String> = identities.iter().map(u64::to_string).collect();
    texts.join(",")
}
