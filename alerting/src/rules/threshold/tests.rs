use payments::UnixMillis;

use super::findings::Series;
use super::*;
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
    let onset = series.onset(window, None, 60);
    assert_eq!((onset.since, onset.at_least), (minute(70), false));
    assert_eq!(onset.usual, Counts { attempts: 6_000, failures: 720 });
    assert_eq!(onset.usual_from, minute(10));
    assert_eq!(series.now(window, onset.since), Measured::Share { count: 91, of: 100 });
}

#[test]
fn a_series_that_is_bad_from_its_start_says_at_least() {
    let series = Series { first: NOON, counts: vec![Counts { attempts: 100, failures: 91 }; 72] };
    let window = Window { first: minute(70), last: minute(71) };
    let onset = series.onset(window, None, 60);
    assert!(onset.at_least, "{onset:?}");
}

#[test]
fn an_onset_that_was_told_stays() {
    let series = series(30);
    let window = Window { first: minute(98), last: minute(99) };
    let onset = series.onset(window, Some(minute(70)), 60);
    assert_eq!((onset.since, onset.usual), (minute(70), Counts { attempts: 6_000, failures: 720 }));
}
