//! How far the data reach, which minutes "now" is, and what a source's silence means. Pure.

use payments::UnixMillis;

use crate::model::{Feed, Instance, Pulse};

const MINUTE_MS: i64 = 60_000;
/// "Now" is this many complete minutes: short enough to be now, long enough to count.
pub(crate) const NOW_MINUTES: i64 = 5;
/// "Before" is this many minutes before those.
const BEFORE_MINUTES: i64 = 60;
/// A silence is reported once this many webhooks should have come: by chance less often than once in a million
/// looks (a Poisson process is silent with probability e^-14).
const MISSED_MIN: f64 = 14.0;
/// Whatever the rate, a shorter pause is no news.
const SILENCE_MS_MIN: i64 = 30_000;
/// A source that sent nothing for this long, as is usual for it, is quiet.
const QUIET_MS_MIN: i64 = 5 * MINUTE_MS;
/// A source is slow below this share of its usual rate ..
const SLOW_SHARE: f64 = 0.5;
/// .. if at least this many webhooks were to be expected "now": fewer halve by chance.
const SLOW_EXPECTED_MIN: f64 = 40.0;

/// A stretch of time, `from` included, `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: UnixMillis,
    pub(crate) to: UnixMillis,
}

/// What heartbeats say. A stored heartbeat proves that everything its instance had accepted before is stored too, so
/// data are complete to the oldest of the newest heartbeats of the instances that live; when none lives, to the
/// newest of all.
///
/// An instance that has been silent for twice the stale time is taken to be gone: it holds the others back until then,
/// because its webhooks may still be on their way, and no longer, because instances are replaced. Alerting judges by
/// the same rule, so that board and pages never disagree.
pub(crate) fn feed(mut instances: Vec<Instance>, now: UnixMillis, stale_after_ms: i64) -> Feed {
    let newest = instances.iter().map(|instance| instance.heartbeat_at).max();
    instances.retain(|instance| now.0 - instance.heartbeat_at.0 <= stale_after_ms.saturating_mul(2));
    let oldest_alive = instances.iter().map(|instance| instance.heartbeat_at).min();
    // A heartbeat from the future is a clock that is ahead, not data that are.
    let complete_to = oldest_alive.or(newest).map(|at| at.min(now));
    Feed { complete_to, instances }
}

/// "Now" and "before", ending with the last complete minute. `first` is the first minute with data: a board that has
/// just begun divides by the minutes it has, and has nothing "before" when "now" is all there is.
pub(crate) fn periods(complete_to: UnixMillis, first: Option<UnixMillis>) -> (Span, Span) {
    let end = complete_to.minute();
    let full = UnixMillis(end.0 - NOW_MINUTES * MINUTE_MS);
    let from = first.map_or(full, |first| full.max(first.minute()));
    // In the very first minute there is no complete one yet.
    let now = if from < end {
        Span { from, to: end }
    } else {
        Span { from: end, to: UnixMillis(end.0 + MINUTE_MS) }
    };
    let full = UnixMillis(now.from.0 - BEFORE_MINUTES * MINUTE_MS);
    let from = first.map_or(full, |first| full.max(first.minute()));
    let before = Span { from: from.min(now.from), to: now.from };
    (now, before)
}

/// What is known of a source's webhooks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    pub(crate) last_received_at: Option<UnixMillis>,
    /// Webhooks a minute.
    pub(crate) rate_now: f64,
    /// Likewise, in the hour before the newest one.
    pub(crate) rate_usual: f64,
}

