//! Reading a ledger, and summing what must be found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use payments::UnixMillis;
use serde::Serialize;

use super::{EndLine, FactLine, LedgerError, Line, RunLine, file_error};
use crate::scenario::Incident;

/// A ledger as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// How the run was started.
    pub run: Option<RunLine>,
    /// Every event by source and event id.
    pub events: BTreeMap<(String, String), LedgerEvent>,
    /// Every incident that began.
    pub incidents: Vec<Incident>,
    /// Totals, if the run ended by itself.
    pub end: Option<EndLine>,
}

/// What is known about one event.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEvent {
    /// Its expected facts.
    pub facts: Vec<FactLine>,
    /// Requests that carried it.
    pub requests: u32,
    /// Of these, acknowledged: the rows that must at least be in `webhooks`.
    pub acknowledged: u32,
}

/// What facts are summed by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TotalKey {
    /// Configured source.
    pub source: String,
    /// Of the fact.
    pub kind: String,
    /// Of the fact.
    pub outcome: String,
    /// Empty for facts without an amount.
    pub currency: String,
    /// Start of the UTC minute of `occurred_at`.
    pub minute: UnixMillis,
}

/// A sum of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How many.
    pub facts: u64,
    /// Their amounts.
    pub amount_minor: i64,
}

impl Ledger {
    /// Reads the file at `path`. A last line that was cut off (the simulator itself was killed) is left out.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let file = File::open(path).map_err(|source| file_error("read", path, source))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut ledger = Self::default();
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read =
                reader.read_until(b'\n', &mut text).map_err(|source| file_error("read", path, source))?;
            if read == 0 || text.last() != Some(&b'\n') {
                break;
            }
            let line = serde_json::from_slice(&text).map_err(|source| LedgerError::Line {
                path: path.to_owned(),
                number,
                source,
            })?;
            ledger.add(line);
        }
        Ok(ledger)
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Run(run) => self.run = Some(run),
            Line::Event(event) => {
                let told = LedgerEvent { facts: event.facts, requests: 0, acknowledged: 0 };
                self.events.insert((event.source, event.event_id), told);
            }
            Line::Request(request) => {
                if let Some(event) = self.events.get_mut(&(request.source, request.event_id)) {
                    event.requests += 1;
                    event.acknowledged += u32::from(request.acknowledged);
                }
            }
            Line::Incident(incident) => self.incidents.push(incident),
            Line::End(end) => self.end = Some(end),
        }
    }

    /// Events that were acknowledged: these must be stored, each fact once.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&(String, String), &LedgerEvent)> {
        self.events.iter().filter(|(_, event)| event.acknowledged > 0)
    }

    /// Events that were posted and never acknowledged: these may be stored or not.
    pub fn unacknowledged(&self) -> impl Iterator<Item = (&(String, String), &LedgerEvent)> {
        self.events.iter().filter(|(_, event)| event.acknowledged == 0)
    }

    /// Sums of the facts of acknowledged events.
    pub fn totals(&self) -> BTreeMap<TotalKey, Total> {
        let mut totals: BTreeMap<TotalKey, Total> = BTreeMap::new();
        for ((source, _), event) in self.acknowledged() {
            for fact in &event.facts {
                let key = TotalKey {
                    source: source.clone(),
                    kind: fact.kind.clone(),
                    outcome: fact.outcome.clone(),
                    currency: fact.currency.clone(),
                    minute: fact.occurred_at.minute(),
                };
                let total = totals.entry(key).or_default();
                total.facts += 1;
                total.amount_minor += fact.amount_minor.unwrap_or(0);
            }
        }
        totals
    }
}
