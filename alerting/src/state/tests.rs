use payments::UnixMillis;
use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const KEY: (&str, &str) = ("issuer-declines", r#"{"issuer":"Harbour Bank"}"#);

fn timing(for_s: u64, recover_for_s: u64) -> Timing {
    Timing {
        for_ms: for_s * 1000,
        recover_for_ms: recover_for_s * 1000,
        gap_ms_max: 60_000,
        after_downtime: true,
    }
}

/// A slice of one rule, ticking every 15 s.
struct World {
    state: SliceState,
    at: i64,
    incident_id: u64,
    timing: Timing,
}

impl World {
    fn new(timing: Timing) -> Self {
        Self { state: SliceState::default(), at: 1_800_000_000_000, incident_id: 0, timing }
    }

    fn tick(&mut self, reading: Reading) -> Option<Move> {
        self.at += 15_000;
        let at = UnixMillis(self.at);
        let moved = self.state.step(at, at, reading, self.timing, KEY, self.incident_id + 1);
        if moved == Some(Move::Fired) {
            self.incident_id = self.incident_id.max(self.state.episode.as_ref().unwrap().incident_id);
        }
        moved
    }

    fn ticks(&mut self, reading: Reading, count: usize) -> Vec<Move> {
        (0..count).filter_map(|_| self.tick(reading)).collect()
    }

    fn fire_and_resolve(&mut self) -> Episode {
        self.ticks(Reading::Known(Verdict::Breach), 4);
        let ended = self.ticks(Reading::Known(Verdict::Clear), 8);
        match ended.last() {
            Some(Move::Resolved(episode)) => episode.clone(),
            other => panic!("not resolved: {other:?}"),
        }
    }
}

const BREACH: Reading = Reading::Known(Verdict::Breach);
const BETWEEN: Reading = Reading::Known(Verdict::Between);
const CLEAR: Reading = Reading::Known(Verdict::Clear);
const STALE: Reading = Reading::Unknown(Health::Stale);

#[test]
fn a_breach_pages_after_it_lasted_and_resolves_after_recovery_lasted() {
    let mut world = World::new(timing(30, 60));
    assert_eq!(world.tick(CLEAR), None);
    assert_eq!(world.tick(BREACH), Some(Move::Pended));
    assert_eq!(world.tick(BREACH), None);
    assert_eq!(world.tick(BREACH), Some(Move::Fired));
    assert_eq!(world.ticks(BREACH, 3), vec![]);
    assert_eq!(world.tick(CLEAR), Some(Move::Improving));
    assert_eq!(world.ticks(CLEAR, 3), vec![]);
    assert!(matches!(world.tick(CLEAR), Some(Move::Resolved(_))));
}

#[test]
fn a_breach_that_ends_early_is_a_near_miss() {
    let mut world = World::new(timing(30, 60));
    assert_eq!(world.ticks(BREACH, 2), vec![Move::Pended]);
    assert_eq!(world.tick(BETWEEN), Some(Move::Dropped));
}

#[test]
fn between_the_lines_nothing_resolves() {
    let mut world = World::new(timing(0, 30));
    assert_eq!(world.tick(BREACH), Some(Move::Fired));
    assert_eq!(world.ticks(BETWEEN, 50), vec![]);
    assert_eq!(world.ticks(CLEAR, 2), vec![Move::Improving]);
    assert_eq!(world.ticks(BETWEEN, 50), vec![]);
    assert_eq!(world.tick(BREACH), Some(Move::Relapsed));
    assert_eq!(world.state.phase, Phase::Firing);
}

#[test]
fn stale_data_freeze_the_state_and_the_timers_and_are_told_once() {
    let mut world = World::new(timing(30, 30));
    world.ticks(BREACH, 2);
    let frozen = world.state.phase;
    assert_eq!(world.ticks(STALE, 100), vec![], "nothing is open, so nobody is told");
    assert_eq!(world.state.phase, frozen);
    assert_eq!(world.tick(BREACH), None, "the frozen time does not count");
    assert_eq!(world.tick(BREACH), Some(Move::Fired));

    assert_eq!(world.ticks(STALE, 100), vec![Move::FreshnessLost(Health::Stale)]);
    assert_eq!(world.tick(BREACH), Some(Move::FreshnessRegained));
    assert_eq!(world.ticks(STALE, 2), vec![], "one failed query is no news");
}

#[test]
fn downtime_of_ours_does_not_count_towards_a_timer() {
    let mut world = World::new(timing(60, 60));
    world.tick(BREACH);
    world.at += 3_600_000;
    assert_eq!(world.tick(BREACH), None);
    assert!(matches!(world.state.phase, Phase::Pending { held_ms: 0 }));
}

#[test]
fn a_slow_process_still_fires_and_resolves() {
    let mut world = World::new(Timing { after_downtime: false, ..timing(90, 120) });
    let mut slow = |reading| {
        world.at += 75_000;
        world.tick(reading)
    };
    assert_eq!([BREACH; 3].map(&mut slow), [Some(Move::Pended), None, Some(Move::Fired)]);
    let ended = [CLEAR; 3].map(slow);
    assert!(matches!(ended, [Some(Move::Improving), None, Some(Move::Resolved(_))]), "{ended:?}");
}

const NO_DATA: Reading = Reading::Unknown(Health::NoData);

#[test]
fn a_slice_with_hardly_enough_traffic_says_so_once_in_half_an_hour() {
    let mut world = World::new(timing(0, 30));
    world.tick(BREACH);
    let mut told = Vec::new();
    // Two minutes without enough data and one with, for an hour.
    for _ in 0..20 {
        told.extend(world.ticks(NO_DATA, 8));
        told.extend(world.ticks(BREACH, 4));
    }
    let lost = Move::FreshnessLost(Health::NoData);
    assert_eq!(told, [lost.clone(), Move::FreshnessRegained, lost, Move::FreshnessRegained]);
}

#[test]
fn a_slice_without_data_is_retired_a_day_after_its_last_reading_whatever_failed_meanwhile() {
    let mut world = World::new(timing(0, 30));
    world.tick(BREACH);
    let last = world.at;
    let mut retired_after_s = None;
    for index in 0..6_000 {
        world.tick(if index % 100 == 99 { Reading::Unknown(Health::Error) } else { NO_DATA });
        if world.state.is_retired(UnixMillis(world.at)) {
            retired_after_s = Some((world.at - last) / 1_000);
            break;
        }
    }
    assert_eq!(retired_after_s, Some(24 * 3_600 + 15));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_a_slice() {
    let mut world = World::new(timing(0, 30));
    world.tick(BREACH);
    world.at -= 3_600_000;
    assert_eq!(world.ticks(CLEAR, 4), vec![], "older than what was judged");
    world.state.set_back(UnixMillis(world.at));
    assert!(matches!(world.ticks(CLEAR, 4)[..], [Move::Improving, Move::Resolved(_)]));
}

#[test]
fn firing_again_within_half_an_hour_reopens_the_same_incident_with_a_page_of_its_own() {
    let mut world = World::new(timing(0, 30));
    let first = world.fire_and_resolve();
    world.at += 20 * MINUTE;
    let second = world.fire_and_resolve();
    assert_eq!(second.incident_id, first.incident_id);
    assert!(second.reopened && !second.flapping);
    assert_ne!(second.dedup_key, first.dedup_key);
    world.at += 150 * MINUTE;
    assert_ne!(world.fire_and_resolve().incident_id, first.incident_id);
}

#[test]
fn the_third_episode_in_two_hours_is_held_open_until_it_was_quiet_for_half_an_hour() {
    let mut world = World::new(timing(0, 30));
    world.fire_and_resolve();
    world.fire_and_resolve();
    world.tick(BREACH);
    assert!(world.state.episode.as_ref().unwrap().flapping);
    assert_eq!(world.ticks(CLEAR, 120), vec![Move::Improving]);
    assert!(matches!(world.tick(CLEAR), Some(Move::Resolved(_))));
}

#[test]
fn the_same_episode_has_the_same_key_everywhere() {
    assert_eq!(
        dedup_key("issuer-declines", "{}", UnixMillis(1_800_000_000_000)),
        dedup_key("issuer-declines", "{}", UnixMillis(1_800_000_000_000)),
    );
    let key = dedup_key("a", "b", UnixMillis(1));
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        4 => Just(BREACH),
        2 => Just(BETWEEN),
        4 => Just(CLEAR),
        1 => Just(STALE),
        1 => Just(Reading::Unknown(Health::NoData)),
        1 => Just(Reading::Unknown(Health::Error)),
    ]
}

proptest! {
    #[test]
    fn an_episode_opens_once_and_ends_once(
        readings in prop::collection::vec(reading(), 0..400), for_s in 0_u64..90, recover_for_s in 0_u64..90,
    ) {
        let mut world = World::new(timing(for_s, recover_for_s));
        let mut open: Option<Episode> = None;
        let mut keys = std::collections::HashSet::new();
        for reading in readings {
            let before = world.state.clone();
            let moved = world.tick(reading);
            if let Reading::Unknown(_) = reading {
                prop_assert_eq!(before.phase, world.state.phase, "frozen never changes the phase");
                prop_assert_eq!(&before.episode, &world.state.episode);
            }
            match moved {
                Some(Move::Fired) => {
                    prop_assert!(open.is_none(), "never two open incidents of one slice");
                    open.clone_from(&world.state.episode);
                    prop_assert!(keys.insert(open.as_ref().unwrap().dedup_key.clone()), "a key is never used twice");
                }
                Some(Move::Resolved(ended)) => {
                    let opened = open.take();
                    prop_assert_eq!(Some(ended), opened, "no resolve before its trigger");
                }
                _ => {}
            }
            prop_assert_eq!(world.state.phase.is_open(), world.state.episode.is_some());
            prop_assert_eq!(open.is_some(), world.state.episode.is_some());
        }
    }

    #[test]
    fn a_restart_at_any_tick_changes_nothing(
        readings in prop::collection::vec(reading(), 1..200), restarts in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut whole = World::new(timing(30, 45));
        let mut restarted = World::new(timing(30, 45));
        for (reading, restart) in readings.into_iter().zip(restarts) {
            if restart {
                let saved = serde_json::to_string(&restarted.state).unwrap();
                restarted.state = serde_json::from_str(&saved).unwrap();
            }
            prop_assert_eq!(whole.tick(reading), restarted.tick(reading));
        }
        prop_assert_eq!(whole.state, restarted.state);
    }
}
