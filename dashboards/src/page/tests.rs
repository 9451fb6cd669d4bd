mod contrast;

use maud::Markup;

use super::*;
use crate::model::{Answers, Panel, PeerNote, Severity};
use crate::window::Window;

/// The page as somebody reads it who sees no colours and no pictures: one line per element, charts by their summary.
fn readable(markup: &Markup) -> String {
    let mut out = String::new();
    let mut rest = markup.0.as_str();
    while let Some(open) = rest.find('<') {
        push(&mut out, &rest[..open]);
        let Some(close) = rest[open..].find('>') else { break };
        let tag = &rest[open + 1..open + close];
        rest = &rest[open + close + 1..];
        if tag.starts_with("svg") {
            rest = after_svg(rest);
        } else if let Some(label) = tag.split("aria-label=\"").nth(1).filter(|_| tag.contains("role=\"img\""))
        {
            out.push_str(&format!("\n[chart] {}", label.split('"').next().unwrap_or_default()));
        } else if ["h1", "h2", "h3", "h4", "p", "li", "tr", "footer", "dt"]
            .contains(&tag.split(' ').next().unwrap_or_default())
        {
            out.push('\n');
        } else if ["td", "th", "dd", "div"].contains(&tag.split(' ').next().unwrap_or_default()) {
            out.push_str(" | ");
        } else if tag.starts_with("span") {
            out.push(' ');
        }
    }
    push(&mut out, rest);
    let lines = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = lines.map(|line| line.trim_matches(|c| c == '|' || c == ' ').to_owned());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What follows the end of the picture that has just begun; pictures stand within pictures.
fn after_svg(rest: &str) -> &str {
    let (mut depth, mut at) = (1_u32, 0);
    while depth > 0 {
        let Some(next) = rest[at..].find("svg") else { return "" };
        let before = &rest[..at + next];
        if before.ends_with("</") {
            depth -= 1;
        } else if before.ends_with('<') {
            depth += 1;
        }
        at += next + 3;
    }
    rest[at..].split_once('>').map_or("", |(_, after)| after)
}

fn push(out: &mut String, text: &str) {
    out.push_str(
        &text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"),
    );
}

fn read(snapshot: &Snapshot) -> String {
    readable(&fragment(snapshot, &examples::context()))
}

#[test]
fn a_quiet_night_reads_well() {
    insta::assert_snapshot!("normal", read(&examples::normal(Window::Hour)));
}

#[test]
fn an_outage_is_at_the_top_with_its_cost() {
    insta::assert_snapshot!("firing", read(&examples::firing(Window::Hour)));
}

#[test]
fn stale_data_say_so_first_and_every_number_has_its_age() {
    let text = read(&examples::stale(Window::Hour));
    assert!(text.find("Data is stale since 03:07 UTC").unwrap() < text.find("Approval rate").unwrap());
    insta::assert_snapshot!("stale", text);
}

#[test]
fn what_other_processes_say_stands_under_the_first_line() {
    let mut snapshot = examples::stale(Window::Hour);
    let says = "ingest: ready: 12 webhooks wait on the spool <b>".to_owned();
    snapshot.peers = vec![PeerNote { peer: "10.0.0.5:9090".to_owned(), says }];
    let text = read(&snapshot);
    let note = text.find("10.0.0.5:9090 says: ingest: ready: 12 webhooks wait on the spool").unwrap();
    assert!(text.find("Data is stale").unwrap() < note && note < text.find("Approval rate").unwrap());
}

#[test]
fn a_store_that_is_away_leaves_what_was_known_with_its_age() {
    insta::assert_snapshot!("store_down", read(&examples::store_down(Window::Hour)));
}

#[test]
fn a_board_that_never_had_an_answer_says_that_nothing_is_known() {
    insta::assert_snapshot!("nothing_known", read(&examples::nothing_known()));
}

#[test]
fn the_first_page_says_how_to_begin() {
    insta::assert_snapshot!("empty", read(&examples::empty()));
}

#[test]
fn one_panel_that_fails_marks_itself_and_not_the_page() {
    let mut snapshot = examples::normal(Window::Hour);
    snapshot.issuers = Panel { known: None, failure: Some("no answer within 3 s".to_owned()) };
    let text = read(&snapshot);
    assert!(text.contains("\nNo alert firing\n"), "{text}");
    assert!(text.contains("Top failing issuers\nnow\nNot known: no answer within 3 s."), "{text}");
}

#[test]
fn without_knowing_the_alerts_nothing_is_good() {
    let mut snapshot = examples::normal(Window::Hour);
    snapshot.alerts.failure = Some("no answer within 3 s".to_owned());
    assert!(read(&snapshot).starts_with("Tillwatch\n22 Nov 03:07:14 UTC"), "{}", read(&snapshot));
    assert!(!read(&snapshot).contains("No alert firing"));
    assert!(read(&snapshot).contains("Alerts are not known"));
}

#[test]
fn without_knowing_the_sources_or_the_rates_nothing_is_good() {
    let failure = || Some("no answer within 3 s".to_owned());
    let mut no_sources = examples::normal(Window::Hour);
    no_sources.sources.failure = failure();
    let mut no_rates = examples::normal(Window::Hour);
    no_rates.headline = Panel { known: None, failure: failure() };
    let mut neither = no_rates.clone();
    neither.sources.failure = failure();
    for (snapshot, words) in [
        (no_sources, "Sources are not known"),
        (no_rates, "Rates are not known"),
        (neither, "Rates and sources are not known"),
    ] {
        let html = fragment(&snapshot, &examples::context()).into_string();
        assert!(
            html.contains("class=\"state stale\"") && html.contains(&format!("<h1>{words}</h1>")),
            "{words}"
        );
    }
}

#[test]
fn an_alert_that_alerting_does_not_speak_of_any_more_is_not_called_firing() {
    let mut snapshot = examples::firing(Window::Hour);
    let alerts = &mut snapshot.alerts.known.as_mut().unwrap().value;
    alerts.active.truncate(1);
    (alerts.active_count, alerts.unheard_count) = (0, 1);
    alerts.active[0].unheard = true;
    alerts.active[0].heard_at = examples::at("02:28:00");
    let text = read(&snapshot);
    assert!(text.contains("1 alert not heard of lately") && !text.contains("firing"), "{text}");
    assert!(text.contains("not heard of for 39 min: is alerting running?"), "{text}");
    assert!(text.contains("as of 02:28 UTC, 39 min ago"), "{text}");
}

#[test]
fn alerting_that_has_died_is_said_plainly_and_nothing_is_good() {
    let with = |judged| {
        let mut snapshot = examples::normal(Window::Hour);
        snapshot.alerts.known.as_mut().unwrap().value.judged = judged;
        (fragment(&snapshot, &examples::context()).into_string(), State::of(&snapshot).title())
    };
    let (alive, title) = with(Some(examples::judged("03:04:14", "03:04:14")));
    assert!(alive.contains("class=\"state good\"") && alive.contains("<h1>No alert firing</h1>"), "{alive}");
    assert!(alive.contains("4 s ago · rules judged to 03:04:14 UTC<"), "{alive}");
    assert!(!alive.contains("Active alerts") && title == "Tillwatch", "{title}: {alive}");

    let (silent, title) = with(Some(examples::judged("02:55:14", "02:55:05")));
    assert!(silent.contains("<h1>No sign of life from alerting since 02:55 UTC</h1>"), "{silent}");
    assert!(silent.contains("Alerting has given no sign of life for 12 min: no page will come."), "{silent}");
    assert!(silent.contains("rules judged to 02:55 UTC, 12 min ago"), "{silent}");
    assert!(silent.contains("class=\"state stale\"") && !silent.contains("No alert firing"), "{silent}");
    assert_eq!(title, "ALERTING SILENT · Tillwatch");

    let (never, _) = with(None);
    assert!(never.contains("<h1>Alerting has not run here</h1>"), "{never}");
    assert!(never.contains("Alerting has not run here: no page will come."), "{never}");
    assert!(never.contains("class=\"state stale\"") && !never.contains("rules judged"), "{never}");
}

#[test]
fn alerting_that_cannot_be_asked_is_not_called_dead() {
    let mut snapshot = examples::normal(Window::Hour);
    snapshot.alerts.failure = Some("no answer within 3 s".to_owned());
    snapshot.alerts.known.as_mut().unwrap().value.judged = None;
    assert!(!read(&snapshot).contains("Alerting has"), "{}", read(&snapshot));
}

#[test]
fn what_fires_is_first_when_alerting_has_died_since() {
    let mut snapshot = examples::firing(Window::Hour);
    snapshot.alerts.known.as_mut().unwrap().value.judged = Some(examples::judged("02:59:14", "02:59:05"));
    let text = read(&snapshot);
    assert!(text.contains("2 alerts firing · No sign of life from alerting since 02:59 UTC"), "{text}");
    assert_eq!(State::of(&snapshot).title(), "(2) Tillwatch");
}

#[test]
fn attempts_that_are_all_too_recent_are_attempts_and_no_rate() {
    let mut snapshot = examples::normal(Window::Hour);
    let by_source = &mut snapshot.history.known.as_mut().unwrap().value.by_source;
    let last = by_source[0].steps.len() - 1;
    by_source[0].steps[..last].fill(Answers::default());
    by_source[1].steps.fill(Answers::default());
    assert!(by_source[0].steps[last].attempts() > 0);
    let (begun, silent) = (by_source[0].source.clone(), by_source[1].source.clone());
    let text = read(&snapshot);
    let charts = text.split_once("By source").unwrap().1;
    let under = |source: &str| charts.split(source).nth(1).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(under(&begun), "too recent for a rate");
    assert_eq!(under(&silent), "no attempts");
}

#[test]
fn in_the_first_hour_now_is_compared_with_what_there_was() {
    let mut snapshot = examples::normal(Window::Hour);
    let before = &mut snapshot.headline.known.as_mut().unwrap().value.before;
    before.from = examples::at("02:50:00");
    let text = read(&snapshot);
    assert!(text.contains("compared with the 12 min before") && !text.contains("hour before"), "{text}");
    // 56,212 attempts in twelve minutes.
    assert!(text.contains("12 min before 4.7k/min"), "{text}");

    let before = &mut snapshot.headline.known.as_mut().unwrap().value.before;
    *before = crate::model::Period { from: before.to, to: before.to, ..Default::default() };
    let text = read(&snapshot);
    assert_eq!(text.matches("nothing to compare with").count(), 4, "{text}");
}

#[test]
fn one_region_speaks_and_it_is_outside_of_what_is_replaced() {
    let live = |html: &str| {
        ["role=\"alert\"", "role=\"status\"", "aria-live"].map(|live| html.matches(live).count())
    };
    for snapshot in [examples::stale(Window::Hour), examples::store_down(Window::Hour)] {
        assert_eq!(live(&fragment(&snapshot, &examples::context()).into_string()), [0, 0, 0]);
        assert_eq!(live(&document(&snapshot, &examples::context()).into_string()), [0, 1, 0]);
    }
}

#[test]
fn the_running_minute_is_not_called_unknown() {
    let mut snapshot = examples::normal(Window::Hour);
    *snapshot.history.known.as_mut().unwrap().value.heard.last_mut().unwrap() = false;
    assert!(!read(&snapshot).contains("not known"), "{}", read(&snapshot));
}

#[test]
fn a_heartbeat_that_never_came_is_not_taken_for_fresh_data() {
    let mut snapshot = examples::normal(Window::Hour);
    snapshot.feed.known.as_mut().unwrap().value.complete_to = None;
    let text = read(&snapshot);
    assert!(text.contains("Ingest has sent no sign of life") && !text.contains("No alert firing"), "{text}");
}

#[test]
fn the_title_of_the_tab_says_what_is_wrong() {
    let title = |snapshot: &Snapshot| State::of(snapshot).title();
    assert_eq!(title(&examples::normal(Window::Hour)), "Tillwatch");
    assert_eq!(title(&examples::firing(Window::Hour)), "(2) Tillwatch");
    assert_eq!(title(&examples::stale(Window::Hour)), "STALE · Tillwatch");
    assert_eq!(title(&examples::store_down(Window::Hour)), "STORE DOWN · Tillwatch");
}

/// Texts that would do harm if they were anything but text.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE payment_events; --",
    "\u{202E}evil\u{2066}\u{200B}\u{0007}\u{1b}[31m",
    "</title></svg><svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
];

