//! The schema, one step per version. A step that was released is never edited.

use rusqlite::Connection;

use super::StorageError;

const STEPS: &[&str] = &["
    CREATE TABLE counters (
        name  TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One row per rule file: its hash when it was last evaluated, and its failed evaluations in a row.
    CREATE TABLE rules (
        rule_id  TEXT PRIMARY KEY,
        record   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One row per slice that is not quietly inactive.
    CREATE TABLE slices (
        rule_id   TEXT NOT NULL,
        slice_key TEXT NOT NULL,
        tracked   TEXT NOT NULL,
        PRIMARY KEY (rule_id, slice_key)
    ) STRICT, WITHOUT ROWID;

    -- History, and the outbox towards ClickHouse.
    CREATE TABLE transitions (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,
        id         TEXT NOT NULL UNIQUE,
        decided_at INTEGER NOT NULL,
        row        TEXT NOT NULL,
        exported   INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX transitions_waiting ON transitions (seq) WHERE exported = 0;
    CREATE INDEX transitions_old ON transitions (decided_at) WHERE exported = 1;

    -- Messages to channels, in order per page and channel.
    CREATE TABLE outbox (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        channel     TEXT NOT NULL,
        dedup_key   TEXT NOT NULL,
        seq         INTEGER NOT NULL,
        action      TEXT NOT NULL,
        message     TEXT NOT NULL,
        state       TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'superseded', 'dead')),
        attempts    INTEGER NOT NULL DEFAULT 0,
        minimal     INTEGER NOT NULL DEFAULT 0,
        created_at  INTEGER NOT NULL,
        next_at     INTEGER NOT NULL,
        finished_at INTEGER,
        last_error  TEXT NOT NULL DEFAULT '',
        UNIQUE (channel, dedup_key, seq)
    ) STRICT;
    CREATE INDEX outbox_waiting ON outbox (channel, next_at) WHERE state = 'waiting';
    CREATE INDEX outbox_old ON outbox (finished_at) WHERE state <> 'waiting';
"];

/// Brings the schema up to date; all steps or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > STEPS.len() {
        return Err(StorageError::Newer { found: version, known: STEPS.len() });
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", u32::try_from(STEPS.len()).unwrap_or(u32::MAX))?;
    Ok(transaction.commit()?)
}
