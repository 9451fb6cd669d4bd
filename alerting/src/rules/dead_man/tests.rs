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

fn held(name: &str, silent_s: i64) -> Held {
    Held {
        slice: Slice::new(&[Dimension::Source], vec![name.to_owned()]),
        is_open: true,
        since: Some(UnixMillis(NOW.0 - silent_s * 1000)),
        usual: None,
        accrued: None,
    }
}

#[test]
fn a_source_that_has_been_dead_for_hours_is_still_dead() {
    let (rule, hours, lone) = (rule(), held("adyen-eu", 5 * 3_600), held("bank", 3_600));
    // One arrival an hour ago is all that is left of the second in the window.
    let seen = [(lone.slice.clone(), arrivals(1, 1, 3_600))];
    let samples = rule.judged(&seen, &[hours, lone], NOW);
    let said: Vec<_> = samples.iter().map(|sample| (sample.verdict, sample.measured)).collect();
    let dead = |ms| (Some(Verdict::Breach), Measured::Silence { ms });
    assert_eq!(said, [dead(3_600_000), dead(18_000_000)]);
    let back = [(held("adyen-eu", 0).slice, arrivals(1, 1, 10))];
    assert_eq!(rule.judged(&back, &[held("adyen-eu", 18_000)], NOW)[0].verdict, Some(Verdict::Clear));
}

#[test]
fn what_is_usual_does_not_fade_while_the_silence_lasts() {
    let rule = rule();
    let (short, long) =
        (rule.silence(&arrivals(41, 60, 180), NOW), rule.silence(&arrivals(41, 60, 3_600), NOW));
    assert!((short.usual_per_minute - long.usual_per_minute).abs() < 2.0);
    assert!((38.0..46.0).contains(&long.usual_per_minute), "{long:?}");
}
