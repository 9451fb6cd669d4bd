//! What a page says beyond the reading that fired: onset, usual, cost, codes, samples.

use payments::UnixMillis;

use super::{MINUTE_MS, Outcomes, Shape, Side, Threshold, Window, sql};
use crate::page::{
    Accrued, CodeExcess, Impact, Measured, MoneyMinute, Rates, Span, Usual, estimate, outside, outside_id,
};
use crate::reader::{QueryError, Reader};
use crate::rules::{Findings, Held, Instants, Sample};
use crate::stats::{Counts, onset};

/// The onset is looked for this far before the window.
const ONSET_MINUTES: i64 = 10;
/// Once more than this much of an incident is looked at each time, its cost until an hour ago is written down, and
/// only what follows is looked at.
const LOOKED_AT_MS_MAX: i64 = 12 * 3_600_000;
/// Webhooks later than this do not change what was written down.
const SETTLED_AFTER_MS: i64 = 3_600_000;
/// "Now" leaves out the minute of the onset, which is only partly bad, once this many attempts follow it.
const NOW_ATTEMPTS_MIN: u64 = 10;
/// Codes shown.
const CODES_MAX: usize = 3;

/// A stretch of minutes with their counts.
pub(super) struct Series {
    pub(super) first: UnixMillis,
    pub(super) counts: Vec<Counts>,
}

/// When it began, and what was usual before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onset {
    pub(super) since: UnixMillis,
    pub(super) at_least: bool,
    pub(super) usual: Counts,
    pub(super) usual_from: UnixMillis,
}

pub(super) async fn investigate(
    rule: &Threshold,
    reader: &Reader,
    instants: Instants,
    sample: &Sample,
    held: Option<&Held>,
    rates: &Rates,
) -> Result<Findings, QueryError> {
    let window = rule.window(instants.complete_to);
    // What was told of the onset, and of the time before it, stays: measured anew a day later, the usual would be
    // measured inside the incident.
    let told = held.and_then(|held| Some((held.since?, held)));
    match rule.measure.shape() {
        Shape::Share(outcomes) => {
            let case = match told {
                Some((since, held)) => continued(rule, reader, sample, window, since, held).await?,
                None => begun(rule, reader, sample, window).await?,
            };
            share(rule, reader, (instants, window), sample, case, outcomes, rates).await
        }
        Shape::Quantile(_) => match told {
            Some((since, _)) => Ok(still(sample, since, "slow answers are not lost payments")),
            None => latency(rule, reader, span(rule, window), sample).await,
        },
        Shape::Volume => match told {
            Some((since, _)) => Ok(still(sample, since, volume_cost(rule))),
            None => volume(rule, reader, span(rule, window), sample).await,
        },
    }
}

/// The window, the minutes before it in which the onset is looked for, and those in which the usual is.
fn span(rule: &Threshold, window: Window) -> Window {
    let back = (ONSET_MINUTES + rule.usual_minutes) * MINUTE_MS;
    Window { first: UnixMillis(window.first.0 - back).minute(), last: window.last }
}

/// Of an open page whose reading says everything that is new.
fn still(sample: &Sample, since: UnixMillis, cost: &str) -> Findings {
    Findings { since: Some(since), impact: Impact::unknown(cost), ..Findings::unknown(sample.measured) }
}

/// An incident whose cost is looked at from minute `from` on.
pub(super) struct Case {
    pub(super) series: Series,
    pub(super) onset: Onset,
    pub(super) from: UnixMillis,
    pub(super) before: Option<Accrued>,
}

/// An incident that nothing was told of yet.
async fn begun(
    rule: &Threshold,
    reader: &Reader,
    sample: &Sample,
    window: Window,
) -> Result<Case, QueryError> {
    let span = span(rule, window);
    let counts = sql::series(rule, reader, &sample.slice, span.first, span.last).await?;
    let series = Series { first: span.first, counts };
    let onset = series.onset(window, rule.usual_minutes);
    Ok(Case { series, onset, from: onset.since, before: None })
}

/// An incident whose onset was told.
async fn continued(
    rule: &Threshold,
    reader: &Reader,
    sample: &Sample,
    window: Window,
    since: UnixMillis,
    held: &Held,
) -> Result<Case, QueryError> {
    let since = since.minute();
    let from = held.accrued.as_ref().map_or(since, |accrued| accrued.to);
    let first = from.min(window.first);
    let counts = sql::series(rule, reader, &sample.slice, first, window.last).await?;
    let (usual, usual_from) = match held.usual {
        Some(Usual { measured: Measured::Share { count, of }, from, .. }) => {
            (Counts { attempts: of, failures: count }, from)
        }
        _ => (Counts::default(), since),
    };
    let onset = Onset { since, at_least: false, usual, usual_from };
    Ok(Case { series: Series { first, counts }, onset, from, before: held.accrued.clone() })
}

