//! The truth about a run, as JSON lines: what was posted, what it must become, and what was acknowledged.
//!
//! The file belongs to the sender, so a test may kill the receiver at any instant and compare afterwards. Kinds of
//! lines, told apart by `line`:
//!
//! | line | when | holds |
//! |---|---|---|
//! | `run` | first | version, seed, start, target, sources |
//! | `event` | before the first request of an event | its source, id, time, and every expected fact |
//! | `request` | after every request | source, event id, attempt, answer, whether it was acknowledged |
//! | `incident` | when one begins | the truth about it |
//! | `end` | last, if the run was not killed itself | totals of the run |
//!
//! An event counts as told once any of its requests was acknowledged. One that was never acknowledged may or may not
//! have been stored (the answer can be lost on its way): it is told apart, not counted.

mod read;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use payments::{PaymentEvent, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::http::{Answer, answer_name, is_acknowledged};
use crate::providers::{SimulatedSource, Webhook};
use crate::scenario::Incident;

pub use read::{Ledger, LedgerEvent, Total, TotalKey};

/// Version of the file's format.
pub const VERSION: u32 = 1;

/// A ledger that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file.
    #[error("cannot {action} ledger {path}")]
    File {
        /// `create`, `write` or `read`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is none of ours.
    #[error("line {number} of ledger {path} cannot be read")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        number: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// How the run was started.
    Run(RunLine),
    /// An event that is about to be posted for the first time.
    Event(EventLine),
    /// One request.
    Request(RequestLine),
    /// An incident that begins.
    Incident(Incident),
    /// The end of a run that was not killed.
    End(EndLine),
}

/// How the run was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// [`VERSION`].
    pub version: u32,
    /// `simulate` or `load`.
    pub command: String,
    /// Of the world.
    pub seed: u64,
    /// Of the world.
    pub started_at: UnixMillis,
    /// Where it was posted to.
    pub target: String,
    /// Names of the sources.
    pub sources: Vec<String>,
}

/// An event and its facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// Source it is posted to.
    pub source: String,
    /// Identity of the webhook; unique within the source.
    pub event_id: String,
    /// The provider's clock.
    pub occurred_at: UnixMillis,
    /// Size of the body.
    pub body_bytes: usize,
    /// What it must become, in order.
    pub facts: Vec<FactLine>,
}

/// One expected row of `payment_events`, its columns by their names; the times that are ours are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of `payment_events`, and mean the same")]
pub struct FactLine {
    pub event_id: String,
    pub fact: u16,
    pub account: String,
    pub live: bool,
    pub kind: String,
    pub outcome: String,
    pub occurred_at: UnixMillis,
    pub payment_id: String,
    pub attempt_id: String,
    pub order_id: String,
    pub amount_minor: Option<i64>,
    pub currency: String,
    pub method: String,
    pub wallet: String,
    pub network: String,
    pub funding: String,
    pub bin: String,
    pub last4: String,
    pub issuer: String,
    pub issuer_country: String,
    pub decline_code: String,
    pub decline_category: String,
    pub decline_class: String,
    pub network_code: String,
    pub retry: String,
    pub three_ds: String,
    pub avs: String,
    pub cvc: String,
    pub risk_score: Option<f32>,
    pub latency_ms: Option<u32>,
    pub fee_minor: Option<i64>,
    pub experiment: String,
    pub variant: String,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    /// Source it was posted to.
    pub source: String,
    /// Which event.
    pub event_id: String,
    /// Counted from 1; a duplicate is counted on its own.
    pub attempt: u32,
    /// Whether it is the provider's second delivery of an event.
    pub duplicate: bool,
    /// When the answer came, or when it was given up.
    pub at: UnixMillis,
    /// The status, or why there is none.
    pub answer: String,
    /// Whether it was a 2xx.
    pub acknowledged: bool,
}

/// Totals of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndLine {
    /// Distinct events posted.
    pub events: u64,
    /// Of these, acknowledged at least once.
    pub acknowledged_events: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of these, acknowledged.
    pub acknowledged_requests: u64,
}

