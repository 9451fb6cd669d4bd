use payments::{Currency, UnixMillis};
use proptest::prelude::*;

use super::cost::{Case, excesses};
use super::series::{Onset, Series};
use super::sql::CodeRow;
use super::*;
use crate::page::{Accrued, Impact, MoneyMinute};
use crate::rules::{Question, Rule};
use crate::stats::Counts;

const MINUTE: i64 = 60_000;
const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

fn shipped(id: &str) -> (Rule, Threshold) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let rules = crate::rules::load(&root.join("rules"), &["log".to_owned()]).unwrap();
    let rule = rules[id].clone();
    let Question::Threshold(threshold) = rule.question.clone() else { panic!("{id} is no threshold") };
    (rule, threshold)
}

fn share(attempts: u64, failures: u64) -> Reading {
    Reading { attempts, failures, ..Reading::default() }
}

#[test]
fn a_rate_fires_on_what_the_counts_prove() {
    let (_, rule) = shipped("issuer-declines");
    assert_eq!(rule.judge(share(29, 29)), None, "too few to judge by");
    assert_eq!(rule.judge(share(30, 20)), Some(Verdict::Breach));
    assert_eq!(rule.judge(share(30, 17)), Some(Verdict::Between), "57% of 30 may be chance");
    assert_eq!(rule.judge(share(3_000, 1_200)), Some(Verdict::Breach));
    assert_eq!(rule.judge(share(3_000, 800)), Some(Verdict::Between));
    assert_eq!(rule.judge(share(3_000, 400)), Some(Verdict::Clear));
}

#[test]
fn a_volume_is_missed_only_where_there_was_one() {
    let (_, rule) = shipped("volume");
    let volume = |per_minute: u64, usual_per_minute: u64| {
        let attempts = per_minute * 3;
        rule.judge(Reading { attempts, usual_attempts: usual_per_minute * 60, ..Reading::default() })
    };
    assert_eq!(volume(5, 1_200), Some(Verdict::Breach));
    assert_eq!(volume(0, 1_200), Some(Verdict::Breach));
    assert_eq!(volume(1_100, 1_200), Some(Verdict::Clear));
    assert_eq!(volume(5, 40), None, "it never was much");
    assert_eq!(volume(0, 0), None);
}

#[test]
fn the_running_minute_counts_for_a_share_but_not_for_a_volume() {
    let (_, rate) = shipped("issuer-declines");
    let at = UnixMillis(NOON.0 + 40_000);
    assert_eq!(rate.window(at), Window { first: UnixMillis(NOON.0 - MINUTE), last: NOON });
    let (_, volume) = shipped("volume");
    let last = UnixMillis(NOON.0 - MINUTE);
    assert_eq!(volume.window(at), Window { first: UnixMillis(last.0 - 2 * MINUTE), last });
    let early = UnixMillis(NOON.0 + 20_000);
    assert_eq!(volume.window(early).last, UnixMillis(NOON.0 - 2 * MINUTE), "late webhooks are waited for");
}

fn series(bad_minutes: usize) -> Series {
    let mut counts = vec![Counts { attempts: 100, failures: 12 }; 70];
    counts.extend(vec![Counts { attempts: 100, failures: 91 }; bad_minutes]);
    Series { first: NOON, counts }
}

fn minute(index: i64) -> UnixMillis {
    UnixMillis(NOON.0 + index * MINUTE)
}

#[test]
fn the_onset_usual_and_now_come_from_the_minutes_themselves() {
    let series = series(2);
    let window = Window { first: minute(70), last: minute(71) };
    let onset = series.onset(window, 60);
    assert_eq!((onset.since, onset.at_least), (minute(70), false));
    assert_eq!(onset.usual, Counts { attempts: 6_000, failures: 720 });
    assert_eq!(onset.usual_from, minute(10));
    assert_eq!(series.now(window, onset.since), Measured::Share { count: 91, of: 100 });
}

#[test]
fn a_series_that_is_bad_from_its_start_says_at_least() {
    let series = Series { first: NOON, counts: vec![Counts { attempts: 100, failures: 91 }; 72] };
    let window = Window { first: minute(70), last: minute(71) };
    let onset = series.onset(window, 60);
    assert!(onset.at_least, "{onset:?}");
}

