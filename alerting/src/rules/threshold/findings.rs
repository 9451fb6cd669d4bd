//! What a page says beyond the reading that fired: onset, usual, cost, codes, samples.

use payments::UnixMillis;

use super::cost::{Case, end};
use super::series::{ONSET_MINUTES, Onset, Series};
use super::{MINUTE_MS, Outcomes, Shape, Side, Threshold, Window, sql};
use crate::page::{Impact, Measured, Rates, Usual, outside_id};
use crate::reader::{QueryError, Reader};
use crate::rules::{Findings, Held, Instants, Sample};
use crate::stats::Counts;

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
        notes: Vec::new(),
    })
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
        notes: Vec::new(),
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
        notes: Vec::new(),
    })
}
