//! What alerting says about itself, tick by tick.

use payments::UnixMillis;

use super::world::{START, TICK, TICK_MS, settings, shipped};
use crate::engine::degraded::{Sight, watch};
use crate::engine::tick::Tick;
use crate::engine::watermark::Watermark;
use crate::page::{Action, Measured, title};
use crate::rules::{Evaluation, Rules, Sample};
use crate::slice::{Dimension, Slice};
use crate::state::Verdict;
use crate::storage::Book;

struct World {
    rules: Rules,
    book: Book,
    now: UnixMillis,
    ticked_at: Option<UnixMillis>,
    told: Vec<(String, Action, String)>,
}

impl World {
    /// Two rules: one pages to `log`, the other to `chat`.
    fn new() -> Self {
        let mut rules = Rules::new();
        for (id, channel) in [("issuer-declines", "log"), ("latency", "chat")] {
            let mut rule = shipped(id);
            rule.channels = vec![channel.to_owned()];
            rules.insert(id.to_owned(), rule);
        }
        Self { rules, book: Book::default(), now: START, ticked_at: None, told: Vec::new() }
    }

    fn tick_after(&mut self, ms: i64, watermark: Option<Watermark>, failed: &[&str], clocks_ahead: &[&str]) {
        self.now = UnixMillis(self.now.0 + ms);
        let mut tick = Tick::new(self.book.clone(), self.now, TICK, self.ticked_at);
        self.ticked_at = Some(self.now);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (failed, clocks_ahead) = (owned(failed), owned(clocks_ahead));
        let sight = Sight { watermark, failed: &failed, clocks_ahead: &clocks_ahead };
        for (id, rule) in &self.rules {
            tick.count_failure(id, &rule.hash, sight.has_failed(id));
        }
        watch(&mut tick, &self.rules, &sight, &settings());
        let changes = tick.into_changes();
        let told = changes.messages.into_iter();
        self.told.extend(told.map(|(channel, message)| (channel, message.action, title(&message.page))));
        self.book = changes.book;
    }

    /// `minutes` of ticks with fresh data, and rules that fail.
    fn fresh(&mut self, minutes: i64, failed: &[&str]) -> Vec<(String, Action, String)> {
        for _ in 0..minutes * 4 {
            let complete_to = UnixMillis(self.now.0 + TICK_MS - 2_000);
            self.tick_after(TICK_MS, Some(Watermark::Fresh(complete_to)), failed, &[]);
        }
        std::mem::take(&mut self.told)
    }

    /// `minutes` of ticks without.
    fn blind(&mut self, minutes: i64, watermark: Option<Watermark>) -> Vec<(String, Action, String)> {
        for _ in 0..minutes * 4 {
            self.tick_after(TICK_MS, watermark, &[], &[]);
        }
        std::mem::take(&mut self.told)
    }
}

const BLIND: &str = "P1 Alerting is blind: nothing judged for 3 min";

fn told(channel: &str, action: Action, title: &str) -> (String, Action, String) {
    (channel.to_owned(), action, title.to_owned())
}

fn both(action: Action) -> Vec<(String, Action, String)> {
    vec![told("chat", action, BLIND), told("log", action, BLIND)]
}

#[test]
fn a_failing_rule_does_not_hide_that_all_are_blind() {
    let mut world = World::new();
    let failing = "P2 Alerting degraded: latency cannot be evaluated";
    assert_eq!(world.fresh(60, &["latency"]), [told("chat", Action::Trigger, failing)]);
    let stale = Some(Watermark::Stale(world.now));
    assert_eq!(world.blind(10, stale), both(Action::Trigger), "every channel is told");
    let mut over = world.fresh(3, &[]);
    over.sort_by(|a, b| a.2.cmp(&b.2));
    let mut expected = both(Action::Resolve);
    expected.push(told("chat", Action::Resolve, failing));
    assert_eq!(over, expected);
}

#[test]
fn a_tick_that_tries_no_rule_forgets_no_failure() {
    for watermark in [Some(Watermark::Stale(START)), Some(Watermark::Unknown), None] {
        let mut world = World::new();
        for failing in [true, true, false, true] {
            let fresh = Some(Watermark::Fresh(UnixMillis(world.now.0 + TICK_MS - 2_000)));
            let (watermark, failed) = if failing { (fresh, &["latency"][..]) } else { (watermark, &[][..]) };
            world.tick_after(TICK_MS, watermark, failed, &[]);
        }
        let failing = "P2 Alerting degraded: latency cannot be evaluated";
        assert_eq!(world.told, [told("chat", Action::Trigger, failing)], "{watermark:?}");
    }
}

