//! What of an open page is worth telling.

use payments::UnixMillis;

use super::world::{START, TICK_MS, shipped, tick};
use crate::engine::tick::{Happening, Tick, What};
use crate::page::tests::outage;
use crate::page::{Action, Measured, Page};
use crate::rules::Sample;
use crate::slice::{Dimension, Slice};
use crate::state::{Episode, Health, Move, Phase};
use crate::storage::{Book, Tracked};

const MINUTE: i64 = 60_000;

/// A page at `per_minute`, and what was told of it at the start, at a thousand a minute.
fn told_and_now(per_minute: f64) -> (Tracked, Page) {
    let mut tracked = Tracked::new(Slice::default());
    tracked.told_at = START;
    tracked.told_per_minute = Some(1_000.0);
    let mut page = outage();
    page.impact.money.as_mut().unwrap().per_minute = per_minute;
    (tracked, page)
}

fn after(minutes: i64, per_minute: f64) -> bool {
    let (tracked, page) = told_and_now(per_minute);
    Tick::has_news(&tracked, &page, UnixMillis(START.0 + minutes * MINUTE))
}

#[test]
fn a_doubled_cost_is_news_after_two_minutes_and_anything_after_half_an_hour() {
    assert!(!after(1, 5_000.0), "it was told just now");
    assert!(after(2, 2_000.0) && !after(2, 1_900.0));
    assert!(!after(29, 1_000.0) && after(30, 1_000.0));
}

#[test]
fn numbers_that_are_said_to_be_current_are_looked_up() {
    let what = What::Moved { from: "firing", how: Move::FreshnessRegained };
    let happening = Happening { key: Default::default(), what, sample: None, truncated: false };
    assert!(happening.wants_findings());
}

#[test]
fn a_slice_without_traffic_for_a_day_is_closed_with_that_reason() {
    let rule = shipped("issuer-declines");
    let slice = Slice::new(&[Dimension::Issuer], vec!["Harbour Bank".to_owned()]);
    let mut tracked = Tracked::new(slice.clone());
    tracked.state.phase = Phase::Firing;
    tracked.state.last_at = Some(START);
    // A failed query has just interrupted the wait.
    tracked.state.health = Health::Error;
    tracked.state.episode = Some(Episode {
        incident_id: 4,
        dedup_key: "0".repeat(32),
        started_at: START,
        reopened: false,
        flapping: false,
    });
    (tracked.page, tracked.channels) = (Some(outage()), vec!["chat".to_owned()]);
    let mut book = Book::default();
    book.slices.insert((rule.id.clone(), slice.key()), tracked);
    let few = Sample { slice, verdict: None, measured: Measured::Share { count: 1, of: 2 } };
    let day = UnixMillis(START.0 + 24 * 60 * MINUTE);
    let changes = tick(book, &rule, Some(vec![few.clone()]), day);
    assert!(changes.messages.is_empty(), "{:?}", changes.messages);
    let changes = tick(changes.book, &rule, Some(vec![few]), UnixMillis(day.0 + TICK_MS));
    let (_, message) = &changes.messages[0];
    assert_eq!(message.action, Action::Resolve);
    assert!(message.line.starts_with("closed: no traffic for 24 h"), "{}", message.line);
}
