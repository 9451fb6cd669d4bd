//! What alerting has told.

use payments::UnixMillis;
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Alerts {
    /// How many are firing, as far as alerting keeps saying so.
    pub(crate) active_count: usize,
    /// How many were firing when alerting last spoke of them, which is too long ago.
    pub(crate) unheard_count: usize,
    /// The first of both: most severe first, then oldest first; those unheard of last.
    pub(crate) active: Vec<Alert>,
    /// Latest first.
    pub(crate) resolved: Vec<Alert>,
    /// Alerting's newest sign of life; `None` if there was none within a week.
    pub(crate) judged: Option<Judged>,
}

/// A sign of life from alerting, which gives one every minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Judged {
    /// When it was given.
    pub(crate) alive_at: UnixMillis,
    /// Rules had been judged on what happened before this; `None` if that could not be read.
    pub(crate) judged_to: Option<UnixMillis>,
}

/// One incident as alerting last described it. Texts come from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Alert {
    pub(crate) incident: String,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) impact: String,
    pub(crate) slice: String,
    /// An address or a path; empty if alerting does not name one.
    pub(crate) runbook: String,
    pub(crate) since: UnixMillis,
    /// When alerting described it so: its numbers are of then.
    pub(crate) heard_at: UnixMillis,
    /// It should have been described again since, and was not.
    pub(crate) unheard: bool,
    /// Improving, not yet resolved.
    pub(crate) recovering: bool,
    /// Why it stands still (`stale`, `no_data`, `error`), if it does.
    pub(crate) frozen: Option<String>,
    pub(crate) resolved_at: Option<UnixMillis>,
}

/// How urgent. Ordered: the most urgent first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::EnumString, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

impl Severity {
    /// `P1` to `P4`, as titles say it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Critical => "P1",
            Self::Error => "P2",
            Self::Warning => "P3",
            Self::Info => "P4",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}
