//! `threshold`: is a rate, a latency or a volume over a fixed line?
//!
//! Rates fire on the lower end of Wilson's interval, so that three declines of three do not page and three hundred of
//! four hundred do; one rule then fits large slices and small ones.

mod cost;
mod findings;
mod read;
mod series;
mod sql;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

use payments::{DeclineCategory, DeclineClass, UnixMillis};
use serde::Deserialize;

use super::keys::Scope;
use super::{Evaluation, Findings, Held, Instants, Sample};
use crate::page::{Headline, Measured, Rates};
use crate::reader::{QueryError, Reader};
use crate::slice::Slice;
use crate::state::Verdict;
use crate::stats::{wilson_lower, wilson_upper};

pub(super) const MINUTE_MS: i64 = 60_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Declined attempts of all answered ones.
    DeclineRate,
    /// Declined or technically failed attempts of all answered ones: an issuer that is down declines or does not
    /// answer, and which of the two a provider reports differs.
    RefusalRate,
    /// Attempts that failed technically, of all answered ones.
    FailureRate,
    /// Median of how long authorizations took.
    LatencyP50Ms,
    /// 95th percentile.
    LatencyP95Ms,
    /// 99th percentile.
    LatencyP99Ms,
    /// Answered attempts a minute.
    Volume,
}

/// The kinds of measure, which differ in their SQL and in how they are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A share, by the outcomes that count.
    Share(Outcomes),
    /// A quantile, by its level.
    Quantile(f64),
    /// A rate of arrival.
    Volume,
}

/// Outcomes that count against a rate, as SQL text.
pub(super) type Outcomes = &'static str;

impl Measure {
    pub(super) fn shape(self) -> Shape {
        match self {
            Self::DeclineRate => Shape::Share("'declined'"),
            Self::RefusalRate => Shape::Share("'declined', 'failed'"),
            Self::FailureRate => Shape::Share("'failed'"),
            Self::LatencyP50Ms => Shape::Quantile(0.5),
            Self::LatencyP95Ms => Shape::Quantile(0.95),
            Self::LatencyP99Ms => Shape::Quantile(0.99),
            Self::Volume => Shape::Volume,
        }
    }

    /// What it is called in a page.
    pub fn words(self) -> &'static str {
        match self {
            Self::DeclineRate => "declined",
            Self::RefusalRate => "not approved",
            Self::FailureRate => "failed",
            Self::LatencyP50Ms => "auth p50",
            Self::LatencyP95Ms => "auth p95",
            Self::LatencyP99Ms => "auth p99",
            Self::Volume => "attempts",
        }
    }

    /// How a title begins.
    fn title(self) -> &'static str {
        match self {
            Self::DeclineRate | Self::RefusalRate => "Declines",
            Self::FailureRate => "Failures",
            Self::LatencyP50Ms => "Auth p50",
            Self::LatencyP95Ms => "Auth p95",
            Self::LatencyP99Ms => "Auth p99",
            Self::Volume => "Attempts",
        }
    }
}

/// On which side of a value a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

/// A rule of this type.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// What is measured.
    pub measure: Measure,
    pub(super) scope: Scope,
    pub(super) classes: Vec<DeclineClass>,
    pub(super) categories: Vec<DeclineCategory>,
    pub(crate) window_minutes: i64,
    pub(super) lateness_ms: i64,
    pub(super) usual_minutes: i64,
    pub(super) side: Side,
    pub(super) fire: f64,
    pub(super) recover: f64,
    pub(super) wilson_z: f64,
    pub(super) attempts_min: u64,
    pub(super) slices_max: usize,
}

impl Threshold {
    pub(super) async fn evaluate(
        &self,
        reader: &Reader,
        instants: Instants,
        held: &[Held],
    ) -> Result<Evaluation, QueryError> {
        let window = self.window(instants.complete_to);
        let mut readings = sql::samples(self, reader, window, &[]).await?;
        let truncated = readings.len() > self.slices_max;
        readings.truncate(self.slices_max);
        let seen: HashSet<&Slice> = readings.iter().map(|(slice, _)| slice).collect();
        let unseen: Vec<&Slice> =
            held.iter().map(|held| &held.slice).filter(|slice| !seen.contains(slice)).collect();
        if truncated && !unseen.is_empty() {
            // Whoever waits for the end of an incident waits for it however small the slice has become.
            readings.extend(sql::samples(self, reader, window, &unseen).await?);
        }
        Ok(Evaluation { samples: self.judged(readings, held), truncated })
    }

