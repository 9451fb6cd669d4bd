//! `dead_man`: did a feed stop? Nothing was stored for some time, although heartbeats show that whatever had arrived
//! would be. Runs on arrival time: a feed that stops has no event time.

use std::collections::BTreeMap;

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use super::keys::{Scope, Wrong, dimensions, filter};
use super::scope_sql::slice_column;
use super::{Evaluation, Findings, Instants, Sample};
use crate::page::{Headline, Impact, Measured, Usual, duration, per_minute};
use crate::reader::{QueryError, Reader, Sql};
use crate::slice::{Dimension, Slice};
use crate::state::Verdict;

const MINUTE_MS: i64 = 60_000;
/// Beyond silence and reference, arrivals are looked for this far back: a silence that began while we were down is seen
/// up to this age. A longer one that was paged already stays open: without a sample it is frozen.
const LOOK_BACK_MS: i64 = 30 * MINUTE_MS;
/// Slices looked at.
const SLICES_MAX: usize = 500;

/// A rule of this type.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadMan {
    scope: Scope,
    silence_ms: i64,
    reference_ms: i64,
    webhooks_min: u64,
    missing_min: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default = "by")]
    by: Vec<String>,
    #[serde(default, rename = "where")]
    only: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    not: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    include_empty: bool,
    silence_s: i64,
    #[serde(default = "reference_s")]
    reference_s: i64,
    #[serde(default = "webhooks_min")]
    webhooks_min: u64,
    #[serde(default = "missing_min")]
    missing_min: f64,
}

fn by() -> Vec<String> {
    vec![Dimension::Source.name().to_owned()]
}

fn reference_s() -> i64 {
    1_800
}

fn webhooks_min() -> u64 {
    30
}

/// With an even flow, a natural silence of 13.8 expected arrivals happens once in a million.
fn missing_min() -> f64 {
    13.8
}

/// Arrivals of one slice, by minute, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
struct Arrivals {
    minutes: Vec<(UnixMillis, u64)>,
    last_at: UnixMillis,
}

/// What a slice's arrivals say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Silence {
    ms: i64,
    last_at: UnixMillis,
    usual_per_minute: f64,
    usual_from: UnixMillis,
    alive: bool,
}

