//! Whether alerting lives: an alert that nobody looks for does not fire.

use maud::{Markup, html};
use payments::UnixMillis;

use super::panel::warning_shape;
use crate::model::{Judged, Snapshot};
use crate::number;

/// Alerting gives a sign of life every minute; past this it is down, or the store takes nothing from it.
const SILENT_MS: i64 = 3 * 60_000;

/// What is known of alerting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judging {
    /// It could not be asked.
    NotKnown,
    /// It gave a sign of life a moment ago.
    Alive(Judged),
    /// It gave one too long ago.
    Silent(Judged),
    /// It never gave one.
    Never,
}

impl Judging {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        match snapshot.alerts.value().map(|alerts| alerts.judged) {
            Some(judged) if snapshot.alerts.is_current() => match judged {
                None => Self::Never,
                Some(judged) if snapshot.now.0 - judged.alive_at.0 > SILENT_MS => Self::Silent(judged),
                Some(judged) => Self::Alive(judged),
            },
            _ => Self::NotKnown,
        }
    }

    /// Nobody looks for alerts.
    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::Silent(_) | Self::Never)
    }

    /// For the first line, which is said aloud when it changes: no durations.
    pub(super) fn words(self, now: UnixMillis) -> Option<String> {
        match self {
            Self::NotKnown | Self::Alive(_) => None,
            Self::Silent(judged) => Some(format!(
                "No sign of life from alerting since {} UTC",
                number::moment(judged.alive_at, now)
            )),
            Self::Never => Some("Alerting has not run here".to_owned()),
        }
    }

    /// What that means, for the section of alerts.
    pub(super) fn warning(self, now: UnixMillis) -> Markup {
        let text = match self {
            Self::NotKnown | Self::Alive(_) => return html! {},
            Self::Silent(judged) => {
                let silent = number::duration(now.0 - judged.alive_at.0);
                format!("Alerting has given no sign of life for {silent}: no page will come.")
            }
            Self::Never => "Alerting has not run here: no page will come.".to_owned(),
        };
        html! { p .panel-failure role="note" { (warning_shape()) (text) } }
    }

    /// `rules judged to 03:07:10 UTC`, with its age when that is not a moment ago.
    pub(super) fn judged_to(self, now: UnixMillis) -> Option<String> {
        let (Self::Alive(judged) | Self::Silent(judged)) = self else { return None };
        let to = judged.judged_to?;
        let age_ms = now.0 - to.0;
        Some(if age_ms > SILENT_MS {
            format!("rules judged to {} UTC, {} ago", number::moment(to, now), number::duration(age_ms))
        } else {
            format!("rules judged to {} UTC", number::second(to))
        })
    }
}
