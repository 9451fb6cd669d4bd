use proptest::prelude::*;

use super::*;

fn at(text: &str) -> UnixMillis {
    UnixMillis::from_rfc3339(&format!("2026-11-22T{text}Z")).unwrap()
}

fn answers(approved: u64, declined: u64) -> Answers {
    Answers { approved, declined, failed: 0 }
}

/// A chart of the hour that ends in the minute 03:07, of which four seconds are missing.
fn hour(steps: &[Answers], size: Size) -> String {
    chart(steps, &vec![true; steps.len()], at("03:07:10"), false, size)
}

fn chart(steps: &[Answers], heard: &[bool], complete_to: UnixMillis, stale: bool, size: Size) -> String {
    let window = Window::Hour;
    let marks = [Mark { at: at("02:58:40"), label: "P1 02:58".to_owned() }];
    let axis = Axis {
        window,
        from: window.start(at("03:07:14")),
        step_ms: window.step_ms(),
        heard,
        complete_to,
        stale,
        marks: &marks,
    };
    let chart = Chart {
        subject: "all sources".to_owned(),
        axis,
        steps,
        rate: rate_scale(std::iter::once(steps)),
        volume: volume_scale(steps, window.step_ms()),
        size,
    };
    chart.render().into_string()
}

fn attribute<'a>(svg: &'a str, element: &str, name: &str) -> Vec<&'a str> {
    let of = |part: &'a str| part.split('>').next()?.split(&format!(" {name}=\"")).nth(1)?.split('"').next();
    svg.split(&format!("<{element}")).skip(1).filter_map(of).collect()
}

fn rate_path(svg: &str) -> &str {
    let after = svg.split("class=\"rate\"").nth(1).unwrap();
    after.split(" d=\"").nth(1).unwrap().split('"').next().unwrap()
}

fn label(svg: &str) -> &str {
    attribute(svg, "div", "aria-label")[0]
}

#[test]
fn a_gap_is_a_gap() {
    let mut steps = vec![answers(90, 10); 60];
    steps[20..25].fill(Answers::default());
    let path = hour(&steps, Size::Large);
    assert_eq!(rate_path(&path).matches('M').count(), 2, "two strokes");
    assert!(label(&path).contains("; 5 steps without attempts."), "{}", label(&path));
}

#[test]
fn a_single_step_is_a_dot() {
    let mut steps = vec![Answers::default(); 60];
    steps[30] = answers(9, 1);
    let svg = hour(&steps, Size::Large);
    assert_eq!(rate_path(&svg), "");
    assert_eq!(attribute(&svg, "circle", "class"), ["dot"]);
}

#[test]
fn the_running_minute_is_marked_incomplete() {
    let svg = hour(&[answers(90, 10); 60], Size::Large);
    assert_eq!(attribute(&svg, "circle", "class"), ["dot", "dot hollow"]);
    let titles: Vec<&str> = svg.split("<title>").skip(1).filter_map(|text| text.split('<').next()).collect();
    assert_eq!(titles[58], "03:06–03:07 UTC · approved 90.0% (90/100) · 100 a minute");
    assert_eq!(titles[59], "03:07–03:08 UTC · approved 90.0% (90/100) · 100 a minute · incomplete");
}

#[test]
fn what_is_not_known_is_hatched_and_said() {
    let mut steps = vec![answers(90, 10); 60];
    steps[48..].fill(Answers::default());
    let svg = chart(&steps, &[true; 60], at("02:56:00"), true, Size::Large);
    assert_eq!(svg.matches("class=\"unknown\"").count(), 1);
    assert!(label(&svg).contains("nothing is known since 02:56 UTC"), "{}", label(&svg));
    assert!(svg.contains("not known: data are stale"));
}

#[test]
fn no_attempts_differ_from_nobody_listening() {
    let mut steps = vec![answers(90, 10); 60];
    steps[10..12].fill(Answers::default());
    let mut heard = vec![true; 60];
    heard[11] = false;
    let svg = chart(&steps, &heard, at("03:07:10"), false, Size::Large);
    assert!(svg.contains("02:18–02:19 UTC · no attempts"));
    assert!(svg.contains("02:19–02:20 UTC · no sign of life from ingest"));
    assert!(
        label(&svg).ends_with("; 1 step without attempts; 1 step without a sign of life from ingest."),
        "{}",
        label(&svg)
    );
    assert_eq!(svg.matches("class=\"unknown\"").count(), 1);
}

#[test]
fn nothing_at_all_is_a_chart_too() {
    let svg = hour(&[Answers::default(); 60], Size::Large);
    assert_eq!(label(&svg), "Approval rate and attempts, all sources, last 60 minutes: no attempts.");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert!(!hour(&[], Size::Small).contains("NaN"));
}

#[test]
fn attempts_of_incomplete_steps_alone_make_no_rate() {
    let mut steps = [Answers::default(); 60];
    steps[59] = answers(90, 10);
    let svg = chart(&steps, &[true; 60], at("03:07:10"), false, Size::Large);
    assert_eq!(
        label(&svg),
        "Approval rate and attempts, all sources, last 60 minutes: too recent for a rate."
    );
}

#[test]
fn the_summary_says_what_the_eye_sees() {
    let mut steps = vec![answers(92, 8); 60];
    steps[50] = answers(61, 39);
    steps[58] = answers(88, 12);
    insta::assert_snapshot!(
        label(&hour(&steps, Size::Large)),
        @"Approval rate and attempts, all sources, last 60 minutes: 88.0% at 03:06 UTC, lowest 61.0% at 02:58, highest 92.0% at 03:05, 100 attempts a minute."
    );
}

#[test]
fn the_time_axis_has_round_minutes_in_utc() {
    let svg = hour(&[answers(90, 10); 60], Size::Large);
    for tick in ["02:10", "02:20", "02:30", "02:40", "02:50", "03:00"] {
        assert!(svg.contains(&format!(">{tick}</text>")), "{tick}");
    }
}

proptest! {
    #[test]
    fn any_numbers_make_a_chart_without_nonsense(
        steps in proptest::collection::vec((0..=u64::MAX / 8, 0..=u64::MAX / 8, 0..3_u64), 0..100),
        complete_to in any::<i64>(),
        stale: bool,
    ) {
        let steps: Vec<Answers> =
            steps.into_iter().map(|(approved, declined, failed)| Answers { approved, declined, failed }).collect();
        for size in [Size::Large, Size::Small] {
            let svg = chart(&steps, &[], UnixMillis(complete_to), stale, size);
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("e+"));
            for y in attribute(&svg, "circle", "cy") {
                prop_assert!((0.0..=400.0).contains(&y.parse::<f64>().unwrap()), "{y}");
            }
        }
    }
}
