//! `threshold`: is a rate, a latency or a volume over a fixed line?
//!
//! Rates fire on the lower end of Wilson's interval, so that three declines of three do not page and three hundred of
//! four hundred do; one rule then fits large slices and small ones.

mod findings;
mod sql;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use payments::{DeclineCategory, DeclineClass, UnixMillis};
use serde::Deserialize;
use strum::VariantArray as _;

use super::keys::{Scope, Wrong, dimensions, filter};
use super::{Evaluation, Findings, Instants, Sample};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    measure: Measure,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default, rename = "where")]
    only: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    not: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    include_empty: bool,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    window_s: i64,
    lateness_s: Option<i64>,
    #[serde(default = "usual_s")]
    usual_s: i64,
    fire_above: Option<f64>,
    fire_below: Option<f64>,
    recover_below: Option<f64>,
    recover_above: Option<f64>,
    #[serde(default = "wilson_z")]
    wilson_z: f64,
    #[serde(default = "attempts_min")]
    attempts_min: u64,
    #[serde(default = "slices_max")]
    slices_max: usize,
}

fn usual_s() -> i64 {
    3_600
}

fn wilson_z() -> f64 {
    3.29
}

fn attempts_min() -> u64 {
    30
}

fn slices_max() -> usize {
    500
}

impl Threshold {
    pub(super) fn read(
        keys: toml::de::Deserializer<'_>,
        wrong: &mut Vec<Wrong>,
    ) -> Result<Self, toml::de::Error> {
        let keys = Keys::deserialize(keys)?;
        let scope = Scope {
            by: dimensions("by", &keys.by, wrong),
            include_empty: keys.include_empty,
            only: filter("where", keys.only, wrong),
            not: filter("not", keys.not, wrong),
        };
        let classes = names("classes", &keys.classes, DeclineClass::VARIANTS, DeclineClass::name, wrong);
        let categories =
            names("categories", &keys.categories, DeclineCategory::VARIANTS, DeclineCategory::name, wrong);
        if !matches!(keys.measure.shape(), Shape::Share(_)) {
            for (key, given) in [("classes", &keys.classes), ("categories", &keys.categories)] {
                if !given.is_empty() {
                    wrong.push((key, "only rates count by it; remove it".to_owned()));
                }
            }
        }
        periods(keys.window_s, keys.usual_s, wrong);
        let (side, fire, recover) = lines(
            (keys.fire_above, keys.fire_below),
            (keys.recover_above, keys.recover_below),
            keys.measure,
            wrong,
        );
        if !(0.0..=10.0).contains(&keys.wilson_z) {
            wrong.push((
                "wilson_z",
                format!("{} is not between 0 and 10; 3.29 is one in two thousand", keys.wilson_z),
            ));
        }
        if !(1..=10_000).contains(&keys.slices_max) {
            wrong.push(("slices_max", format!("{} is not between 1 and 10000", keys.slices_max)));
        }
        let default_lateness = if keys.measure == Measure::Volume { 30 } else { 0 };
        Ok(Self {
            measure: keys.measure,
            scope,
            classes,
            categories,
            window_minutes: keys.window_s / 60,
            lateness_ms: keys.lateness_s.unwrap_or(default_lateness).clamp(0, 3_600) * 1000,
            usual_minutes: keys.usual_s / 60,
            side,
            fire,
            recover,
            wilson_z: keys.wilson_z,
            attempts_min: keys.attempts_min,
            slices_max: keys.slices_max,
        })
    }

    pub(super) async fn evaluate(
        &self,
        reader: &Reader,
        instants: Instants,
    ) -> Result<Evaluation, QueryError> {
        let window = self.window(instants.complete_to);
        let mut samples = sql::samples(self, reader, window).await?;
        let truncated = samples.len() > self.slices_max;
        samples.truncate(self.slices_max);
        let samples = samples
            .into_iter()
            .map(|(slice, reading)| Sample {
                slice,
                verdict: self.judge(reading),
                measured: self.measured(reading),
            })
            .collect();
        Ok(Evaluation { samples, truncated })
    }

    pub(super) async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
        known_since: Option<UnixMillis>,
        rates: &Rates,
    ) -> Result<Findings, QueryError> {
        findings::investigate(self, reader, instants, sample, known_since, rates).await
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

/// Values of a list that must be among `variants`, or what is wrong with them.
fn names<T: Copy>(
    key: &'static str,
    given: &[String],
    variants: &[T],
    name: impl Fn(T) -> &'static str,
    wrong: &mut Vec<Wrong>,
) -> Vec<T> {
    let mut known = Vec::new();
    for text in given {
        if let Some(variant) = variants.iter().copied().find(|variant| name(*variant) == text) {
            known.push(variant);
        } else {
            let all: Vec<&str> = variants.iter().copied().map(&name).collect();
            wrong.push((key, format!("unknown name `{text}`, expected one of {}", all.join(", "))));
        }
    }
    known
}

fn periods(window_s: i64, usual_s: i64, wrong: &mut Vec<Wrong>) {
    if window_s % 60 != 0 || !(60..=3_600).contains(&window_s) {
        wrong.push(("window_s", format!("{window_s} is not whole minutes between 60 and 3600")));
    }
    if usual_s % 60 != 0 || !(600..=86_400).contains(&usual_s) {
        wrong.push(("usual_s", format!("{usual_s} is not whole minutes between 600 and 86400")));
    }
}

/// The fire line, the recovery line, and whether they make sense together.
fn lines(
    fire: (Option<f64>, Option<f64>),
    recover: (Option<f64>, Option<f64>),
    measure: Measure,
    wrong: &mut Vec<Wrong>,
) -> (Side, f64, f64) {
    let (side, fire_key, fire, recover_key, recover) = match (fire, recover) {
        ((Some(fire), None), (None, Some(recover))) => {
            (Side::Above, "fire_above", fire, "recover_below", recover)
        }
        ((None, Some(fire)), (Some(recover), None)) => {
            (Side::Below, "fire_below", fire, "recover_above", recover)
        }
        ((Some(_), None), _) => {
            wrong.push(("fire_above", "needs recover_below, and no other recovery line".to_owned()));
            return (Side::Above, 0.0, 0.0);
        }
        ((None, Some(_)), _) => {
            wrong.push(("fire_below", "needs recover_above, and no other recovery line".to_owned()));
            return (Side::Below, 0.0, 0.0);
        }
        _ => {
            wrong.push((
                "measure",
                "give either fire_above with recover_below, or fire_below with recover_above".to_owned(),
            ));
            return (Side::Above, 0.0, 0.0);
        }
    };
    let wrong_side = match side {
        Side::Above => recover >= fire,
        Side::Below => recover <= fire,
    };
    if wrong_side {
        let wanted = if side == Side::Above { "below" } else { "above" };
        wrong.push((
            recover_key,
            format!("{recover} is on the wrong side: it must be {wanted} {fire_key} = {fire}"),
        ));
    }
    let is_share = matches!(measure.shape(), Shape::Share(_));
    for (key, value) in [(fire_key, fire), (recover_key, recover)] {
        if !value.is_finite() || value < 0.0 {
            wrong.push((key, format!("{value} is not a positive number")));
        } else if is_share && value > 1.0 {
            wrong.push((key, format!("{value} is no share; 40% is written 0.4")));
        }
    }
    (side, fire, recover)
}