/// Writes a ledger.
#[derive(Debug)]
pub struct LedgerWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LedgerWriter {
    /// Begins the file anew.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let file = File::create(path).map_err(|source| file_error("create", path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Appends a line.
    pub fn write(&mut self, line: &Line) -> Result<(), LedgerError> {
        let mut text = serde_json::to_vec(line).map_err(|source| self.line_error(source))?;
        text.push(b'\n');
        self.write_raw(&text)
    }

    /// Appends a line that is already JSON and ends in a line feed.
    pub(crate) fn write_raw(&mut self, line: &[u8]) -> Result<(), LedgerError> {
        self.file.write_all(line).map_err(|source| file_error("write", &self.path, source))
    }

    /// Hands everything to the operating system.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.file.flush().map_err(|source| file_error("write", &self.path, source))
    }

    fn line_error(&self, source: serde_json::Error) -> LedgerError {
        LedgerError::Line { path: self.path.clone(), number: 0, source }
    }
}

impl RunLine {
    /// Of a run that begins at `started_at`.
    pub(crate) fn new(
        command: &str,
        seed: u64,
        started_at: UnixMillis,
        target: String,
        sources: &[SimulatedSource],
    ) -> Self {
        let sources = sources.iter().map(|source| source.name.clone()).collect();
        Self { version: VERSION, command: command.to_owned(), seed, started_at, target, sources }
    }
}

impl EventLine {
    /// Of `webhook` on its way to `source`.
    pub fn new(source: &str, webhook: &Webhook) -> Self {
        Self {
            source: source.to_owned(),
            event_id: webhook.event_id.clone(),
            occurred_at: webhook.occurred_at,
            body_bytes: webhook.body.len(),
            facts: webhook.facts.iter().map(FactLine::from).collect(),
        }
    }
}

impl RequestLine {
    /// Of a request that ended at `at`.
    pub(crate) fn new(source: &str, event_id: &str, attempt: u32, at: UnixMillis, answer: Answer) -> Self {
        Self {
            source: source.to_owned(),
            event_id: event_id.to_owned(),
            attempt,
            duplicate: false,
            at,
            answer: answer_name(answer),
            acknowledged: is_acknowledged(answer),
        }
    }
}

impl From<&PaymentEvent> for FactLine {
    fn from(event: &PaymentEvent) -> Self {
        let event = event.clone();
        let decline = event.decline;
        let of_decline =
            |part: fn(&payments::Decline) -> String| decline.as_ref().map(part).unwrap_or_default();
        Self {
            event_id: event.event_id,
            fact: event.fact,
            account: event.account,
            live: event.live,
            kind: event.kind.name().to_owned(),
            outcome: event.outcome.name().to_owned(),
            occurred_at: event.occurred_at,
            payment_id: event.payment_id,
            attempt_id: event.attempt_id,
            order_id: event.order_id,
            amount_minor: event.money.map(|money| money.amount_minor),
            currency: event.money.map(|money| money.currency.to_string()).unwrap_or_default(),
            method: event.method,
            wallet: event.wallet,
            network: event.network,
            funding: event.funding,
            bin: event.bin,
            last4: event.last4,
            issuer: event.issuer,
            issuer_country: event.issuer_country,
            decline_code: of_decline(|decline| decline.code.clone()),
            decline_category: of_decline(|decline| decline.category.name().to_owned()),
            decline_class: of_decline(|decline| decline.class().name().to_owned()),
            network_code: of_decline(|decline| decline.network_code.clone()),
            retry: of_decline(|decline| decline.retry.name().to_owned()),
            three_ds: event.three_ds.name().to_owned(),
            avs: event.avs,
            cvc: event.cvc,
            risk_score: event.risk_score,
            latency_ms: event.latency_ms,
            fee_minor: event.fee_minor,
            experiment: event.experiment,
            variant: event.variant,
        }
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> LedgerError {
    LedgerError::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
