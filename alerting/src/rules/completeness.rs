//! `completeness`: is every webhook that was acknowledged stored? Runs on arrival time. A tally stands in the queue behind
//! what it counts, so a backlog holds both back; what the settling time is for is a webhook in the hands of another
//! processor, or set aside and tried again.

use payments::UnixMillis;
use serde::Deserialize;

use super::keys::Wrong;
use super::{Evaluation, Findings, Held, Instants, Sample};
use crate::completeness::{Answer, Gap, SETTLE_MS, a_day_before, hour};
use crate::page::{Headline, Impact, Measured, count, day_clock};
use crate::reader::{QueryError, Reader};
use crate::slice::{Dimension, Slice};
use crate::state::Verdict;

/// What has paged is looked at for this long, although others are for a day only.
const HELD_MS: i64 = 3 * 24 * 3_600_000;
/// Hours that a page lists.
const HOURS_LISTED: usize = 6;
const COST: &str = "what the missing webhooks said is in no number: the board, the rules and reports lack it";

/// A rule of this type.
#[derive(Clone, Debug, PartialEq)]
pub struct Completeness {
    settle_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default = "settle_s")]
    settle_s: i64,
}

fn settle_s() -> i64 {
    SETTLE_MS / 1_000
}

impl Completeness {
    pub(super) fn read(
        keys: toml::de::Deserializer<'_>,
        wrong: &mut Vec<Wrong>,
    ) -> Result<Self, toml::de::Error> {
        let keys = Keys::deserialize(keys)?;
        if !(0..=43_200).contains(&keys.settle_s) {
            wrong.push(("settle_s", format!("{} is not between 0 and 43200", keys.settle_s)));
        }
        Ok(Self { settle_ms: keys.settle_s.saturating_mul(1_000) })
    }

    pub(super) async fn evaluate(
        &self,
        reader: &Reader,
        instants: Instants,
        held: &[Held],
    ) -> Result<Evaluation, QueryError> {
        let answer = reader.completeness(instants, oldest(instants, held)).await?;
        let samples = answer.sources.keys().map(|source| {
            let slice = Slice::new(&[Dimension::Source], vec![source.clone()]);
            let held = held.iter().find(|held| held.slice == slice);
            self.judged(&answer, source, slice, held, instants)
        });
        Ok(Evaluation { samples: samples.collect(), truncated: false })
    }

    fn judged(
        &self,
        answer: &Answer,
        source: &str,
        slice: Slice,
        held: Option<&Held>,
        instants: Instants,
    ) -> Sample {
        let gaps = self.gaps(answer, source, held, instants);
        // What was paged and is too old to be looked at is not known to be mended.
        let is_too_old = since(held).is_some_and(|since| since < hour(held_from(instants)));
        let verdict = match gaps.is_empty() {
            false => Some(Verdict::Breach),
            true if is_too_old => None,
            true => Some(Verdict::Clear),
        };
        Sample { slice, verdict, measured: measured(&gaps) }
    }

    fn gaps(&self, answer: &Answer, source: &str, held: Option<&Held>, instants: Instants) -> Vec<Gap> {
        let from = a_day_before(instants);
        let from = since(held).map_or(from, |since| from.min(hour(since)));
        answer.missing(source, from, self.settle_ms).collect()
    }

    pub(super) async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
        held: Option<&Held>,
    ) -> Result<Findings, QueryError> {
        let from = oldest(instants, held.map_or(&[], std::slice::from_ref));
        let answer = reader.completeness(instants, from).await?;
        let source = sample.slice.values().next().map_or("", |(_, source)| source);
        let gaps = self.gaps(&answer, source, held, instants);
        let first = gaps.first().map(|gap| gap.minute);
        Ok(Findings {
            since: since(held).or(first),
            impact: Impact::unknown(COST),
            notes: (!gaps.is_empty()).then(|| by_hour(&gaps)).into_iter().collect(),
            ..Findings::unknown(sample.measured)
        })
    }

    /// `3 acknowledged stripe-us webhooks are not stored`.
    pub(super) fn headline(slice: &Slice, findings: &Findings) -> Headline {
        let (webhooks, words) = match findings.now {
            Measured::Missing { webhooks: 1, .. } => ("1".to_owned(), "webhook is not stored"),
            Measured::Missing { webhooks, .. } => (count(webhooks as f64), "webhooks are not stored"),
            _ => (String::new(), "webhooks are not stored"),
        };
        let before = format!("{webhooks} acknowledged").trim_start().to_owned();
        Headline { before, slice: slice.bare_words(), after: words.to_owned() }
    }
}

fn since(held: Option<&Held>) -> Option<UnixMillis> {
    held.filter(|held| held.is_open)?.since
}

fn held_from(instants: Instants) -> UnixMillis {
    UnixMillis(instants.complete_to.0 - HELD_MS)
}

