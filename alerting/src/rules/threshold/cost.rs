//! What an incident cost, and which decline codes explain it. Pure.

use payments::UnixMillis;

use super::series::{Onset, Series};
use super::{MINUTE_MS, Window, sql};
use crate::page::{Accrued, CodeExcess, Impact, MoneyMinute, Rates, Span, estimate, outside};
use crate::rules::Instants;
use crate::stats::Counts;

/// Once more than this much of an incident is looked at each time, its cost until an hour ago is written down, and
/// only what follows is looked at.
const LOOKED_AT_MS_MAX: i64 = 12 * 3_600_000;
/// Webhooks later than this do not change what was written down.
const SETTLED_AFTER_MS: i64 = 3_600_000;
/// Codes shown.
const CODES_MAX: usize = 3;

/// An incident whose cost is looked at from minute `from` on.
pub(super) struct Case {
    pub(super) series: Series,
    pub(super) onset: Onset,
    pub(super) from: UnixMillis,
    pub(super) before: Option<Accrued>,
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

    pub(super) fn codes(&self, rows: Vec<sql::CodeRow>, window: Window) -> Vec<CodeExcess> {
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

pub(super) fn end(window: Window) -> UnixMillis {
    UnixMillis(window.last.0 + MINUTE_MS)
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