#[test]
fn a_second_failing_rule_is_told_to_its_channels_too() {
    let mut world = World::new();
    world.fresh(2, &["latency"]);
    let more = world.fresh(2, &["latency", "issuer-declines"]);
    assert_eq!(more.len(), 2, "{more:?}");
    assert!(more.iter().any(|(channel, action, _)| (channel.as_str(), *action) == ("log", Action::Trigger)));
    assert!(more.iter().any(|(channel, action, _)| (channel.as_str(), *action) == ("chat", Action::Update)));
}

#[test]
fn being_blind_ends_when_something_is_judged_and_not_when_the_last_heartbeat_is_a_day_old() {
    let mut world = World::new();
    world.fresh(1, &[]);
    let last = world.now;
    assert_eq!(world.blind(24 * 60, Some(Watermark::Stale(last))), both(Action::Trigger));
    let unknown = world.blind(60, Some(Watermark::Unknown));
    assert!(unknown.iter().all(|(_, action, _)| *action == Action::Update), "another cause: {unknown:?}");
    assert_eq!(world.fresh(3, &[]), both(Action::Resolve));
}

#[test]
fn clickhouse_that_does_not_answer_is_blindness() {
    let mut world = World::new();
    world.fresh(1, &[]);
    assert_eq!(world.blind(30, None), both(Action::Trigger));
}

#[test]
fn a_deployment_that_never_had_a_heartbeat_pages() {
    assert_eq!(World::new().blind(30, Some(Watermark::Unknown)), both(Action::Trigger));
}

#[test]
fn every_rule_failing_is_blindness_too() {
    let mut world = World::new();
    world.fresh(1, &[]);
    let pages = world.fresh(10, &["latency", "issuer-declines"]);
    let blind =
        pages.iter().filter(|(_, action, title)| (*action, title.as_str()) == (Action::Trigger, BLIND));
    assert_eq!(blind.count(), 2, "{pages:?}");
}

#[test]
fn a_process_that_just_started_has_not_waited_yet() {
    let mut world = World::new();
    world.fresh(1, &[]);
    let last = world.now;
    world.now = UnixMillis(world.now.0 + 8 * 3_600_000);
    world.ticked_at = None;
    world.tick_after(TICK_MS, Some(Watermark::Stale(last)), &[], &[]);
    world.tick_after(TICK_MS, Some(Watermark::Stale(last)), &[], &[]);
    assert_eq!(world.told, [], "heartbeats may be on their way");
    assert_eq!(world.blind(1, Some(Watermark::Stale(last))).len(), 2);
}

#[test]
fn slices_that_are_left_out_are_counted_and_told() {
    let rule = shipped("issuer-declines");
    let breach = |number: usize| Sample {
        slice: Slice::new(&[Dimension::Issuer], vec![format!("Bank {number}")]),
        verdict: Some(Verdict::Breach),
        measured: Measured::Share { count: 90, of: 100 },
    };
    let evaluation = Evaluation { samples: (0..1_003).map(breach).collect(), truncated: true };
    let mut tick = Tick::new(Book::default(), START, TICK, None);
    tick.judge(&rule, &evaluation, START);
    assert_eq!(tick.left_out["issuer-declines"], 3);
    let rules = Rules::from([(rule.id.clone(), rule)]);
    let sight = Sight { watermark: Some(Watermark::Fresh(START)), failed: &[], clocks_ahead: &[] };
    watch(&mut tick, &rules, &sight, &settings());
    let messages = tick.into_changes().messages;
    assert!(messages[0].1.page.notes[0].ends_with("others are not watched: issuer-declines"), "{messages:?}");
}

#[test]
fn rules_that_are_evaluated_too_rarely_page_and_so_does_a_clock_that_is_ahead() {
    let mut world = World::new();
    for _ in 0..6 {
        let complete_to = UnixMillis(world.now.0 + 74_000);
        world.tick_after(75_000, Some(Watermark::Fresh(complete_to)), &[], &[]);
    }
    let actions: Vec<_> = world.told.iter().map(|(channel, action, _)| (channel.as_str(), *action)).collect();
    assert_eq!(actions, [("chat", Action::Trigger), ("log", Action::Trigger)]);

    let mut world = World::new();
    let fresh = Some(Watermark::Fresh(world.now));
    world.tick_after(TICK_MS, fresh, &[], &["till-1"]);
    assert_eq!(world.told.len(), 2, "{:?}", world.told);
}
