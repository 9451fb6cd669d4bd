//! The rows the store answers with, in the order of the statements' columns, and what the page makes of them.

use std::collections::BTreeMap;

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use crate::freshness::{Arrivals, NOW_MINUTES, Span};
use crate::model::{self, Answers, ApprovedMoney, DeclineCode, History, Instance, SourceHistory};
use crate::window::Window;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

#[derive(Debug, Row, Deserialize)]
pub(super) struct Heartbeat {
    name: String,
    sent_ms: i64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct First {
    pub(super) first_s: i64,
    pub(super) answers: u64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Period {
    approved: u64,
    declined: u64,
    failed: u64,
    test_mode: u64,
    told: u64,
    p50_ms: f64,
    p95_ms: f64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Money {
    code: String,
    minor: i64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Step {
    step: i64,
    source_name: String,
    provider_name: String,
    approved: u64,
    declined: u64,
    failed: u64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Heard {
    step: i64,
}

/// One source's webhooks of one minute.
#[derive(Clone, Debug, Row, Deserialize)]
pub(crate) struct ArrivalMinute {
    pub(crate) source_name: String,
    provider_name: String,
    minute_s: i64,
    webhooks: u64,
    last_ms: i64,
}

/// What is known of one source's webhooks of a day.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Completeness {
    source_name: String,
    counted: u64,
    lacking: u64,
    uncounted: u64,
    since_s: i64,
}

/// How many of one source's webhooks were parked.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Parked {
    source_name: String,
    parked: u64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Code {
    provider_name: String,
    code: String,
    category: String,
    class: String,
    present: u64,
    past: i64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Totals {
    present: u64,
    past: i64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Issuer {
    name: String,
    country: String,
    approved: u64,
    declined: u64,
    failed: u64,
    approved_before: i64,
    declined_before: i64,
    failed_before: i64,
    #[expect(dead_code, reason = "a column of the statement, which orders by it")]
    attempts: u64,
    #[expect(dead_code, reason = "likewise")]
    attempts_before: i64,
    #[expect(dead_code, reason = "likewise")]
    excess: f64,
}

/// One source's webhooks.
#[derive(Clone, Debug)]
pub(crate) struct SourceArrivals {
    pub(crate) source: String,
    pub(crate) provider: String,
    pub(crate) arrivals: Arrivals,
    pub(crate) parked_24h: u64,
}

impl From<Heartbeat> for Instance {
    fn from(row: Heartbeat) -> Self {
        Self { name: row.name, heartbeat_at: UnixMillis(row.sent_ms) }
    }
}

impl From<Issuer> for model::Issuer {
    fn from(row: Issuer) -> Self {
        Self {
            issuer: row.name,
            country: row.country,
            now: Answers { approved: row.approved, declined: row.declined, failed: row.failed },
            before: Answers {
                approved: row.approved_before.unsigned_abs(),
                declined: row.declined_before.unsigned_abs(),
                failed: row.failed_before.unsigned_abs(),
            },
        }
    }
}

pub(super) fn period(span: Span, row: Option<&Period>, money: Vec<Money>) -> model::Period {
    let approved =
        money.into_iter().map(|row| ApprovedMoney { currency: row.code, amount_minor: row.minor }).collect();
    let told = row.filter(|row| row.told > 0);
    model::Period {
        from: span.from,
        to: span.to,
        answers: row.map_or_else(Answers::default, |row| Answers {
            approved: row.approved,
            declined: row.declined,
            failed: row.failed,
        }),
        test_mode: row.map_or(0, |row| row.test_mode),
        approved,
        latency_p50_ms: told.map(|row| row.p50_ms),
        latency_p95_ms: told.map(|row| row.p95_ms),
    }
}

/// One entry per step, empty ones included; sources with the most attempts first.
pub(super) fn history(window: Window, from: UnixMillis, rows: &[Step], heard: &[Heard]) -> History {
    let steps = window.steps();
    let index = |step: i64| usize::try_from(step).ok().filter(|index| *index < steps);
    let mut overall = vec![Answers::default(); steps];
    let mut sources: BTreeMap<&str, SourceHistory> = BTreeMap::new();
    for row in rows {
        let Some(index) = index(row.step) else { continue };
        let answers = Answers { approved: row.approved, declined: row.declined, failed: row.failed };
        let source = sources.entry(row.source_name.as_str()).or_insert_with(|| SourceHistory {
            source: row.source_name.clone(),
            provider: row.provider_name.clone(),
            steps: vec![Answers::default(); steps],
        });
        for series in [&mut overall, &mut source.steps] {
            if let Some(slot) = series.get_mut(index) {
                *slot = slot.plus(answers);
            }
        }
    }
    let mut by_source: Vec<SourceHistory> = sources.into_values().collect();
    by_source.sort_by_key(|source| {
        std::cmp::Reverse(source.steps.iter().map(|step| step.attempts()).sum::<u64>())
    });
    let mut was_heard = vec![false; steps];
    for row in heard {
        if let Some(slot) = index(row.step).and_then(|index| was_heard.get_mut(index)) {
            *slot = true;
        }
    }
    History { from, step_ms: window.step_ms(), heard: was_heard, overall, by_source }
}

/// Rates from counts a minute. `end`: the data are complete to here.
pub(crate) fn arrivals(minutes: &[ArrivalMinute], parked: &[Parked], end: UnixMillis) -> Vec<SourceArrivals> {
    let mut sources: BTreeMap<&str, Vec<&ArrivalMinute>> = BTreeMap::new();
    for row in minutes {
        sources.entry(row.source_name.as_str()).or_default().push(row);
    }
    let mut found: Vec<SourceArrivals> = sources
        .into_iter()
        .map(|(source, rows)| SourceArrivals {
            source: source.to_owned(),
            provider: rows.last().map(|row| row.provider_name.clone()).unwrap_or_default(),
            arrivals: rates(&rows, end),
            parked_24h: 0,
        })
        .collect();
    for row in parked {
        if let Some(source) = found.iter_mut().find(|source| source.source == row.source_name) {
            source.parked_24h = row.parked;
        }
    }
    found
}

/// "Now" is the last complete minutes, or as many of them as there has been anything; "usual" the hour before the
/// newest webhook, or as much of it. The running minute, of which a part is missing, counts for neither.
fn rates(rows: &[&ArrivalMinute], end: UnixMillis) -> Arrivals {
    let last = rows.iter().map(|row| row.last_ms).max().unwrap_or(0);
    let first_ms = rows.iter().map(|row| row.minute_s * 1_000).min().unwrap_or(0);
    let rate = |from: i64, to: i64| {
        let from = from.max(first_ms);
        let webhooks: u64 = rows
            .iter()
            .filter(|row| (from..to).contains(&(row.minute_s * 1_000)))
            .map(|row| row.webhooks)
            .sum();
        webhooks as f64 * MINUTE_MS as f64 / (to - from).max(MINUTE_MS) as f64
    };
    let running = end.minute().0;
    // In a source's very first minute there is only that one.
    let now_to = if first_ms >= running { running + MINUTE_MS } else { running };
    let usual_to = (UnixMillis(last).minute().0 + MINUTE_MS).min(now_to);
    Arrivals {
        last_received_at: Some(UnixMillis(last)),
        rate_now: rate(now_to - NOW_MINUTES * MINUTE_MS, now_to),
        rate_usual: rate(usual_to - HOUR_MS, usual_to),
    }
}

pub(super) fn decline_codes(rows: Vec<Code>, totals: Option<&Totals>) -> Vec<DeclineCode> {
    let (of, of_before) = totals.map_or((0, 0), |totals| (totals.present, totals.past.unsigned_abs()));
    let code = |row: Code| DeclineCode {
        code: row.code,
        category: row.category,
        class: row.class,
        provider: row.provider_name,
        count: row.present,
        of,
        count_before: row.past.unsigned_abs(),
        of_before,
    };
    rows.into_iter().map(code).collect()
}

pub(super) fn completeness(
    (from, to): (UnixMillis, UnixMillis),
    rows: Vec<Completeness>,
) -> model::Completeness {
    let sum = |count: fn(&Completeness) -> u64| rows.iter().map(count).fold(0, u64::saturating_add);
    let (acknowledged, unaccounted) = (sum(|row| row.counted), sum(|row| row.uncounted));
    let missing = rows.into_iter().filter(|row| row.lacking > 0).map(|row| model::Missing {
        source: row.source_name,
        webhooks: row.lacking,
        since: UnixMillis(row.since_s.saturating_mul(1_000)),
    });
    model::Completeness { from, to, acknowledged, unaccounted, missing: missing.collect() }
}