    fn judged(&self, readings: Vec<(Slice, Reading)>, held: &[Held]) -> Vec<Sample> {
        let mut open: BTreeSet<&Slice> =
            held.iter().filter(|held| held.is_open).map(|held| &held.slice).collect();
        let mut samples: Vec<Sample> = Vec::with_capacity(readings.len());
        for (slice, reading) in readings {
            let verdict = if open.remove(&slice) { self.judge_open(reading) } else { self.judge(reading) };
            samples.push(Sample { slice, verdict, measured: self.measured(reading) });
        }
        if self.measure.shape() == Shape::Volume {
            // No row is a volume of nothing.
            let nothing = Reading::default();
            samples.extend(open.into_iter().map(|slice| Sample {
                slice: slice.clone(),
                verdict: self.judge_open(nothing),
                measured: self.measured(nothing),
            }));
        }
        samples
    }

    pub(super) async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
        held: Option<&Held>,
        rates: &Rates,
    ) -> Result<Findings, QueryError> {
        findings::investigate(self, reader, instants, sample, held, rates).await
    }

    pub(super) fn headline(&self, slice: &Slice, findings: &Findings) -> Headline {
        let usual = findings.usual.map(|usual| usual.measured);
        let slice = if self.scope.by.is_empty() { "overall".to_owned() } else { slice.words() };
        Headline {
            before: format!("{} {}", self.measure.title(), findings.now.change(usual)),
            slice,
            after: findings.impact.in_title(),
        }
    }

    /// Minutes of the window, first and last. The running minute counts as one of a rate's: a share of a part of a
    /// minute is a share; a volume of a part of a minute is not a volume, so there only whole minutes count.
    pub(super) fn window(&self, complete_to: UnixMillis) -> Window {
        let running = UnixMillis(complete_to.0 - self.lateness_ms).minute();
        let last = match self.measure.shape() {
            Shape::Volume => UnixMillis(running.0 - MINUTE_MS),
            Shape::Share(_) | Shape::Quantile(_) => running,
        };
        self.window_ending(last)
    }

    /// The window whose last minute is `last`.
    pub(super) fn window_ending(&self, last: UnixMillis) -> Window {
        Window { first: UnixMillis(last.0 - (self.window_minutes - 1) * MINUTE_MS), last }
    }

    pub(crate) fn measured(&self, reading: Reading) -> Measured {
        match self.measure.shape() {
            Shape::Share(_) => Measured::Share { count: reading.failures, of: reading.attempts },
            Shape::Quantile(_) => Measured::Latency { ms: reading.latency_ms, of: reading.attempts },
            Shape::Volume => {
                Measured::PerMinute { rate: reading.attempts as f64 / self.window_minutes as f64 }
            }
        }
    }

    /// What a reading says; `None` when there is too little to judge by.
    pub fn judge(&self, reading: Reading) -> Option<Verdict> {
        if self.measure.shape() == Shape::Volume {
            return self.judge_volume(reading);
        }
        if reading.attempts < self.attempts_min.max(1) {
            return None;
        }
        let (value, proven) = match self.measure.shape() {
            Shape::Share(_) => {
                let proven = match self.side {
                    Side::Above => wilson_lower(reading.failures, reading.attempts, self.wilson_z),
                    Side::Below => wilson_upper(reading.failures, reading.attempts, self.wilson_z),
                };
                (reading.failures as f64 / reading.attempts as f64, proven)
            }
            Shape::Quantile(_) | Shape::Volume => (reading.latency_ms, reading.latency_ms),
        };
        Some(self.compare(value, proven))
    }

    /// What a reading says of a slice that has paged. A volume that was missed is missed, although the hour before is
    /// by now an hour without it.
    fn judge_open(&self, reading: Reading) -> Option<Verdict> {
        if self.measure.shape() != Shape::Volume {
            return self.judge(reading);
        }
        let rate = reading.attempts as f64 / self.window_minutes as f64;
        Some(self.compare(rate, rate))
    }

    /// A volume is judged where there usually is one: below the line only if the hour before was above it.
    fn judge_volume(&self, reading: Reading) -> Option<Verdict> {
        let rate = reading.attempts as f64 / self.window_minutes as f64;
        let usual = reading.usual_attempts as f64 / self.usual_minutes as f64;
        if self.side == Side::Below && usual < self.recover && rate < self.fire {
            return None;
        }
        Some(self.compare(rate, rate))
    }

    fn compare(&self, value: f64, proven: f64) -> Verdict {
        let (breach, clear) = match self.side {
            Side::Above => (proven > self.fire, value < self.recover),
            Side::Below => (proven < self.fire, value > self.recover),
        };
        match (breach, clear) {
            (true, _) => Verdict::Breach,
            (false, true) => Verdict::Clear,
            (false, false) => Verdict::Between,
        }
    }
}

/// First and last minute of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) first: UnixMillis,
    pub(super) last: UnixMillis,
}

/// What was counted in one window for one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Answered attempts (for latency: those that tell how long they took).
    pub attempts: u64,
    /// Of which count.
    pub failures: u64,
    /// The quantile, for latency.
    pub latency_ms: f64,
    /// Attempts of the reference period before, for volume.
    pub usual_attempts: u64,
}
