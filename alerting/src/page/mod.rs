//! What a page says, independent of any channel. Channels cut it down, never add to it.
//!
//! Reading order is that of someone woken at three in the morning: what, how bad, since when, where, compared with
//! what; then what supports it; then where to look. What is not known is said to be unknown, never guessed.

mod impact;
mod number;
mod text;
mod title;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use payments::UnixMillis;
use serde::{Deserialize, Serialize};

pub use impact::{Accrued, Impact, MoneyImpact, MoneyMinute, Rates, Span, estimate};
pub use number::{clock, clock_after, count, day_clock, duration, millis, money, per_minute, percent, share};
pub use text::{body_lines, full_text, minimal_text};
pub(crate) use text::{footer, message_title};
pub use title::{Headline, TITLE_CHARS_MAX, resolved_title, title};
pub use words::{OUTSIDE_CHARS_MAX, is_showable, outside, outside_id};

/// How urgent a page is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// Wake someone now.
    Critical,
    /// Within working hours, or when it lasts.
    Error,
    /// A ticket.
    Warning,
    /// A note.
    Info,
}

impl Severity {
    /// `P1` to `P4`, as titles say it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "P1",
            Self::Error => "P2",
            Self::Warning => "P3",
            Self::Info => "P4",
        }
    }

    /// The stable name, as it stands in rules, tables and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a rule measured, typed so that it can be written in full, in a title, and as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Measured {
    /// A share of attempts.
    Share {
        /// Attempts that count.
        count: u64,
        /// Of how many.
        of: u64,
    },
    /// A quantile of latency.
    Latency {
        /// In milliseconds.
        ms: f64,
        /// Over how many answers.
        of: u64,
    },
    /// A rate of arrival.
    PerMinute {
        /// A minute.
        rate: f64,
    },
    /// Nothing arrived for this long.
    Silence {
        /// In milliseconds.
        ms: u64,
    },
    /// Acknowledged and not stored.
    Missing {
        /// Webhooks.
        webhooks: u64,
        /// The hours they arrived in.
        hours: u64,
    },
    /// This many rules cannot be evaluated.
    BlindRules {
        /// How many.
        count: u64,
    },
}

/// What is usual, and over which time that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// The same measure.
    pub measured: Measured,
    /// Start of the reference period.
    pub from: UnixMillis,
    /// Its end.
    pub to: UnixMillis,
}

/// A decline code that is more frequent than usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeExcess {
    /// Normalized category.
    pub category: String,
    /// The provider's own code.
    pub code: String,
    /// Declines above the usual, since the onset.
    pub excess: f64,
}

/// How current the data behind the page are. What providers hold back is not in it: nobody can know that here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFreshness {
    /// Everything that arrived here before this is in the numbers; `None` when that is not known.
    pub complete_to: Option<UnixMillis>,
    /// How far that was behind the clock, in milliseconds: our own delay.
    pub lag_ms: Option<u64>,
    /// Why the incident stands still, if it does: `stale`, `no_data`, `error`.
    pub frozen: Option<crate::state::Health>,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// The board. Its address carries the slice and an hour before the onset, for a board that can show a part.
    pub board: String,
    /// The runbook: an address, or a path in the repository.
    pub runbook: String,
    /// A command that lists the events behind the page; empty when there are none.
    pub events: String,
}

/// One dimension of the slice, as the data spell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceValue {
    /// `issuer`, `provider`, …
    pub dimension: String,
    /// Its value; comes from outside.
    pub value: String,
}

/// Everything a page says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// How urgent.
    pub severity: Severity,
    /// The title's parts; frozen when the incident opens, because people search by it.
    pub headline: Headline,
    /// Which incident.
    pub incident_id: u64,
    /// Identifies the page at every channel.
    pub dedup_key: String,
    /// Whether the incident had been resolved before.
    pub reopened: bool,
    /// Whether it is held open because it fired too often.
    pub flapping: bool,
    /// The rule, by the name of its file.
    pub rule: String,
    /// First eight hex digits of the rule file's hash.
    pub rule_version: String,
    /// Who owns the rule.
    pub owner: String,
    /// The slice; empty is everything.
    pub slice: Vec<SliceValue>,
    /// When it began; `None` when the data do not say.
    pub since: Option<UnixMillis>,
    /// Whether it may have begun earlier than the data reach.
    pub since_at_least: bool,
    /// When the page was made.
    pub paged_at: UnixMillis,
    /// What it costs.
    pub impact: Impact,
    /// What the measure is called: `declined`, `failed`, `auth p95`.
    pub measure: String,
    /// Now.
    pub now: Measured,
    /// Usually.
    pub usual: Option<Usual>,
    /// Decline codes, most excess first.
    pub codes: Vec<CodeExcess>,
    /// Event ids: the two newest, then one at the onset.
    pub samples: Vec<String>,
    /// Where to look.
    pub links: Links,
    /// How current the numbers are.
    pub data: DataFreshness,
    /// What else must be said: slices left out, channels that could not be reached.
    pub notes: Vec<String>,
}

impl Page {
    /// Whether it is about alerting itself rather than about payments.
    pub fn is_of_alerting(&self) -> bool {
        self.rule == crate::engine::DEGRADED
    }
}

/// What happened to the incident that a channel should tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// It began: page.
    Trigger,
    /// It changed: do not page again.
    Update,
    /// It ended.
    Resolve,
    /// It began and ended while the channel could not be reached: one note, no page.
    Missed,
}

impl Action {
    /// The stable name, as it stands in tables, metrics and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A page on its way: what a channel renders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What happened.
    pub action: Action,
    /// One line for updates and resolves: `Update 03:31: improving`; empty for a trigger.
    pub line: String,
    /// When it was said.
    pub at: UnixMillis,
    /// The page as of then.
    pub page: Page,
}
