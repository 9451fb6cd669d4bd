//! `dead_man`: did a feed stop? Nothing was stored for some time, although heartbeats show that whatever had arrived
//! would be. Runs on arrival time: a feed that stops has no event time.

mod arrivals;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use payments::UnixMillis;
use serde::Deserialize;

use arrivals::Arrivals;

use super::keys::{Scope, Wrong, dimensions, filter};
use super::{Evaluation, Findings, Held, Instants, Sample};
use crate::page::{Headline, Impact, Measured, Usual, duration, per_minute};
use crate::reader::{QueryError, Reader};
use crate::slice::{Dimension, Slice};
use crate::state::Verdict;

const MINUTE_MS: i64 = 60_000;
/// Beyond silence and reference, arrivals are looked for this far back: a silence that began while we were down is seen
/// up to this age. A longer one that was paged already is known from its page.
const LOOK_BACK_MS: i64 = 30 * MINUTE_MS;
/// Slices looked at, those with the most arrivals.
const SLICES_MAX: usize = 500;

const COST: &str = "payments may be fine: only the webhooks about them are missing";

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
        held: &[Held],
    ) -> Result<Evaluation, QueryError> {
        let mut arrivals = self.arrivals(reader, instants.complete_to, &[]).await?;
        let truncated = arrivals.len() > SLICES_MAX;
        arrivals.truncate(SLICES_MAX);
        let seen: HashSet<&Slice> = arrivals.iter().map(|(slice, _)| slice).collect();
        let unseen: Vec<&Slice> =
            held.iter().map(|held| &held.slice).filter(|slice| !seen.contains(slice)).collect();
        if truncated && !unseen.is_empty() {
            arrivals.extend(self.arrivals(reader, instants.complete_to, &unseen).await?);
        }
        Ok(Evaluation { samples: self.judged(&arrivals, held, instants.complete_to), truncated })
    }

    fn judged(&self, arrivals: &[(Slice, Arrivals)], held: &[Held], complete_to: UnixMillis) -> Vec<Sample> {
        let mut open: BTreeMap<&Slice, &Held> =
            held.iter().filter(|held| held.is_open).map(|held| (&held.slice, held)).collect();
        let sample = |slice: &Slice, ms: i64, verdict: Verdict| Sample {
            slice: slice.clone(),
            verdict: Some(verdict),
            measured: Measured::Silence { ms: u64::try_from(ms).unwrap_or(0) },
        };
        let mut samples: Vec<Sample> = Vec::with_capacity(arrivals.len());
        for (slice, arrivals) in arrivals {
            let mut silence = self.silence(arrivals, complete_to);
            // What has paged was alive, although what was usual has left the window by now.
            silence.alive |= open.remove(slice).is_some();
            samples.push(sample(slice, silence.ms, self.judge(silence)));
        }
        // Not one arrival in the window: the silence is as old as the page says.
        samples.extend(open.into_values().filter_map(|held| {
            let ms = complete_to.0 - held.since?.0;
            Some(sample(&held.slice, ms, Verdict::Breach))
        }));
        samples
    }

    pub(super) async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
        held: Option<&Held>,
    ) -> Result<Findings, QueryError> {
        if let Some(since) = held.and_then(|held| held.since) {
            let impact = Impact::unknown(COST);
            return Ok(Findings { since: Some(since), impact, ..Findings::unknown(sample.measured) });
        }
        let arrivals = self.arrivals(reader, instants.complete_to, &[&sample.slice]).await?;
        let Some((_, arrivals)) = arrivals.first() else {
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
            impact: Impact::unknown(COST),
            codes: Vec::new(),
            samples: Vec::new(),
            accrued: None,
            notes: Vec::new(),
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
