//! What a page says beyond the reading that fired: onset, usual, cost, codes, samples.

use payments::UnixMillis;

use super::{MINUTE_MS, Outcomes, Shape, Side, Threshold, Window, sql};
use crate::page::{CodeExcess, Impact, Measured, Rates, Usual, estimate, outside};
use crate::reader::{QueryError, Reader};
use crate::rules::{Findings, Instants, Sample};
use crate::stats::{Counts, onset};

/// The onset is looked for this far before the window.
const ONSET_MINUTES: i64 = 10;
/// Incidents older than this are told as of this long ago: a page is not an archive.
const SINCE_MINUTES_MAX: i64 = 24 * 60;
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
    known_since: Option<UnixMillis>,
    rates: &Rates,
) -> Result<Findings, QueryError> {
    let window = rule.window(instants.complete_to);
    let earliest = UnixMillis(window.last.0 - SINCE_MINUTES_MAX * MINUTE_MS);
    let known_since = known_since.map(|since| since.max(earliest));
    let look_from = known_since.unwrap_or(window.first).0.min(window.first.0) - ONSET_MINUTES * MINUTE_MS;
    let span =
        Window { first: UnixMillis(look_from - rule.usual_minutes * MINUTE_MS).minute(), last: window.last };
    match rule.measure.shape() {
        Shape::Share(outcomes) => {
            let counts = sql::series(rule, reader, &sample.slice, span.first, span.last).await?;
            let series = Series { first: span.first, counts };
            let onset = series.onset(window, known_since, rule.usual_minutes);
            share(rule, reader, (instants, window), sample, &series, onset, outcomes, rates).await
        }
        Shape::Quantile(_) => latency(rule, reader, span, sample, known_since).await,
        Shape::Volume => volume(rule, reader, span, sample).await,
    }
}

#[expect(clippy::too_many_arguments, reason = "one call; a struct of eight would only move the list")]
async fn share(
    rule: &Threshold,
    reader: &Reader,
    (instants, window): (Instants, Window),
    sample: &Sample,
    series: &Series,
    onset: Onset,
    outcomes: Outcomes,
    rates: &Rates,
) -> Result<Findings, QueryError> {
    let end = UnixMillis(window.last.0 + MINUTE_MS);
    let since_onset = series.between(onset.since, end);
    let usual = onset.usual.share();
    let excess =
        usual.map(|usual| (since_onset.failures as f64 - usual * since_onset.attempts as f64).max(0.0));
    let slice = &sample.slice;
    let money = sql::money(rule, reader, slice, outcomes, (onset.usual_from, window.last)).await?;
    // The running minute ends where the data end.
    let money_end = instants.complete_to.min(end);
    let money = estimate(&money, onset.since, money_end, usual.unwrap_or(0.0), rates);
    let codes =
        sql::codes(rule, reader, slice, outcomes, (onset.usual_from, onset.since, window.last)).await?;
    let scale = if onset.usual.attempts == 0 {
        0.0
    } else {
        since_onset.attempts as f64 / onset.usual.attempts as f64
    };
    Ok(Findings {
        since: Some(onset.since),
        since_at_least: onset.at_least,
        now: series.now(window, onset.since),
        usual: usual.map(|_| Usual {
            measured: Measured::Share { count: onset.usual.failures, of: onset.usual.attempts },
            from: onset.usual_from,
            to: onset.since,
        }),
        impact: Impact {
            payments: excess,
            unknown: if money.is_none() { "no amounts".to_owned() } else { String::new() },
            money,
        },
        codes: excesses(codes, scale),
        samples: sql::sample_ids(rule, reader, slice, outcomes, (onset.since, end)).await?,
    })
}

async fn latency(
    rule: &Threshold,
    reader: &Reader,
    span: Window,
    sample: &Sample,
    known_since: Option<UnixMillis>,
) -> Result<Findings, QueryError> {
    let slice = &sample.slice;
    let window = rule.window_ending(span.last);
    let before = UnixMillis(span.first.0 + rule.usual_minutes * MINUTE_MS);
    let last_before = UnixMillis(before.0 - MINUTE_MS);
    let (usual_ms, usual_of) = sql::latency(rule, reader, slice, span.first, last_before).await?;
    let (now_ms, now_of) = sql::latency(rule, reader, slice, window.first, window.last).await?;
    let slow_ms = if usual_of > 0 { f64::midpoint(usual_ms, now_ms) } else { rule.fire };
    let counts = sql::slow_series(rule, reader, slice, (span.first, span.last), slow_ms).await?;
    let onset = Series { first: span.first, counts }.onset(window, known_since, rule.usual_minutes);
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
    })
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
        impact: Impact::unknown(match rule.side {
            Side::Above => "more attempts are not lost payments",
            Side::Below => "attempts that were never made have no amounts",
        }),
        codes: Vec::new(),
        samples: Vec::new(),
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

    /// When it began. An incident that was already told keeps its onset.
    pub(super) fn onset(&self, window: Window, known: Option<UnixMillis>, usual_minutes: i64) -> Onset {
        let usual_before = |since: UnixMillis| {
            let from = UnixMillis(since.0 - usual_minutes * MINUTE_MS).max(self.first);
            (from, self.between(from, since))
        };
        let found = |since, at_least| {
            let (usual_from, usual) = usual_before(since);
            Onset { since, at_least, usual, usual_from }
        };
        if let Some(since) = known {
            return found(since.minute(), false);
        }
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

/// The codes with the largest excess over what `scale` times the reference would have given.
fn excesses(rows: Vec<sql::CodeRow>, scale: f64) -> Vec<CodeExcess> {
    let mut codes: Vec<CodeExcess> = rows
        .into_iter()
        .map(|row| CodeExcess {
            category: outside(&row.category),
            code: if row.code.is_empty() { String::new() } else { outside(&row.code) },
            excess: row.since as f64 - row.before as f64 * scale,
        })
        .filter(|code| code.excess >= 1.0)
        .collect();
    codes.sort_by(|a, b| b.excess.total_cmp(&a.excess));
    codes.truncate(CODES_MAX);
    codes
}
