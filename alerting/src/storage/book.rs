//! The engine's memory, and how it is written: only what a tick changed.

use std::collections::BTreeMap;

use payments::UnixMillis;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use super::transitions::Transition;
use super::{StorageError, Unreadable, to_json};
use crate::page::{Accrued, Message, Page};
use crate::slice::Slice;
use crate::state::SliceState;

const NEXT_INCIDENT: &str = "next_incident_id";
/// The row of `rules` that holds [`Watch`].
const WATCH: &str = crate::engine::DEGRADED;

/// What is remembered of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// Hash of the rule file when it was last evaluated.
    pub hash: String,
    /// Failed evaluations in a row.
    pub failures: u32,
}

/// What alerting remembers about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Up to when the data were complete at the last tick that judged anything; at first, when watching began.
    pub sighted_to: Option<UnixMillis>,
    /// Ticks since then.
    pub blind_ticks: u32,
    /// Ticks in a row that came late.
    pub late_ticks: u32,
}

/// What is remembered of one slice.
///
/// Stored as JSON, with everything in it: what is added later needs `#[serde(default)]`, or the state of an earlier
/// build cannot be read. `storage/fixtures` holds such states, and a test reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Which.
    pub slice: Slice,
    /// Where it stands.
    pub state: SliceState,
    /// The page of its open incident, as last told.
    pub page: Option<Page>,
    /// Channels of that page: its updates and its end go where it went.
    pub channels: Vec<String>,
    /// When the channels were last told something.
    pub told_at: UnixMillis,
    /// Cost a minute as last told, in the reporting currency.
    pub told_per_minute: Option<f64>,
    /// When the page's numbers were last looked up.
    pub refreshed_at: UnixMillis,
    /// The cost of a long incident's first part, which is not looked up again.
    #[serde(default)]
    pub accrued: Option<Accrued>,
}

impl Tracked {
    /// A slice that has just been seen.
    pub fn new(slice: Slice) -> Self {
        Self {
            slice,
            state: SliceState::default(),
            page: None,
            channels: Vec::new(),
            told_at: UnixMillis::default(),
            told_per_minute: None,
            refreshed_at: UnixMillis::default(),
            accrued: None,
        }
    }
}

/// Everything the engine knows between two ticks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// By rule id.
    pub rules: BTreeMap<String, RuleRecord>,
    /// By rule id and slice key. Quiet slices are not kept.
    pub slices: BTreeMap<(String, String), Tracked>,
    /// The last incident number given.
    pub last_incident_id: u64,
    /// About alerting itself.
    pub watch: Watch,
}

impl Book {
    /// How many incidents are open.
    pub fn open_incidents(&self) -> usize {
        self.slices.values().filter(|tracked| tracked.state.phase.is_open()).count()
    }
}

/// What one tick does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickChanges {
    /// The engine's memory after it.
    pub book: Book,
    /// History, oldest first.
    pub transitions: Vec<Transition>,
    /// Messages by channel, in the order in which they are to be sent.
    pub messages: Vec<(String, Message)>,
}

/// Reads everything. What cannot be read is left out and stays where it is, for a build that can.
pub(super) fn load(connection: &Connection, unreadable: &Unreadable) -> Result<Book, StorageError> {
    let mut book = Book::default();
    let mut rules = connection.prepare("SELECT rule_id, record FROM rules")?;
    for row in rules.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))? {
        let (rule_id, record): (String, String) = row?;
        if rule_id == WATCH {
            continue;
        }
        if let Some(record) = unreadable.read(&record, "rule record", &rule_id) {
            book.rules.insert(rule_id, record);
        }
    }
    book.watch = load_watch(connection, unreadable)?;
    let mut slices = connection.prepare("SELECT rule_id, slice_key, tracked FROM slices")?;
    for row in slices.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?)))? {
        let (key, tracked): ((String, String), String) = row?;
        if let Some(tracked) = unreadable.read(&tracked, "slice state", &format!("{} {}", key.0, key.1)) {
            book.slices.insert(key, tracked);
        }
    }
    let mut counter = connection.prepare("SELECT value FROM counters WHERE name = ?1")?;
    let last: Option<i64> = counter.query_map([NEXT_INCIDENT], |row| row.get(0))?.next().transpose()?;
    book.last_incident_id = last.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
    Ok(book)
}

pub(super) fn load_watch(connection: &Connection, unreadable: &Unreadable) -> Result<Watch, StorageError> {
    let mut query = connection.prepare("SELECT record FROM rules WHERE rule_id = ?1")?;
    let record: Option<String> = query.query_map([WATCH], |row| row.get(0))?.next().transpose()?;
    Ok(record.and_then(|record| unreadable.read(&record, "watch", WATCH)).unwrap_or_default())
}

pub(super) fn save(transaction: &Transaction<'_>, before: &Book, after: &Book) -> Result<(), StorageError> {
    let set_rule = |rule_id: &str, record: String| {
        transaction.execute(
            "INSERT INTO rules (rule_id, record) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
            params![rule_id, record],
        )
    };
    for (rule_id, record) in &after.rules {
        if before.rules.get(rule_id) != Some(record) {
            set_rule(rule_id, to_json(record, "rule record")?)?;
        }
    }
    if before.watch != after.watch {
        set_rule(WATCH, to_json(&after.watch, "watch")?)?;
    }
    for rule_id in before.rules.keys().filter(|rule_id| !after.rules.contains_key(*rule_id)) {
        transaction.execute("DELETE FROM rules WHERE rule_id = ?1", [rule_id])?;
    }
    for (key, tracked) in &after.slices {
        if before.slices.get(key) != Some(tracked) {
            let tracked = to_json(tracked, "slice state")?;
            transaction.execute(
                "INSERT INTO slices (rule_id, slice_key, tracked) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET tracked = excluded.tracked",
                params![key.0, key.1, tracked],
            )?;
        }
    }
    for key in before.slices.keys().filter(|key| !after.slices.contains_key(*key)) {
        transaction
            .execute("DELETE FROM slices WHERE rule_id = ?1 AND slice_key = ?2", params![key.0, key.1])?;
    }
    if before.last_incident_id != after.last_incident_id {
        transaction.execute(
            "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            params![NEXT_INCIDENT, i64::try_from(after.last_incident_id).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}
