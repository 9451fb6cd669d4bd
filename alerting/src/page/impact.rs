//! What an incident costs, estimated: the failures above the usual, and their money. Always labelled an estimate.

use std::collections::{BTreeMap, BTreeSet};

use payments::{Currency, UnixMillis};
use serde::{Deserialize, Serialize};

use super::number;

const MINUTE_MS: i64 = 60_000;
/// The minute of the onset is only partly bad: it is left out of the rate once this much data follows it.
const STEADY_MS_MIN: i64 = 30_000;

/// What an incident costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// Payments lost so far above the usual; `None` when they cannot be counted.
    pub payments: Option<f64>,
    /// Money; `None` when there are no amounts to estimate from.
    pub money: Option<MoneyImpact>,
    /// Why something above is `None`.
    pub unknown: String,
}

/// Money lost above the usual, in the reporting currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoneyImpact {
    /// ISO 4217 code of the reporting currency.
    pub currency: String,
    /// A minute, at the present rate, in major units.
    pub per_minute: f64,
    /// Since the onset, in major units.
    pub so_far: f64,
    /// Failures whose currency has no configured rate: not in the sums.
    pub unconverted: u64,
    /// Those currencies.
    pub unconverted_currencies: Vec<String>,
}

/// What an incident cost up to some minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accrued {
    /// The minute at which the rest begins.
    pub to: UnixMillis,
    /// The cost before it.
    pub impact: Impact,
}

/// Money of one minute in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyMinute {
    /// Start of the minute.
    pub minute: UnixMillis,
    /// ISO 4217 code.
    pub currency: String,
    /// Failed attempts that have an amount.
    pub failures: u64,
    /// Their amount in minor units.
    pub failed_minor: i64,
    /// Amount of all attempts in minor units.
    pub attempted_minor: i64,
}

/// How other currencies are converted.
#[derive(Clone, Debug)]
pub struct Rates {
    /// The currency of reports.
    pub reporting: Currency,
    /// Value of one major unit of a currency in the reporting currency.
    pub of: BTreeMap<String, f64>,
}

impl Rates {
    /// Major units of the reporting currency for `minor` of `currency`; `None` without a rate.
    fn convert(&self, minor: f64, currency: Currency) -> Option<f64> {
        let rate = if currency == self.reporting { 1.0 } else { *self.of.get(currency.as_str())? };
        let exponent = i32::try_from(currency.exponent()).unwrap_or(2);
        Some(minor / 10_f64.powi(exponent) * rate)
    }
}

impl Impact {
    /// Nothing can be estimated, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { unknown: why.into(), ..Self::default() }
    }

    /// This and what came `later`, whose rate is the present one.
    #[must_use]
    pub fn plus(&self, later: &Self) -> Self {
        let payments = match (self.payments, later.payments) {
            (Some(before), Some(later)) => Some(before + later),
            (before, later) => before.or(later),
        };
        let money = match (&self.money, &later.money) {
            (Some(before), Some(later)) => Some(before.plus(later)),
            (Some(before), None) => Some(MoneyImpact { per_minute: 0.0, ..before.clone() }),
            (None, later) => later.clone(),
        };
        let unknown = if money.is_some() { String::new() } else { later.unknown.clone() };
        Self { payments, money, unknown }
    }

    /// `~$1.8k/min` for a title; empty when unknown or nothing.
    pub fn in_title(&self) -> String {
        match &self.money {
            Some(money) if money.per_minute >= 0.5 => {
                format!("~{}/min", number::money(money.per_minute, money.currency()))
            }
            _ => String::new(),
        }
    }

    /// The impact line of a page: `~150 payments lost, ~$4.6k so far (est.); ~$1.8k/min, ~$110k in the next hour`.
    pub fn in_full(&self) -> String {
        let Some(money) = &self.money else { return self.without_money() };
        let currency = money.currency();
        format!(
            "{}; ~{}/min, ~{} in the next hour at this rate{}",
            self.total(),
            number::money(money.per_minute, currency),
            number::money(money.per_minute * 60.0, currency),
            money.not_counted(),
        )
    }

    /// The impact line of a page that resolves: the total.
    pub fn in_total(&self) -> String {
        let Some(money) = &self.money else { return self.without_money() };
        format!("{}{}", self.total().replace(" so far", " in total"), money.not_counted())
    }

    fn total(&self) -> String {
        let payments = self.payments.map(|count| format!("~{} payments lost, ", number::count(count)));
        let money = self
            .money
            .as_ref()
            .map_or_else(String::new, |money| number::money(money.so_far, money.currency()));
        format!("{}~{money} so far (est.)", payments.unwrap_or_default())
    }

    fn without_money(&self) -> String {
        match self.payments {
            Some(count) => {
                format!(
                    "~{} payments lost so far (est.); money not estimable ({})",
                    number::count(count),
                    self.unknown
                )
            }
            None => format!("impact not estimable ({})", self.unknown),
        }
    }

    /// A minute, in the reporting currency; for "has it doubled?".
    pub fn per_minute(&self) -> Option<f64> {
        self.money.as_ref().map(|money| money.per_minute)
    }
}

