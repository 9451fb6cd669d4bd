//! The outbox's rows. What to do with them is decided by [`crate::outbox`]; here they are read and written.

use payments::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Storage, StorageError, Unreadable, to_json};
use crate::page::{Action, Message};

/// Finished rows are kept this long, for "was it delivered?".
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// A message that waits for its channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Its place in line.
    pub id: i64,
    /// Counts the page's messages on the channel, from 1.
    pub seq: u32,
    /// What to tell.
    pub message: Message,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the channel refused the full form.
    pub minimal: bool,
    /// When it was queued.
    pub created_at: UnixMillis,
    /// Not before.
    pub next_at: UnixMillis,
    /// Why the last attempt failed; empty if it did not, or there was none.
    pub last_error: String,
}

/// All of one page that waits for one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Which page.
    pub dedup_key: String,
    /// In order.
    pub waiting: Vec<Waiting>,
    /// Whether the channel ever accepted anything of this page.
    pub delivered_before: bool,
}

/// How a message ended, or when it is tried again.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The channel has it.
    Delivered,
    /// A later message says it better.
    Superseded,
    /// Given up, with the reason.
    Dead(String),
    /// Again at this time.
    Again {
        /// Not before.
        next_at: UnixMillis,
        /// Whether only in minimal form.
        minimal: bool,
        /// Why not now.
        reason: String,
    },
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages.
    pub waiting: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<UnixMillis>,
}

pub(super) fn append(
    transaction: &Transaction<'_>,
    channel: &str,
    message: &Message,
    now: UnixMillis,
) -> Result<(), StorageError> {
    let dedup_key = &message.page.dedup_key;
    let json = to_json(message, "message")?;
    transaction.execute(
        "INSERT INTO outbox (channel, dedup_key, seq, action, message, state, created_at, next_at)
         SELECT ?1, ?2, coalesce(max(seq), 0) + 1, ?3, ?4, 'waiting', ?5, ?5
         FROM outbox WHERE channel = ?1 AND dedup_key = ?2",
        params![channel, dedup_key, message.action.name(), json, now.0],
    )?;
    Ok(())
}

impl Storage {
    /// The page whose oldest waiting message is due on `channel`, the longest waiting first.
    pub async fn due(&self, channel: String, now: UnixMillis) -> Result<Option<Line>, StorageError> {
        let unreadable = self.unreadable.clone();
        self.call(move |connection| {
            // Only the head of a page's line counts: what stands behind it waits for it.
            let head: Option<String> = connection
                .query_row(
                    "SELECT dedup_key FROM outbox AS o
                     WHERE channel = ?1 AND state = 'waiting' AND next_at <= ?2
                       AND seq = (SELECT min(seq) FROM outbox
                                  WHERE channel = o.channel AND dedup_key = o.dedup_key AND state = 'waiting')
                     ORDER BY next_at, id LIMIT 1",
                    params![channel, now.0],
                    |row| row.get(0),
                )
                .optional()?;
            head.map(|dedup_key| line(connection, &channel, dedup_key, now, &unreadable)).transpose()
        })
        .await
    }

    /// When the next message of `channel` is due.
    #[cfg(test)]
    pub async fn next_due(&self, channel: String) -> Result<Option<UnixMillis>, StorageError> {
        self.call(move |connection| {
            let next: Option<i64> = connection.query_row(
                "SELECT min(next_at) FROM outbox AS o WHERE channel = ?1 AND state = 'waiting'
                   AND seq = (SELECT min(seq) FROM outbox
                              WHERE channel = o.channel AND dedup_key = o.dedup_key AND state = 'waiting')",
                [channel],
                |row| row.get(0),
            )?;
            Ok(next.map(UnixMillis))
        })
        .await
    }