async fn share(
    rule: &Threshold,
    reader: &Reader,
    (instants, window): (Instants, Window),
    sample: &Sample,
    case: Case,
    outcomes: Outcomes,
    rates: &Rates,
) -> Result<Findings, QueryError> {
    let (slice, onset) = (&sample.slice, case.onset);
    // A first part whose cost is known needs no reference of its own: the usual was measured before the onset.
    let money_from = if case.before.is_some() { case.from } else { onset.usual_from };
    let money = sql::money(rule, reader, slice, outcomes, (money_from, window.last)).await?;
    let times = (onset.usual_from, onset.since);
    let codes = sql::codes(rule, reader, slice, outcomes, times, (case.from, window.last)).await?;
    let samples = sql::sample_ids(rule, reader, slice, outcomes, (case.from, end(window))).await?;
    let (impact, accrued) = case.cost(&money, (instants, window), rates);
    let usual = onset.usual.share();
    Ok(Findings {
        since: Some(onset.since),
        since_at_least: onset.at_least,
        now: case.series.now(window, onset.since),
        usual: usual.map(|_| Usual {
            measured: Measured::Share { count: onset.usual.failures, of: onset.usual.attempts },
            from: onset.usual_from,
            to: onset.since,
        }),
        impact,
        codes: case.codes(codes, window),
        samples: samples.iter().map(|id| outside_id(id)).collect(),
        accrued,
    })
}

fn end(window: Window) -> UnixMillis {
    UnixMillis(window.last.0 + MINUTE_MS)
}

impl Case {
    /// What it cost, and what of that is to be written down.
    pub(super) fn cost(
        &self,
        money: &[MoneyMinute],
        (instants, window): (Instants, Window),
        rates: &Rates,
    ) -> (Impact, Option<Accrued>) {
        // The running minute ends where the data end.
        let end = instants.complete_to.min(end(window));
        let of = |to: UnixMillis| {
            let span = Span { since: self.from, recent: window.first, end: to };
            let later = self.part(money, span, rates);
            self.before.as_ref().map_or(later.clone(), |before| before.impact.plus(&later))
        };
        let settled = UnixMillis(end.0 - SETTLED_AFTER_MS).minute();
        let is_long = end.0 - self.from.0 > LOOKED_AT_MS_MAX;
        (of(end), is_long.then(|| Accrued { to: settled, impact: of(settled) }))
    }

    fn part(&self, money: &[MoneyMinute], span: Span, rates: &Rates) -> Impact {
        let usual = self.onset.usual.share();
        let money = estimate(money, span, usual.unwrap_or(0.0), rates);
        Impact {
            payments: usual
                .map(|usual| excess(self.series.between(span.since, next_minute(span.end)), usual)),
            unknown: if money.is_none() { "no amounts".to_owned() } else { String::new() },
            money,
        }
    }

    fn codes(&self, rows: Vec<sql::CodeRow>, window: Window) -> Vec<CodeExcess> {
        let since = self.series.between(self.from, end(window));
        let usual = self.onset.usual;
        let scale = if usual.attempts == 0 { 0.0 } else { since.attempts as f64 / usual.attempts as f64 };
        excesses(rows, scale, usual.share().map(|usual| excess(since, usual)))
    }
}

/// The minute that begins at `at` or after it.
fn next_minute(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0 + MINUTE_MS - 1).minute()
}

/// Failures above the usual share.
fn excess(counts: Counts, usual: f64) -> f64 {
    (counts.failures as f64 - usual * counts.attempts as f64).max(0.0)
}

async fn latency(
    rule: &Threshold,
    reader: &Reader,
    span: Window,
    sample: &Sample,
) -> Result<Findings, QueryError> {
    let slice = &sample.slice;
    let window = rule.window_ending(span.last);
    let before = UnixMillis(span.first.0 + rule.usual_minutes * MINUTE_MS);
    let last_before = UnixMillis(before.0 - MINUTE_MS);
    let (usual_ms, usual_of) = sql::latency(rule, reader, slice, span.first, last_before).await?;
    let (now_ms, now_of) = sql::latency(rule, reader, slice, window.first, window.last).await?;
    let slow_ms = if usual_of > 0 { f64::midpoint(usual_ms, now_ms) } else { rule.fire };
    let counts = sql::slow_series(rule, reader, slice, (span.first, span.last), slow_ms).await?;
    let onset = Series { first: span.first, counts }.onset(window, rule.usual_minutes);
    Ok(Findings {
        since: Some(onset.since),
        since_at_least: onset.at_least,
        now: Measured::Latency { ms: now_ms, of: now_of },
        usual: (usual_of > 0).then_some(Usual {
            measured: Measured::Latency { ms: usual_ms, of: usual_of },
            from: span.first,
            to: before,
        }),
        impact: Impact::unknown("slow answers are not lost payments"),
        codes: Vec::new(),
        samples: Vec::new(),
        accrued: None,
    })
}

fn volume_cost(rule: &Threshold) -> &'static str {
    match rule.side {
        Side::Above => "more attempts are not lost payments",
        Side::Below => "attempts that were never made have no amounts",
    }
}

