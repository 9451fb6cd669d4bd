//! What ingest counted, as a row.

use clickhouse::Row;
use payments::{Tally, UnixMillis};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{StoredRow, TEXT, TIME};

/// What one ingest process counted of one source's minute, so far.
#[derive(Debug, Row, Serialize)]
pub struct TallyRow<'a> {
    minute: u32,
    source: &'a str,
    #[serde(with = "clickhouse::serde::uuid")]
    cell: Uuid,
    instance: &'a str,
    acknowledged: u64,
    fingerprint: u64,
    uncertain: u64,
    #[serde(serialize_with = "uuids")]
    uncertain_ids: &'a [Uuid],
    stored_at: i64,
}

fn uuids<S: Serializer>(ids: &&[Uuid], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Id(#[serde(with = "clickhouse::serde::uuid")] Uuid);
    let mut sequence = serializer.serialize_seq(Some(ids.len()))?;
    for id in *ids {
        sequence.serialize_element(&Id(*id))?;
    }
    sequence.end()
}

impl<'a> TallyRow<'a> {
    /// The row of `tally`.
    pub fn new(tally: &'a Tally, stored_at: UnixMillis) -> Self {
        Self {
            minute: u32::try_from(tally.minute.seconds().max(0)).unwrap_or(u32::MAX),
            source: &tally.source,
            cell: tally.cell,
            instance: &tally.instance,
            acknowledged: tally.acknowledged,
            fingerprint: tally.fingerprint,
            uncertain: tally.uncertain,
            uncertain_ids: &tally.uncertain_ids,
            stored_at: stored_at.0,
        }
    }
}

impl StoredRow for TallyRow<'_> {
    const TABLE: &'static str = "acknowledged_stored";
    const TYPES: &'static [&'static str] =
        &["DateTime('UTC')", TEXT, "UUID", TEXT, "UInt64", "UInt64", "UInt64", "Array(UUID)", TIME];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(self.cell.as_bytes());
        digest(&self.acknowledged.to_le_bytes());
        digest(&self.uncertain.to_le_bytes());
        digest(&self.stored_at.to_le_bytes());
    }
}