#[test]
fn text_from_outside_stays_text() {
    for text in HOSTILE {
        let mut snapshot = examples::firing(Window::Hour);
        let mut alert = examples::alert(text, Severity::Critical, text);
        alert.impact = text.to_owned();
        alert.slice = text.to_owned();
        alert.runbook = format!("javascript:{text}");
        alert.frozen = Some(text.to_owned());
        snapshot.alerts.known.as_mut().unwrap().value.active.push(alert);
        snapshot.sources.known.as_mut().unwrap().value[0].name = text.to_owned();
        snapshot.declines.known.as_mut().unwrap().value[0].code = text.to_owned();
        snapshot.declines.known.as_mut().unwrap().value[0].category = text.to_owned();
        snapshot.issuers.known.as_mut().unwrap().value[0].issuer = text.to_owned();
        snapshot.issuers.known.as_mut().unwrap().value[0].country = text.to_owned();
        snapshot.history.known.as_mut().unwrap().value.by_source[0].source = text.to_owned();
        snapshot.headline.known.as_mut().unwrap().value.now.approved[0].currency = text.to_owned();
        let html = fragment(&snapshot, &examples::context()).into_string();
        for harm in
            ["<script", "<img", "<svg onload", "</title></svg>", "href=\"javascript", "\u{202E}", "\u{1b}"]
        {
            assert!(!html.contains(harm), "{harm:?} in the page of {text:?}");
        }
    }
}

#[test]
fn a_long_name_is_cut() {
    let mut snapshot = examples::normal(Window::Hour);
    snapshot.issuers.known.as_mut().unwrap().value[0].issuer = "x".repeat(10_000);
    assert!(!read(&snapshot).contains(&"x".repeat(41)));
}

#[test]
fn nothing_needs_an_inline_style_or_a_handler() {
    // The Content-Security-Policy would refuse them.
    for snapshot in [examples::firing(Window::Day), examples::stale(Window::Hour), examples::empty()] {
        let html = document(&snapshot, &examples::context()).into_string();
        assert!(!html.contains(" style=") && !html.contains(" onclick=") && !html.contains("NaN"));
    }
}

#[test]
fn a_link_to_a_runbook_must_be_a_web_address() {
    let html = fragment(&examples::firing(Window::Hour), &examples::context()).into_string();
    assert!(html.contains("href=\"https://runbooks.example/issuer-declines\""));
    assert!(!html.contains("href=\"docs/"));
}
