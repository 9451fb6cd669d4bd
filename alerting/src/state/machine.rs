//! The phases and what moves between them.

use payments::UnixMillis;
use serde::{Deserialize, Serialize};

/// Where a slice stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Phase {
    /// Nothing wrong.
    #[default]
    Inactive,
    /// Over the line, not yet for long enough.
    Pending {
        /// For how much event time so far.
        held_ms: u64,
    },
    /// Paged.
    Firing,
    /// Paged, and back over the recovery line, not yet for long enough.
    Recovering {
        /// For how much event time so far.
        held_ms: u64,
    },
}

impl Phase {
    /// The stable name, as it stands in tables and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether an incident is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering { .. })
    }
}

/// What one evaluation says of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Over the fire line.
    Breach,
    /// Neither: between the lines.
    Between,
    /// On the good side of the recovery line.
    Clear,
}

/// Whether an evaluation could say anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Health {
    /// The data are complete and there are enough of them.
    #[default]
    Fresh,
    /// The newest heartbeat is too old.
    Stale,
    /// No, or too few, attempts to judge by.
    NoData,
    /// The query failed or took too long.
    Error,
}

impl Health {
    /// The stable name, as it stands in tables and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One tick's reading of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The data say this.
    Known(Verdict),
    /// The data say nothing, for this reason: never [`Health::Fresh`].
    Unknown(Health),
}

/// A rule's timers, in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A breach must last this long before it pages.
    pub for_ms: u64,
    /// Recovery must last this long before it resolves.
    pub recover_for_ms: u64,
    /// A gap between two readings counts up to this long: what lies further apart was not watched.
    pub gap_ms_max: u64,
    /// Whether Tillwatch did not run meanwhile: then a gap longer than that counts towards neither timer.
    pub after_downtime: bool,
}

/// How the phase changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Pended,
    Dropped,
    Fired,
    Improving,
    Relapsed,
    Resolved,
}

/// One step of the machine. `elapsed_ms` is the event time since the previous known reading.
pub(super) fn advance(
    phase: Phase,
    verdict: Verdict,
    elapsed_ms: u64,
    timing: Timing,
) -> (Phase, Option<Change>) {
    use Verdict::{Between, Breach, Clear};
    match (phase, verdict) {
        (Phase::Inactive, Breach) if timing.for_ms == 0 => (Phase::Firing, Some(Change::Fired)),
        (Phase::Inactive, Breach) => (Phase::Pending { held_ms: 0 }, Some(Change::Pended)),
        (Phase::Inactive, Between | Clear) => (Phase::Inactive, None),

        (Phase::Pending { held_ms }, Breach) if held_ms + elapsed_ms >= timing.for_ms => {
            (Phase::Firing, Some(Change::Fired))
        }
        (Phase::Pending { held_ms }, Breach) => (Phase::Pending { held_ms: held_ms + elapsed_ms }, None),
        (Phase::Pending { .. }, Between | Clear) => (Phase::Inactive, Some(Change::Dropped)),

        (Phase::Firing, Breach | Between) => (Phase::Firing, None),
        (Phase::Firing, Clear) => (Phase::Recovering { held_ms: 0 }, Some(Change::Improving)),

        (Phase::Recovering { .. }, Breach) => (Phase::Firing, Some(Change::Relapsed)),
        // Between the lines recovery is neither confirmed nor refuted: the timer starts anew.
        (Phase::Recovering { .. }, Between) => (Phase::Recovering { held_ms: 0 }, None),
        (Phase::Recovering { held_ms }, Clear) if held_ms + elapsed_ms >= timing.recover_for_ms => {
            (Phase::Inactive, Some(Change::Resolved))
        }
        (Phase::Recovering { held_ms }, Clear) => (Phase::Recovering { held_ms: held_ms + elapsed_ms }, None),
    }
}

/// Event time from `last` to `at` that counts towards a timer. A process that evaluates slowly still counts some of
/// it, or nothing would ever fire or resolve there.
pub(super) fn elapsed_ms(last: Option<UnixMillis>, at: UnixMillis, timing: Timing) -> u64 {
    let elapsed = last.map_or(0, |last| u64::try_from(at.0.saturating_sub(last.0)).unwrap_or(0));
    if elapsed > timing.gap_ms_max && timing.after_downtime { 0 } else { elapsed.min(timing.gap_ms_max) }
}
