//! What of an open page is worth telling.

use payments::UnixMillis;

use super::world::START;
use crate::engine::tick::Tick;
use crate::page::Page;
use crate::page::tests::outage;
use crate::slice::Slice;
use crate::storage::Tracked;

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