/// An incident that goes on for `hours`, looked at every half hour; its cost at the end.
fn cost_after(hours: i64) -> Impact {
    let rates = Rates { reporting: Currency::USD, of: std::collections::BTreeMap::new() };
    let usual = Counts { attempts: 6_000, failures: 720 };
    let onset = Onset { since: NOON, at_least: false, usual, usual_from: minute(-60) };
    let (mut before, mut cost): (Option<Accrued>, _) = (None, Impact::default());
    for end in (30..=hours * 60).step_by(30) {
        let from = before.as_ref().map_or(NOON, |accrued| accrued.to);
        let minutes = end - (from.0 - NOON.0) / MINUTE;
        let counts = vec![Counts { attempts: 100, failures: 91 }; usize::try_from(minutes).unwrap()];
        let series = Series { first: from, counts };
        let money: Vec<MoneyMinute> = (0..minutes)
            .map(|index| MoneyMinute {
                minute: UnixMillis(from.0 + index * MINUTE),
                currency: "USD".to_owned(),
                failures: 91,
                failed_minor: 91_000,
                attempted_minor: 100_000,
            })
            .collect();
        let case = Case { series, onset, from, before: before.clone() };
        let window = Window { first: minute(end - 2), last: minute(end - 1) };
        let instants = Instants { now: minute(end), complete_to: minute(end) };
        let (impact, accrued) = case.cost(&money, (instants, window), &rates);
        cost = impact;
        before = accrued.or(before);
        assert!(minutes <= 13 * 60, "a long incident is not looked at as a whole");
    }
    cost
}

#[test]
fn the_cost_of_an_incident_that_lasts_for_days_goes_on_growing() {
    for hours in [1, 12, 13, 25, 72] {
        let cost = cost_after(hours);
        let minutes = (hours * 60) as f64;
        // 91 of 100 fail a minute where 12 usually do, at 10 USD each.
        let lost = cost.payments.unwrap();
        assert!((lost - 79.0 * minutes).abs() < 1.0, "{hours} h: {lost}");
        let money = cost.money.unwrap();
        assert!((money.so_far - 790.0 * minutes).abs() < 1.0, "{hours} h: {money:?}");
        assert!((money.per_minute - 790.0).abs() < 0.1, "{hours} h: {money:?}");
    }
}

fn held(slice: &Slice) -> Held {
    Held { slice: slice.clone(), is_open: true, since: Some(NOON), usual: None, accrued: None }
}

#[test]
fn a_volume_that_was_missed_stays_missed_however_long_it_is_gone() {
    let (_, rule) = shipped("volume");
    let everything = Slice::default();
    // Two hours later the hour before is empty too, and then there is not one row.
    let empty = vec![(everything.clone(), Reading::default())];
    assert_eq!(rule.judged(empty.clone(), &[])[0].verdict, None);
    assert_eq!(rule.judged(empty, &[held(&everything)])[0].verdict, Some(Verdict::Breach));
    assert_eq!(rule.judged(Vec::new(), &[held(&everything)])[0].verdict, Some(Verdict::Breach));
    let back = vec![(everything.clone(), Reading { attempts: 3 * 1_200, ..Reading::default() })];
    assert_eq!(rule.judged(back, &[held(&everything)])[0].verdict, Some(Verdict::Clear));
}

proptest! {
    #[test]
    fn codes_never_explain_more_than_all(
        rows in prop::collection::vec((0_u64..500, 0_u64..500), 0..20), scale in 0.0..3.0_f64, total in 0.0..2_000.0_f64,
    ) {
        let rows = rows.into_iter().map(|(before, since)| CodeRow {
            category: "do_not_honor".to_owned(), code: since.to_string(), before, since,
        });
        let codes = excesses(rows.collect(), scale, Some(total));
        let sum: f64 = codes.iter().map(|code| code.excess).sum();
        prop_assert!(sum <= total + 1e-6, "{} > {}", sum, total);
        prop_assert!(codes.iter().all(|code| code.excess >= 1.0));
    }
}