impl DeadMan {
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
        if !(30..=86_400).contains(&keys.silence_s) {
            wrong.push(("silence_s", format!("{} is not between 30 and 86400", keys.silence_s)));
        }
        if !(300..=86_400).contains(&keys.reference_s) {
            wrong.push(("reference_s", format!("{} is not between 300 and 86400", keys.reference_s)));
        }
        if !keys.missing_min.is_finite() || keys.missing_min < 3.0 {
            wrong
                .push(("missing_min", format!("{} would page for chance; use at least 3", keys.missing_min)));
        }
        Ok(Self {
            scope,
            silence_ms: keys.silence_s.saturating_mul(1000),
            reference_ms: keys.reference_s.saturating_mul(1000),
            webhooks_min: keys.webhooks_min,
            missing_min: keys.missing_min,
        })
    }

    pub(super) async fn evaluate(
        &self,
        reader: &Reader,
        instants: Instants,
    ) -> Result<Evaluation, QueryError> {
        let arrivals = self.arrivals(reader, instants.complete_to, None).await?;
        let truncated = arrivals.len() > SLICES_MAX;
        let samples = arrivals
            .iter()
            .take(SLICES_MAX)
            .map(|(slice, arrivals)| {
                let silence = self.silence(arrivals, instants.complete_to);
                Sample {
                    slice: slice.clone(),
                    verdict: Some(self.judge(silence)),
                    measured: Measured::Silence { ms: u64::try_from(silence.ms).unwrap_or(0) },
                }
            })
            .collect();
        Ok(Evaluation { samples, truncated })
    }

    pub(super) async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
    ) -> Result<Findings, QueryError> {
        let arrivals = self.arrivals(reader, instants.complete_to, Some(&sample.slice)).await?;
        let Some(arrivals) = arrivals.get(&sample.slice) else {
            return Ok(Findings::unknown(sample.measured));
        };
        let silence = self.silence(arrivals, instants.complete_to);
        Ok(Findings {
            since: Some(silence.last_at),
            since_at_least: false,
            now: sample.measured,
            usual: Some(Usual {
                measured: Measured::PerMinute { rate: silence.usual_per_minute },
                from: silence.usual_from,
                to: silence.last_at,
            }),
            impact: Impact::unknown("payments may be fine: only the webhooks about them are missing"),
            codes: Vec::new(),
            samples: Vec::new(),
        })
    }

    /// `No adyen-eu webhooks for 3 min (usually 41/min)`.
    pub(super) fn headline(slice: &Slice, findings: &Findings) -> Headline {
        let lasted = match findings.now {
            Measured::Silence { ms } => format!("webhooks for {}", duration(ms)),
            _ => "webhooks".to_owned(),
        };
        let usually = match findings.usual.map(|usual| usual.measured) {
            Some(Measured::PerMinute { rate }) => format!(" (usually {})", per_minute(rate)),
            _ => String::new(),
        };
        Headline { before: "No".to_owned(), slice: slice.bare_words(), after: format!("{lasted}{usually}") }
    }

    /// Requests are counted in `webhooks`, whatever became of them; cuts that only facts have, in `payment_events`.
    async fn arrivals(
        &self,
        reader: &Reader,
        complete_to: UnixMillis,
        slice: Option<&Slice>,
    ) -> Result<BTreeMap<Slice, Arrivals>, QueryError> {
        #[derive(Debug, Row, Deserialize)]
        struct ArrivalRow {
            slice: Vec<String>,
            minute_s: i64,
            webhooks: u64,
            last_ms: i64,
        }
        let (count, table) = if self.is_of_requests() {
            ("count()", "webhooks")
        } else {
            ("uniqExact(webhook_id)", "payment_events")
        };
        let from = complete_to.0 - self.silence_ms - self.reference_ms - LOOK_BACK_MS;
        let sql = Sql::new("SELECT")
            .text(&slice_column(&self.scope.by))
            .text("AS slice, toInt64(toUnixTimestamp(toStartOfMinute(received_at))) AS minute_s,")
            .text(&format!(
                "{count} AS webhooks, toUnixTimestamp64Milli(max(received_at)) AS last_ms FROM {table}"
            ))
            .number("WHERE received_at >= fromUnixTimestamp64Milli(toInt64(?))", from);
        let sql = self.scope.filter(sql);
        let sql = slice.map_or(sql.clone(), |slice| slice.filter(sql));
        let rows: Vec<ArrivalRow> =
            reader.rows(sql.text("GROUP BY slice, minute_s ORDER BY slice, minute_s")).await?;
        let mut slices: BTreeMap<Slice, Arrivals> = BTreeMap::new();
        for row in rows {
            let arrivals = slices.entry(Slice::new(&self.scope.by, row.slice)).or_default();
            arrivals.minutes.push((UnixMillis(row.minute_s * 1000), row.webhooks));
            arrivals.last_at = arrivals.last_at.max(UnixMillis(row.last_ms));
        }
        Ok(slices)
    }

    fn is_of_requests(&self) -> bool {
        let scope = &self.scope;
        let mut used = scope.by.iter().chain(scope.only.keys()).chain(scope.not.keys());
        used.all(|dimension| matches!(dimension, Dimension::Source | Dimension::Provider))
    }

    /// What was usual is measured before the silence, so it does not fade while the silence lasts.
    fn silence(&self, arrivals: &Arrivals, complete_to: UnixMillis) -> Silence {
        let last_at = arrivals.last_at;
        let reference_start = UnixMillis(last_at.0 - self.reference_ms);
        let reference = || arrivals.minutes.iter().filter(|(minute, _)| *minute >= reference_start);
        let usual_from = reference().map(|(minute, _)| *minute).min().unwrap_or(last_at);
        let webhooks: u64 = reference().map(|(_, webhooks)| webhooks).sum();
        let minutes = ((last_at.0 - usual_from.0).max(MINUTE_MS)) as f64 / MINUTE_MS as f64;
        let usual_per_minute = webhooks as f64 / minutes;
        let ms = (complete_to.0 - last_at.0).max(0);
        let missing = usual_per_minute * ms as f64 / MINUTE_MS as f64;
        let alive = webhooks >= self.webhooks_min && missing >= self.missing_min;
        Silence { ms, last_at, usual_per_minute, usual_from, alive }
    }

    fn judge(&self, silence: Silence) -> Verdict {
        if silence.ms < self.silence_ms {
            Verdict::Clear
        } else if silence.alive {
            Verdict::Breach
        } else {
            Verdict::Between
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_356_000_000);

    fn rule() -> DeadMan {
        let mut wrong = Vec::new();
        let keys = toml::de::Deserializer::parse("silence_s = 120").unwrap();
        let rule = DeadMan::read(keys, &mut wrong).unwrap();
        assert_eq!(wrong, []);
        rule
    }

    /// `per_minute` webhooks in each of `minutes` minutes, the last one `silent_s` ago.
    fn arrivals(per_minute: u64, minutes: i64, silent_s: i64) -> Arrivals {
        let last_at = UnixMillis(NOW.0 - silent_s * 1000);
        let start = last_at.minute().0 - (minutes - 1) * MINUTE_MS;
        let minutes = (0..minutes).map(|index| (UnixMillis(start + index * MINUTE_MS), per_minute)).collect();
        Arrivals { minutes, last_at }
    }

    fn verdict(per_minute: u64, minutes: i64, silent_s: i64) -> Verdict {
        let rule = rule();
        rule.judge(rule.silence(&arrivals(per_minute, minutes, silent_s), NOW))
    }

    #[test]
    fn a_feed_that_was_alive_and_stopped_is_a_breach() {
        assert_eq!(verdict(41, 30, 180), Verdict::Breach);
        assert_eq!(verdict(41, 30, 60), Verdict::Clear);
    }

    #[test]
    fn a_thin_feed_must_miss_enough_before_its_silence_means_anything() {
        assert_eq!(verdict(1, 31, 180), Verdict::Between);
        assert_eq!(verdict(1, 31, 1_000), Verdict::Breach);
        assert_eq!(verdict(2, 5, 100_000), Verdict::Between, "too few to know what is usual");
    }

    #[test]
    fn what_is_usual_does_not_fade_while_the_silence_lasts() {
        let rule = rule();
        let (short, long) =
            (rule.silence(&arrivals(41, 60, 180), NOW), rule.silence(&arrivals(41, 60, 3_600), NOW));
        assert!((short.usual_per_minute - long.usual_per_minute).abs() < 2.0);
        assert!((38.0..46.0).contains(&long.usual_per_minute), "{long:?}");
    }
}
