//! History: every transition, kept here until ClickHouse has it and for a while after.

use payments::UnixMillis;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Storage, StorageError, to_json};

/// Exported history is kept here this long; ClickHouse has it all.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// One change of one slice, as history tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The same for the same change on any replica: a repeated export changes nothing.
    pub id: String,
    /// Event time it is about.
    pub at: UnixMillis,
    /// Wall clock at which it was decided.
    pub decided_at: UnixMillis,
    /// Which rule.
    pub rule_id: String,
    /// Which slice, as JSON.
    pub slice_key: String,
    /// Which incident; 0 before one is open.
    pub incident_id: u64,
    /// Its page's key; empty before one is open.
    pub dedup_key: String,
    /// State before.
    pub from_state: String,
    /// State after.
    pub to_state: String,
    /// The rule's severity.
    pub severity: String,
    /// `fired`, `resolved`, `near_miss`, `update`, `rule_changed`, …
    pub reason: String,
    /// What a board needs to show it, as JSON: see `docs/alerting.md`.
    pub details: String,
}

impl Transition {
    /// The id of a change: from what it is, not from when it was written.
    pub fn id_of(rule_id: &str, slice_key: &str, at: UnixMillis, to_state: &str, reason: &str) -> String {
        let digest = Sha256::digest(format!("{rule_id}|{slice_key}|{}|{to_state}|{reason}", at.0));
        hex::encode(digest).chars().take(32).collect()
    }
}

pub(super) fn append(transaction: &Transaction<'_>, rows: &[Transition]) -> Result<(), StorageError> {
    for row in rows {
        let json = to_json(row, "transition")?;
        transaction.execute(
            "INSERT INTO transitions (id, decided_at, row) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![row.id, row.decided_at.0, json],
        )?;
    }
    Ok(())
}

impl Storage {
    /// The oldest transitions that ClickHouse does not have, with their place in line. One that cannot be read is
    /// passed over for good.
    pub async fn unexported(&self, limit: usize) -> Result<Vec<(i64, Transition)>, StorageError> {
        let unreadable = self.unreadable.clone();
        self.call(move |connection| {
            let mut query = connection
                .prepare("SELECT seq, row FROM transitions WHERE exported = 0 ORDER BY seq LIMIT ?1")?;
            let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })?;
            let mut waiting = Vec::new();
            for row in rows {
                let (seq, json): (i64, String) = row?;
                match unreadable.read(&json, "transition", &seq.to_string()) {
                    Some(transition) => waiting.push((seq, transition)),
                    None => {
                        connection.execute("UPDATE transitions SET exported = 1 WHERE seq = ?1", [seq])?;
                    }
                }
            }
            Ok(waiting)
        })
        .await
    }

    /// ClickHouse has everything up to `seq`; forgets what it has had for a week.
    pub async fn mark_exported(&self, seq: i64, now: UnixMillis) -> Result<(), StorageError> {
        self.call(move |connection| {
            let transaction = connection.transaction()?;
            transaction
                .execute("UPDATE transitions SET exported = 1 WHERE exported = 0 AND seq <= ?1", [seq])?;
            transaction.execute(
                "DELETE FROM transitions WHERE exported = 1 AND decided_at < ?1",
                [now.0.saturating_sub(KEPT_MS)],
            )?;
            Ok(transaction.commit()?)
        })
        .await
    }
}