    /// Writes what became of messages, and queues notes for the page's other channels, in one transaction. A channel
    /// that was told, or is about to be, that the page ended gets no note: it would say that the page is open again.
    pub async fn settle(
        &self,
        fates: Vec<(i64, Fate)>,
        notes: Vec<(String, Message)>,
        now: UnixMillis,
    ) -> Result<(), StorageError> {
        self.call(move |connection| {
            let transaction = connection.transaction()?;
            for (id, fate) in &fates {
                settle_one(&transaction, *id, fate, now)?;
            }
            for (channel, message) in &notes {
                if !has_end(&transaction, channel, &message.page.dedup_key)? {
                    append(&transaction, channel, message, now)?;
                }
            }
            transaction.execute(
                "DELETE FROM outbox WHERE state <> 'waiting' AND finished_at < ?1",
                [now.0 - KEPT_MS],
            )?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// The other channels that the page went to.
    pub async fn other_channels(
        &self,
        dedup_key: String,
        channel: String,
    ) -> Result<Vec<String>, StorageError> {
        self.call(move |connection| {
            let mut query = connection.prepare(
                "SELECT DISTINCT channel FROM outbox WHERE dedup_key = ?1 AND channel <> ?2 ORDER BY channel",
            )?;
            let rows = query.query_map([dedup_key, channel], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How much waits for `channel`.
    pub async fn depth(&self, channel: String) -> Result<Depth, StorageError> {
        self.call(move |connection| {
            let depth = connection.query_row(
                "SELECT count(*), min(created_at) FROM outbox WHERE channel = ?1 AND state = 'waiting'",
                [channel],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)),
            )?;
            Ok(Depth { waiting: u64::try_from(depth.0).unwrap_or(0), oldest: depth.1.map(UnixMillis) })
        })
        .await
    }

    /// Drops what waits for channels that are no longer configured; returns how many messages that were.
    pub async fn drop_other_channels(
        &self,
        configured: Vec<String>,
        now: UnixMillis,
    ) -> Result<usize, StorageError> {
        self.call(move |connection| {
            let names = to_json(&configured, "list of channels")?;
            Ok(connection.execute(
                "UPDATE outbox SET state = 'dead', last_error = 'the channel is no longer configured', finished_at = ?2
                 WHERE state = 'waiting' AND channel NOT IN (SELECT value FROM json_each(?1))",
                params![names, now.0],
            )?)
        })
        .await
    }
}

/// A message that cannot be read is given up, so that it holds up nothing behind it.
fn line(
    connection: &Connection,
    channel: &str,
    dedup_key: String,
    now: UnixMillis,
    unreadable: &Unreadable,
) -> Result<Line, StorageError> {
    let mut query = connection.prepare(
        "SELECT id, seq, message, attempts, minimal, created_at, next_at, last_error FROM outbox
         WHERE channel = ?1 AND dedup_key = ?2 AND state = 'waiting' ORDER BY seq",
    )?;
    let rows = query.query_map(params![channel, dedup_key], |row| {
        let times = (UnixMillis(row.get(5)?), UnixMillis(row.get(6)?));
        let head = (row.get(0)?, row.get(1)?, row.get::<_, String>(2)?);
        Ok((head, row.get(3)?, row.get(4)?, times, row.get(7)?))
    })?;
    let mut waiting = Vec::new();
    for row in rows {
        let ((id, seq, json), attempts, minimal, (created_at, next_at), last_error) = row?;
        let Some(message) = unreadable.read(&json, "message", &format!("{channel} {dedup_key} {seq}")) else {
            connection.execute(
                "UPDATE outbox SET state = 'dead', last_error = 'it cannot be read', finished_at = ?2 WHERE id = ?1",
                params![id, now.0],
            )?;
            continue;
        };
        waiting.push(Waiting { id, seq, message, attempts, minimal, created_at, next_at, last_error });
    }
    let delivered_before = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ?1 AND dedup_key = ?2 AND state = 'delivered')",
        params![channel, dedup_key],
        |row| row.get(0),
    )?;
    Ok(Line { dedup_key, waiting, delivered_before })
}

/// Whether the end of a page was queued for `channel`.
fn has_end(transaction: &Transaction<'_>, channel: &str, dedup_key: &str) -> Result<bool, StorageError> {
    let end = Action::Resolve.name();
    Ok(transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ?1 AND dedup_key = ?2 AND action = ?3)",
        params![channel, dedup_key, end],
        |row| row.get(0),
    )?)
}

fn settle_one(
    transaction: &Transaction<'_>,
    id: i64,
    fate: &Fate,
    now: UnixMillis,
) -> Result<(), StorageError> {
    match fate {
        Fate::Delivered => transaction.execute(
            "UPDATE outbox SET state = 'delivered', attempts = attempts + 1, finished_at = ?2, last_error = '' WHERE id = ?1",
            params![id, now.0],
        ),
        Fate::Superseded => transaction.execute(
            "UPDATE outbox SET state = 'superseded', finished_at = ?2 WHERE id = ?1",
            params![id, now.0],
        ),
        Fate::Dead(reason) => transaction.execute(
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, finished_at = ?2, last_error = ?3 WHERE id = ?1",
            params![id, now.0, reason],
        ),
        Fate::Again { next_at, minimal, reason } => transaction.execute(
            "UPDATE outbox SET attempts = attempts + 1, next_at = ?2, minimal = ?3, last_error = ?4 WHERE id = ?1",
            params![id, next_at.0, minimal, reason],
        ),
    }?;
    Ok(())
}
