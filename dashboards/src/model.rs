//! What the board knows: plain data, made by `collect` from the store, read by `page` and by `GET /board/data.json`.
//! Times are milliseconds since the epoch, UTC.

mod alerts;

use payments::UnixMillis;
use serde::Serialize;

use crate::window::Window;

pub(crate) use alerts::{Alert, Alerts, Judged, Severity};

/// Everything on one page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    /// When it was put together.
    pub(crate) now: UnixMillis,
    /// How far back the charts look.
    pub(crate) window: Window,
    /// Data older than this are stale.
    pub(crate) stale_after_ms: i64,
    pub(crate) feed: Panel<Feed>,
    pub(crate) alerts: Panel<Alerts>,
    pub(crate) headline: Panel<Headline>,
    pub(crate) history: Panel<History>,
    pub(crate) sources: Panel<Vec<Source>>,
    pub(crate) completeness: Panel<Completeness>,
    pub(crate) declines: Panel<Vec<DeclineCode>>,
    pub(crate) issuers: Panel<Vec<Issuer>>,
    /// What other processes say of themselves, where it is worth knowing.
    pub(crate) peers: Vec<PeerNote>,
}

/// What a process says of one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PeerNote {
    /// Host and port of its admin endpoint.
    pub(crate) peer: String,
    /// Its own words.
    pub(crate) says: String,
}

/// One question's last answer, and whether asking again failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Panel<T> {
    /// The last answer; `None` if there never was one.
    pub(crate) known: Option<Known<T>>,
    /// Why the latest attempt failed; then `known` is old.
    pub(crate) failure: Option<String>,
}

/// An answer and its age.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Known<T> {
    /// When it was asked.
    pub(crate) at: UnixMillis,
    pub(crate) value: T,
}

/// How complete the data are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Feed {
    /// Everything accepted before this is stored; `None` before the first heartbeat.
    pub(crate) complete_to: Option<UnixMillis>,
    /// Instances of ingest that were alive lately, with the newest heartbeat of each.
    pub(crate) instances: Vec<Instance>,
}

/// One instance of ingest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) heartbeat_at: UnixMillis,
}

/// The present against the hour before it, or as much of that hour as there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Headline {
    pub(crate) now: Period,
    pub(crate) before: Period,
}

impl Headline {
    /// What "now" is compared with: `hour before`, `12 min before`; `None` when there is nothing before.
    pub(crate) fn compared_with(&self) -> Option<String> {
        match (self.before.to.0 - self.before.from.0) / 60_000 {
            ..=0 => None,
            60 => Some("hour before".to_owned()),
            minutes => Some(format!("{minutes} min before")),
        }
    }
}

/// Answers of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Period {
    pub(crate) from: UnixMillis,
    pub(crate) to: UnixMillis,
    pub(crate) answers: Answers,
    /// Answers in the providers' test mode: in no rate.
    pub(crate) test_mode: u64,
    /// Approved money by currency, largest number of approvals first.
    pub(crate) approved: Vec<ApprovedMoney>,
    /// Of the answers whose provider tells how long the authorization took.
    pub(crate) latency_p50_ms: Option<f64>,
    pub(crate) latency_p95_ms: Option<f64>,
}

impl Period {
    /// Length in minutes, at least one second's worth: never a division by zero.
    pub(crate) fn minutes(&self) -> f64 {
        (self.to.0.saturating_sub(self.from.0)).max(1_000) as f64 / 60_000.0
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ApprovedMoney {
    pub(crate) currency: String,
    pub(crate) amount_minor: i64,
}

/// Counted answers of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answers {
    pub(crate) approved: u64,
    pub(crate) declined: u64,
    /// No answer, for a technical reason.
    pub(crate) failed: u64,
}

impl Answers {
    pub(crate) fn attempts(self) -> u64 {
        self.approved.saturating_add(self.declined).saturating_add(self.failed)
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            approved: self.approved.saturating_add(other.approved),
            declined: self.declined.saturating_add(other.declined),
            failed: self.failed.saturating_add(other.failed),
        }
    }

    pub(crate) fn not_approved(self) -> u64 {
        self.declined.saturating_add(self.failed)
    }

    /// Share approved; `None` without attempts.
    pub(crate) fn approval(self) -> Option<f64> {
        (self.attempts() > 0).then(|| self.approved as f64 / self.attempts() as f64)
    }
}

/// The charts' data: one entry per step of the window, in order, nothing left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct History {
    pub(crate) from: UnixMillis,
    pub(crate) step_ms: i64,
    /// Whether a heartbeat was sent in the step: without one, "no attempts" may mean that nobody listened.
    pub(crate) heard: Vec<bool>,
    pub(crate) overall: Vec<Answers>,
    /// Busiest first.
    pub(crate) by_source: Vec<SourceHistory>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SourceHistory {
    pub(crate) source: String,
    pub(crate) provider: String,
    pub(crate) steps: Vec<Answers>,
}

/// One source's freshness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) provider: String,
    /// Whether the configuration still has it.
    pub(crate) configured: bool,
    /// When its newest webhook arrived.
    pub(crate) last_received_at: Option<UnixMillis>,
    /// Webhooks a minute now.
    pub(crate) rate_now: f64,
    /// Webhooks a minute in the hour before its newest one, or before now if that was earlier: what is usual.
    pub(crate) rate_usual: f64,
    /// Webhooks parked in the last 24 hours.
    pub(crate) parked_24h: u64,
    pub(crate) pulse: Pulse,
}

/// What a source's silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pulse {
    /// As usual.
    Receiving,
    /// Fewer than usual by more than half.
    Slow,
    /// Nothing for longer than chance explains.
    Silent,
    /// Nothing for a while, which is usual for it.
    Quiet,
    /// Nothing ever, or nothing that is still kept.
    Waiting,
    /// The data are stale: nobody can say.
    Unknown,
}

/// Whether what was acknowledged in the last day is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Completeness {
    /// Of webhooks that arrived from here ..
    pub(crate) from: UnixMillis,
    /// .. to here: later ones may be on their way yet.
    pub(crate) to: UnixMillis,
    pub(crate) acknowledged: u64,
    /// Stored, and counted by no ingest.
    pub(crate) unaccounted: u64,
    /// Sources of which not everything is stored.
    pub(crate) missing: Vec<Missing>,
}

/// What is missing of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) source: String,
    pub(crate) webhooks: u64,
    /// The first minute of which something is missing.
    pub(crate) since: UnixMillis,
}

/// One decline code now and in the hour before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DeclineCode {
    pub(crate) code: String,
    pub(crate) category: String,
    pub(crate) class: String,
    pub(crate) provider: String,
    pub(crate) count: u64,
    pub(crate) of: u64,
    pub(crate) count_before: u64,
    pub(crate) of_before: u64,
}

/// One issuer's answers now and in the hour before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    pub(crate) country: String,
    pub(crate) now: Answers,
    pub(crate) before: Answers,
}

impl<T> Panel<T> {
    /// Asked and answered.
    pub(crate) fn known(at: UnixMillis, value: T) -> Self {
        Self { known: Some(Known { at, value }), failure: None }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.known.as_ref().map(|known| &known.value)
    }

    /// Whether the latest attempt to ask succeeded.
    pub(crate) fn is_current(&self) -> bool {
        self.known.is_some() && self.failure.is_none()
    }
}

impl<T> Default for Panel<T> {
    /// Never asked.
    fn default() -> Self {
        Self { known: None, failure: None }
    }
}