/// What a source's silence means. `complete_to`: nothing that arrived earlier is missing; `None` when that is not
/// known or too long ago, and then nobody can say.
pub(crate) fn pulse(arrivals: Arrivals, complete_to: Option<UnixMillis>) -> Pulse {
    let Some(last) = arrivals.last_received_at else { return Pulse::Waiting };
    let Some(complete_to) = complete_to else { return Pulse::Unknown };
    let silent_ms = complete_to.0.saturating_sub(last.0);
    let missed = arrivals.rate_usual * silent_ms as f64 / MINUTE_MS as f64;
    let expected_now = arrivals.rate_usual * NOW_MINUTES as f64;
    if silent_ms >= SILENCE_MS_MIN && missed >= MISSED_MIN {
        Pulse::Silent
    } else if silent_ms >= QUIET_MS_MIN {
        Pulse::Quiet
    } else if expected_now >= SLOW_EXPECTED_MIN && arrivals.rate_now < arrivals.rate_usual * SLOW_SHARE {
        Pulse::Slow
    } else {
        Pulse::Receiving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis::from_rfc3339(&format!("2026-11-22T{text}Z")).unwrap()
    }

    fn instance(name: &str, heartbeat: &str) -> Instance {
        Instance { name: name.to_owned(), heartbeat_at: at(heartbeat) }
    }

    #[test]
    fn data_are_complete_to_the_slowest_instance_that_lives() {
        let heartbeats =
            vec![instance("b", "03:07:02"), instance("a", "03:07:10"), instance("gone", "02:00:00")];
        let feed = feed(heartbeats, at("03:07:14"), 60_000);
        assert_eq!(feed.complete_to, Some(at("03:07:02")));
        assert_eq!(feed.instances.len(), 2, "an instance that left is forgotten");
    }

    #[test]
    fn a_silent_instance_first_holds_the_others_back_and_then_is_gone() {
        let at_age = |age_s: i64| {
            let silent =
                Instance { name: "a".to_owned(), heartbeat_at: UnixMillis(at("03:07:14").0 - age_s * 1_000) };
            feed(vec![silent, instance("b", "03:07:10")], at("03:07:14"), 60_000).complete_to
        };
        assert_eq!(at_age(90), Some(at("03:05:44")));
        assert_eq!(at_age(121), Some(at("03:07:10")));
    }

    #[test]
    fn when_none_lives_data_end_with_the_newest_heartbeat() {
        let heartbeats = vec![instance("a", "03:01:00"), instance("b", "03:02:00")];
        assert_eq!(feed(heartbeats, at("03:07:14"), 60_000).complete_to, Some(at("03:02:00")));
        assert_eq!(feed(vec![], at("03:07:14"), 60_000).complete_to, None);
    }

    #[test]
    fn a_clock_ahead_of_ours_promises_nothing() {
        assert_eq!(
            feed(vec![instance("a", "03:09:00")], at("03:07:14"), 60_000).complete_to,
            Some(at("03:07:14"))
        );
    }

    #[test]
    fn now_is_the_last_five_complete_minutes() {
        let (now, before) = periods(at("03:07:10"), Some(at("01:00:00")));
        assert_eq!(now, Span { from: at("03:02:00"), to: at("03:07:00") });
        assert_eq!(before, Span { from: at("02:02:00"), to: at("03:02:00") });
    }

    #[test]
    fn a_board_that_has_just_begun_divides_by_the_minutes_it_has() {
        let (now, before) = periods(at("03:07:10"), Some(at("02:50:30")));
        assert_eq!(now, Span { from: at("03:02:00"), to: at("03:07:00") });
        assert_eq!(before, Span { from: at("02:50:00"), to: at("03:02:00") }, "12 minutes, not an hour");
        let (now, before) = periods(at("03:07:10"), Some(at("03:05:30")));
        assert_eq!(now, Span { from: at("03:05:00"), to: at("03:07:00") });
        assert_eq!(before, Span { from: at("03:05:00"), to: at("03:05:00") }, "nothing before");
        for first in ["03:07:02", "03:08:01"] {
            let (now, before) = periods(at("03:07:10"), Some(at(first)));
            assert_eq!(now, Span { from: at("03:07:00"), to: at("03:08:00") });
            assert_eq!(before, Span { from: at("03:07:00"), to: at("03:07:00") });
        }
    }

    #[test]
    fn silence_is_judged_by_how_much_should_have_come() {
        let judge = |last: &str, rate_now: f64, rate_usual: f64| {
            pulse(Arrivals { last_received_at: Some(at(last)), rate_now, rate_usual }, Some(at("03:07:10")))
        };
        assert_eq!(judge("03:07:09", 40.0, 41.0), Pulse::Receiving);
        assert_eq!(judge("03:07:09", 15.0, 41.0), Pulse::Slow);
        assert_eq!(judge("03:07:09", 0.4, 1.0), Pulse::Receiving, "a few webhooks halve by chance");
        assert_eq!(judge("03:06:00", 30.0, 41.0), Pulse::Silent);
        assert_eq!(judge("03:06:50", 580.0, 600.0), Pulse::Receiving, "twenty seconds are no news");
        assert_eq!(judge("02:50:00", 0.0, 0.2), Pulse::Quiet);
        assert_eq!(judge("01:30:00", 0.0, 41.0), Pulse::Silent, "also after more than an hour");
    }

    #[test]
    fn without_fresh_data_nobody_can_say() {
        let arrivals = Arrivals { last_received_at: Some(at("03:00:00")), rate_now: 0.0, rate_usual: 41.0 };
        assert_eq!(pulse(arrivals, None), Pulse::Unknown);
        let never = Arrivals { last_received_at: None, rate_now: 0.0, rate_usual: 0.0 };
        assert_eq!(pulse(never, None), Pulse::Waiting);
    }
}