impl MoneyImpact {
    /// `; not counted: 3 failures in BRL (no exchange rate)`, or nothing.
    fn not_counted(&self) -> String {
        if self.unconverted == 0 {
            return String::new();
        }
        let plural = if self.unconverted == 1 { "" } else { "s" };
        let currencies = self.unconverted_currencies.join(", ");
        format!("; not counted: {} failure{plural} in {currencies} (no exchange rate)", self.unconverted)
    }

    fn plus(&self, later: &Self) -> Self {
        let mut currencies = self.unconverted_currencies.clone();
        currencies.extend(later.unconverted_currencies.iter().cloned());
        currencies.sort();
        currencies.dedup();
        Self {
            currency: later.currency.clone(),
            per_minute: later.per_minute,
            so_far: self.so_far + later.so_far,
            unconverted: self.unconverted + later.unconverted,
            unconverted_currencies: currencies,
        }
    }

    fn currency(&self) -> Currency {
        Currency::parse(&self.currency).unwrap_or(Currency::USD)
    }
}

/// The minutes of which a cost is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first minute: of the incident, or of the part of it that is asked for. What lies before is the reference.
    pub since: UnixMillis,
    /// The first minute of the window in which the present rate is measured.
    pub recent: UnixMillis,
    /// Where the data, or the part, end.
    pub end: UnixMillis,
}

/// The money of `span`: what failed in it, less what would have failed at the usual share of the amounts attempted.
/// `usual` is the share of attempts that usually fail, for currencies in which nothing was attempted before.
pub fn estimate(minutes: &[MoneyMinute], span: Span, usual: f64, rates: &Rates) -> Option<MoneyImpact> {
    let Span { since, recent, end } = span;
    let after_since = UnixMillis(since.0 + MINUTE_MS);
    let steady = if end.0 - after_since.0 >= STEADY_MS_MIN { after_since } else { since };
    let recent = recent.max(steady);
    let recent_minutes = (end.0 - recent.0).max(STEADY_MS_MIN) as f64 / MINUTE_MS as f64;
    let mut impact = MoneyImpact {
        currency: rates.reporting.as_str().to_owned(),
        per_minute: 0.0,
        so_far: 0.0,
        unconverted: 0,
        unconverted_currencies: Vec::new(),
    };
    let codes: BTreeSet<&str> = minutes.iter().map(|minute| minute.currency.as_str()).collect();
    let mut counted = false;
    for code in codes {
        let of_code = || minutes.iter().filter(|minute| minute.currency == code && minute.minute < end);
        let failures: u64 = of_code().filter(|m| m.minute >= since).map(|m| m.failures).sum();
        let reference = sums(of_code().filter(|m| m.minute < since));
        let share = if reference.1 > 0.0 { reference.0 / reference.1 } else { usual };
        let excess = |from: UnixMillis| {
            let (failed, attempted) = sums(of_code().filter(|m| m.minute >= from));
            (failed - share * attempted).max(0.0)
        };
        let converted = Currency::parse(code).and_then(|currency| {
            Some((rates.convert(excess(recent), currency)?, rates.convert(excess(since), currency)?))
        });
        match converted {
            Some((recently, in_all)) => {
                counted |= failures > 0;
                impact.per_minute += recently / recent_minutes;
                impact.so_far += in_all;
            }
            None if failures > 0 => {
                impact.unconverted += failures;
                impact.unconverted_currencies.push(super::outside(code));
            }
            None => {}
        }
    }
    (counted || impact.unconverted > 0).then_some(impact)
}