async fn volume(
    rule: &Threshold,
    reader: &Reader,
    span: Window,
    sample: &Sample,
) -> Result<Findings, QueryError> {
    let counts = sql::series(rule, reader, &sample.slice, span.first, span.last).await?;
    let series = Series { first: span.first, counts };
    let bad = |counts: &Counts| match rule.side {
        Side::Above => counts.attempts as f64 > rule.fire,
        Side::Below => (counts.attempts as f64) < rule.fire,
    };
    let run = series.counts.iter().rev().take_while(|counts| bad(counts)).count().max(1);
    let index = series.counts.len().saturating_sub(run);
    let since = series.minute(index);
    let usual_from = series.minute(index.saturating_sub(usize::try_from(rule.usual_minutes).unwrap_or(0)));
    let minutes = (since.0 - usual_from.0) / MINUTE_MS;
    let usual = series.between(usual_from, since);
    Ok(Findings {
        since: Some(since),
        since_at_least: index == 0,
        now: sample.measured,
        usual: (minutes > 0).then(|| Usual {
            measured: Measured::PerMinute { rate: usual.attempts as f64 / minutes as f64 },
            from: usual_from,
            to: since,
        }),
        impact: Impact::unknown(volume_cost(rule)),
        codes: Vec::new(),
        samples: Vec::new(),
        accrued: None,
    })
}

impl Series {
    fn minute(&self, index: usize) -> UnixMillis {
        UnixMillis(self.first.0 + i64::try_from(index).unwrap_or(0) * MINUTE_MS)
    }

    fn index(&self, at: UnixMillis) -> usize {
        usize::try_from((at.0 - self.first.0) / MINUTE_MS).unwrap_or(0).min(self.counts.len())
    }

    /// Sum of the minutes that start in `from..to`.
    pub(super) fn between(&self, from: UnixMillis, to: UnixMillis) -> Counts {
        let (from, to) = (self.index(from), self.index(to));
        self.counts.get(from..to).unwrap_or(&[]).iter().copied().sum()
    }

    /// Now: the window after the minute of the onset, or from it while there is little after it.
    pub(super) fn now(&self, window: Window, since: UnixMillis) -> Measured {
        let end = UnixMillis(window.last.0 + MINUTE_MS);
        let after = self.between(window.first.max(UnixMillis(since.0 + MINUTE_MS)), end);
        let from_onset = || self.between(window.first.max(since), end);
        let now = if after.attempts >= NOW_ATTEMPTS_MIN { after } else { from_onset() };
        Measured::Share { count: now.failures, of: now.attempts }
    }

    /// When it began.
    pub(super) fn onset(&self, window: Window, usual_minutes: i64) -> Onset {
        let usual_before = |since: UnixMillis| {
            let from = UnixMillis(since.0 - usual_minutes * MINUTE_MS).max(self.first);
            (from, self.between(from, since))
        };
        let found = |since, at_least| {
            let (usual_from, usual) = usual_before(since);
            Onset { since, at_least, usual, usual_from }
        };
        // What is surely before: all but the window and some minutes before it.
        let early_end = UnixMillis(window.first.0 - ONSET_MINUTES * MINUTE_MS / 2);
        let early = self.between(self.first, early_end);
        let now = self.between(window.first, UnixMillis(window.last.0 + MINUTE_MS));
        let (Some(usual), Some(now)) = (early.share(), now.share()) else {
            // Never seen before: it began with its first failure.
            let first = self.counts.iter().position(|counts| counts.failures > 0);
            return first
                .map_or_else(|| found(window.first, true), |index| found(self.minute(index), index == 0));
        };
        // The last minute of the window is the most certain to be bad: look for its level.
        let last = self.counts.last().copied().unwrap_or_default();
        let level =
            if last.attempts >= NOW_ATTEMPTS_MIN { last.share().unwrap_or(now).max(now) } else { now };
        match onset(&self.counts, usual, level) {
            Some(index) => found(self.minute(index), index == 0),
            None => found(window.first, true),
        }
    }
}

/// The codes with the largest excess over what `scale` times the reference would have given. Where some codes became
/// rarer, the others share what is left: together they explain no more than the `total` excess.
pub(super) fn excesses(rows: Vec<sql::CodeRow>, scale: f64, total: Option<f64>) -> Vec<CodeExcess> {
    let mut codes: Vec<CodeExcess> = rows
        .into_iter()
        .map(|row| CodeExcess {
            category: outside(&row.category),
            code: if row.code.is_empty() { String::new() } else { outside(&row.code) },
            excess: row.since as f64 - row.before as f64 * scale,
        })
        .filter(|code| code.excess > 0.0)
        .collect();
    let sum: f64 = codes.iter().map(|code| code.excess).sum();
    if let Some(total) = total.filter(|total| *total < sum) {
        for code in &mut codes {
            code.excess *= total / sum;
        }
    }
    codes.retain(|code| code.excess >= 1.0);
    codes.sort_by(|a, b| b.excess.total_cmp(&a.excess));
    codes.truncate(CODES_MAX);
    codes
}