/// From where it is asked: a day, or as far back as what is open goes.
fn oldest(instants: Instants, held: &[Held]) -> UnixMillis {
    let open = held.iter().filter_map(|held| since(Some(held)));
    let oldest = open.fold(a_day_before(instants), UnixMillis::min);
    hour(oldest.max(held_from(instants)))
}

fn measured(gaps: &[Gap]) -> Measured {
    let webhooks = gaps.iter().map(|gap| gap.missing).sum();
    Measured::Missing { webhooks, hours: hours(gaps).len() as u64 }
}

/// Missing webhooks by hour, in order.
fn hours(gaps: &[Gap]) -> Vec<(UnixMillis, u64)> {
    let mut hours: Vec<(UnixMillis, u64)> = Vec::new();
    for gap in gaps {
        let at = hour(gap.minute);
        match hours.last_mut() {
            Some((last, missing)) if *last == at => *missing += gap.missing,
            _ => hours.push((at, gap.missing)),
        }
    }
    hours
}

/// `missing by hour (UTC): 2026-11-22 13:00 2 · 2026-11-22 14:00 1`.
fn by_hour(gaps: &[Gap]) -> String {
    let hours = hours(gaps);
    let listed: Vec<String> = hours
        .iter()
        .take(HOURS_LISTED)
        .map(|(at, missing)| format!("{} {missing}", day_clock(*at)))
        .collect();
    let more = hours.len().saturating_sub(HOURS_LISTED);
    let more = if more == 0 { String::new() } else { format!(" · and {more} more") };
    format!("missing by hour of arrival (UTC): {}{more}", listed.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_356_120_000); // 2026-11-22T14:02:00Z
    const MINUTE: i64 = 60_000;

    fn instants() -> Instants {
        Instants { now: NOW, complete_to: NOW }
    }

    fn gap(minutes_ago: i64, missing: u64) -> Gap {
        Gap { minute: UnixMillis(NOW.0 - minutes_ago * MINUTE), missing }
    }

    fn held(minutes_ago: i64) -> Held {
        Held {
            slice: Slice::new(&[Dimension::Source], vec!["stripe-us".to_owned()]),
            is_open: true,
            since: Some(UnixMillis(NOW.0 - minutes_ago * MINUTE)),
            usual: None,
            accrued: None,
        }
    }

    #[test]
    fn a_settling_time_that_cannot_be_is_told() {
        let read = |keys: &str| {
            let mut wrong = Vec::new();
            let rule = Completeness::read(toml::de::Deserializer::parse(keys).unwrap(), &mut wrong).unwrap();
            (rule.settle_ms, wrong)
        };
        assert_eq!(read(""), (900_000, vec![]));
        assert_eq!(read("settle_s = 0"), (0, vec![]));
        for seconds in [-1, 43_201] {
            let (_, wrong) = read(&format!("settle_s = {seconds}"));
            assert_eq!(wrong, [("settle_s", format!("{seconds} is not between 0 and 43200"))]);
        }
    }

    #[test]
    fn it_asks_for_a_day_or_for_what_is_open_and_never_for_more_than_three() {
        let from = |held: &[Held]| oldest(instants(), held).to_string();
        assert_eq!(from(&[]), "2026-11-21T14:00:00.000Z");
        assert_eq!(from(&[held(30)]), "2026-11-21T14:00:00.000Z");
        assert_eq!(from(&[held(30), held(30 * 60)]), "2026-11-21T08:00:00.000Z");
        assert_eq!(from(&[held(20 * 24 * 60)]), "2026-11-19T14:00:00.000Z");
    }

    #[test]
    fn hours_are_told_one_by_one_and_only_some_of_them() {
        let gaps = [gap(62, 2), gap(61, 1), gap(1, 4)];
        assert_eq!(measured(&gaps), Measured::Missing { webhooks: 7, hours: 2 });
        assert_eq!(
            by_hour(&gaps),
            "missing by hour of arrival (UTC): 2026-11-22 13:00 3 · 2026-11-22 14:00 4"
        );
        let many: Vec<Gap> = (1..=8).rev().map(|hours| gap(hours * 60, 1)).collect();
        assert!(by_hour(&many).ends_with("2026-11-22 11:00 1 · and 2 more"), "{}", by_hour(&many));
    }

    #[test]
    fn the_title_fits_one_and_many() {
        let title = |webhooks| {
            let findings = Findings::unknown(Measured::Missing { webhooks, hours: 1 });
            let headline = Completeness::headline(&held(0).slice, &findings);
            format!("{} {} {}", headline.before, headline.slice, headline.after)
        };
        assert_eq!(title(1), "1 acknowledged stripe-us webhook is not stored");
        assert_eq!(title(1_204), "1.2k acknowledged stripe-us webhooks are not stored");
    }
}