/// Failed and attempted amounts in minor units.
fn sums<'a>(minutes: impl Iterator<Item = &'a MoneyMinute>) -> (f64, f64) {
    minutes.fold((0.0, 0.0), |(failed, attempted), minute| {
        (failed + minute.failed_minor as f64, attempted + minute.attempted_minor as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(index: i64, currency: &str, failed_minor: i64, attempted_minor: i64) -> MoneyMinute {
        MoneyMinute {
            minute: UnixMillis(index * MINUTE_MS),
            currency: currency.to_owned(),
            failures: u64::from(failed_minor > 0),
            failed_minor,
            attempted_minor,
        }
    }

    fn rates() -> Rates {
        Rates {
            reporting: Currency::USD,
            of: BTreeMap::from([("EUR".to_owned(), 2.0), ("JPY".to_owned(), 0.01)]),
        }
    }

    /// The cost since minute `since` of data complete to minute `end`, at the rate of the last two minutes.
    fn cost(minutes: &[MoneyMinute], since: i64, end: i64, usual: f64) -> Option<MoneyImpact> {
        let at = |index: i64| UnixMillis(index * MINUTE_MS);
        let span = Span { since: at(since), recent: at(end - 2), end: at(end) };
        estimate(minutes, span, usual, &rates())
    }

    #[test]
    fn the_usual_share_is_not_a_loss() {
        let mut minutes: Vec<_> = (0..60).map(|index| minute(index, "USD", 1_000, 10_000)).collect();
        minutes.extend((60..63).map(|index| minute(index, "USD", 9_000, 10_000)));
        let impact = cost(&minutes, 60, 63, 0.1).unwrap();
        assert!((impact.so_far - 240.0).abs() < 0.01, "{impact:?}");
        assert!((impact.per_minute - 80.0).abs() < 0.01, "{impact:?}");
    }

    #[test]
    fn the_rate_is_the_present_one_and_the_sum_is_of_all() {
        let mut minutes: Vec<_> = (0..60).map(|index| minute(index, "USD", 2_000, 10_000)).collect();
        minutes.extend((60..64).map(|index| minute(index, "USD", 9_000, 10_000)));
        let impact = cost(&minutes, 0, 64, 0.1).unwrap();
        assert!((impact.per_minute - 80.0).abs() < 0.01, "it became worse after an hour: {impact:?}");
        assert!((impact.so_far - (60.0 * 10.0 + 4.0 * 80.0)).abs() < 0.01, "{impact:?}");
    }

    #[test]
    fn each_currency_is_converted_with_its_own_minor_unit() {
        let minutes = [minute(60, "EUR", 10_000, 10_000), minute(60, "JPY", 5_000, 5_000)];
        let impact = cost(&minutes, 60, 61, 0.0).unwrap();
        assert!((impact.so_far - 250.0).abs() < 0.01, "{impact:?}");
    }

    #[test]
    fn a_currency_without_a_rate_is_counted_and_named() {
        let minutes = [minute(60, "USD", 10_000, 10_000), minute(60, "BRL", 500, 500)];
        let impact = cost(&minutes, 60, 61, 0.0).unwrap();
        assert_eq!(
            (impact.unconverted, impact.unconverted_currencies.as_slice()),
            (1, &["BRL".to_owned()][..])
        );
        let text = Impact { payments: Some(2.0), money: Some(impact), unknown: String::new() }.in_full();
        assert!(text.contains("(est.)") && text.contains("1 failure in BRL (no exchange rate)"), "{text}");
    }

    #[test]
    fn without_amounts_there_is_no_estimate() {
        assert_eq!(cost(&[], 0, 61, 0.1), None);
        assert_eq!(Impact::unknown("no amounts").in_full(), "impact not estimable (no amounts)");
        assert_eq!(Impact::unknown("no amounts").in_title(), "");
    }
}
