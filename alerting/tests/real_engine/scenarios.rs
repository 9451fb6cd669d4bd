use alerting::page::{Action, Measured, full_text, title};
use alerting::rules::Rule;
use payments::{DeclineCategory, Outcome, UnixMillis};
use serde_json::Value;

use super::harness::{Alerting, Engine, SECRET, TICK_MS, Told, at};

const BANKS: [&str; 3] = ["Harbour Bank", "Mill Street Bank", "Fen Savings"];
pub(crate) const MINUTE: i64 = 60_000;

/// Fifteen seconds of healthy traffic: 24 attempts, each bank and source in turn, one in eight declined.
fn healthy(from: UnixMillis) -> Vec<Told> {
    (0..24_u32)
        .map(|number| {
            let occurred_at = UnixMillis(from.0 + i64::from(number) * 600);
            let bank = BANKS[(number % 3) as usize];
            let source = if number % 2 == 0 { "stripe-us" } else { "adyen-eu" };
            let told = Told::approved(source, bank, occurred_at);
            if number % 8 == 5 {
                told.refused(Outcome::Declined, DeclineCategory::InsufficientFunds, "insufficient_funds")
            } else {
                told
            }
        })
        .collect()
}

/// Alerting with `minutes` of healthy traffic behind it.
pub(crate) async fn with_history(engine: &Engine, database: &str, now: UnixMillis, minutes: i64) -> Alerting {
    let alerting = Alerting::new(engine, database, now).await;
    let ticks = minutes * MINUTE / TICK_MS;
    let told: Vec<Told> =
        (1..=ticks).rev().flat_map(|tick| healthy(UnixMillis(now.0 - tick * TICK_MS))).collect();
    alerting.told(&told).await;
    alerting
}

/// The trouble, beside which all else is healthy.
fn with_trouble(from: UnixMillis, trouble: impl Fn(Told) -> Option<Told>) -> Vec<Told> {
    healthy(from).into_iter().filter_map(trouble).collect()
}

fn bodies(alerting: &Alerting) -> Vec<Value> {
    let got = alerting.receiver.got.lock().unwrap();
    got.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
}

pub(crate) async fn every_shipped_rule_is_evaluated_and_quiet_traffic_pages_nobody(engine: &Engine) {
    let mut alerting = Alerting::new(engine, "quiet", at("10:00:00")).await;
    assert!(alerting.step().await.changes.messages.is_empty(), "an empty database pages nobody");
    alerting = with_history(engine, "quiet", at("12:00:00"), 75).await;
    for _ in 0..20 {
        let report = alerting.tick(&mut healthy).await;
        assert!(report.changes.messages.is_empty() && report.changes.transitions.is_empty());
    }
}

pub(crate) async fn an_issuer_outage_is_paged_through_a_failing_receiver_and_resolved(engine: &Engine) {
    let mut alerting = with_history(engine, "outage", at("14:02:00"), 75).await;
    alerting.receiver.replies.lock().unwrap().extend([503, 429]);
    let mut outage = |from| {
        with_trouble(from, |told| {
            let is_down = told.event.issuer == "Harbour Bank";
            Some(if is_down {
                told.refused(Outcome::Failed, DeclineCategory::IssuerUnavailable, "issuer_not_available")
            } else {
                told
            })
        })
    };
    let paged = alerting.tick_until(Action::Trigger, 10, &mut outage).await;
    let delay_s = (alerting.now.0 - at("14:02:00").0) / 1000;
    assert!(delay_s <= 150, "paged after {delay_s} s");
    let page = &paged.page;
    assert_eq!(title(page), "P1 Declines 13→100% issuer Harbour Bank ~$340/min");
    assert_eq!(page.since, Some(at("14:02:00")));
    assert_eq!((page.codes[0].code.as_str(), page.samples.len()), ("issuer_not_available", 3));
    insta::assert_snapshot!(full_text(&paged).replace(&page.samples.join(" · "), "(three event ids)"));

    // The receiver was down; a restart in between; then it has the page, once.
    alerting.restart().await;
    for _ in 0..4 {
        alerting.tick(&mut outage).await;
    }
    let sent = bodies(&alerting);
    assert_eq!(sent.iter().filter(|body| body["type"] == "alert.triggered").count(), 3, "503, 429, 200");
    let ids: Vec<_> =
        alerting.receiver.got.lock().unwrap().iter().map(|got| got.0["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "repeated under the same id: {ids:?}");

    let resolved = alerting.tick_until(Action::Resolve, 40, &mut healthy).await;
    assert!(resolved.line.starts_with("Back to "), "{}", resolved.line);
    let types: Vec<_> = bodies(&alerting).iter().skip(2).map(|body| body["type"].clone()).collect();
    assert_eq!(types, ["alert.triggered", "alert.updated", "alert.resolved"]);
    assert!(SECRET.starts_with("whsec_"));
    the_history_is_in_clickhouse(&alerting).await;
}

async fn the_history_is_in_clickhouse(alerting: &Alerting) {
    while alerting.exporter.step(alerting.now).await.unwrap() > 0 {}
    let reasons = alerting
        .sql("SELECT JSONExtractString(details, 'reason'), to_state, incident FROM alert_transitions ORDER BY at, id")
        .await;
    assert_eq!(
        reasons,
        "pending\tpending\t\nfired\tfiring\t1\nimproving\trecovering\t1\nresolved\tinactive\t1"
    );
    // That alerting runs is one row, however often it is said, and no incident.
    for _ in 0..3 {
        assert!(alerting.exporter.beat(alerting.now).await.unwrap());
    }
    let beat = "SELECT count(), any(incident), max(JSONExtractString(details, 'event_time')) FROM alert_transitions \
                WHERE rule = 'alerting-degraded' AND id = 'evaluation'";
    let judged_to = UnixMillis(alerting.now.0 - 2_000);
    assert_eq!(alerting.sql(beat).await, format!("1\t\t{judged_to}"));
    // A repeated export changes nothing.
    let details =
        alerting.sql("SELECT details FROM alert_transitions WHERE to_state = 'firing' FORMAT TSVRaw").await;
    let details: Value = serde_json::from_str(&details).unwrap();
    assert_eq!(details["slice"]["issuer"], "Harbour Bank");
    assert_eq!(details["runbook"], "docs/runbooks/issuer-declines.md");
    assert_eq!(details["since"], "2026-11-22T14:02:00.000Z");
    assert!(details["title"].as_str().unwrap().starts_with("P1 Declines 13→100% issuer Harbour Bank"));
}

pub(crate) async fn provider_timeouts_are_one_page(engine: &Engine) {
    let mut alerting = with_history(engine, "timeouts", at("15:00:00"), 75).await;
    // Half of one provider's calls time out, and four in five of these are never told.
    let mut timeouts = |from: UnixMillis| {
        let mut number = 0;
        healthy(from)
            .into_iter()
            .filter_map(|mut told| {
                if told.envelope.source != "adyen-eu" {
                    return Some(told);
                }
                number += 1;
                match number % 10 {
                    0..=4 => Some(told),
                    5 => {
                        told.event.latency_ms = Some(30_000);
                        Some(told.refused(
                            Outcome::Failed,
                            DeclineCategory::ProcessorError,
                            "processing_error",
                        ))
                    }
                    _ => None,
                }
            })
            .collect()
    };
    let paged = alerting.tick_until(Action::Trigger, 16, &mut timeouts).await;
    assert!(
        title(&paged.page).starts_with("P1 Failures 0→1")
            || title(&paged.page).starts_with("P1 Failures 0→2")
    );
    assert!(title(&paged.page).contains("provider adyen"), "{}", title(&paged.page));
    for _ in 0..20 {
        let report = alerting.tick(&mut timeouts).await;
        let others = report.changes.messages.iter().filter(|(_, message)| message.action == Action::Trigger);
        assert_eq!(others.count(), 0, "one incident is one page");
    }
}

pub(crate) async fn a_source_that_stopped_is_paged_and_a_quiet_processor_is_not(engine: &Engine) {
    let mut alerting = with_history(engine, "dead_source", at("16:00:00"), 75).await;
    let mut stopped = |from| with_trouble(from, |told| (told.envelope.source != "adyen-eu").then_some(told));
    let paged = alerting.tick_until(Action::Trigger, 12, &mut stopped).await;
    let title = title(&paged.page);
    assert!(
        title.starts_with("P1 No adyen-eu webhooks for 2") && title.ends_with("(usually 48/min)"),
        "{title}"
    );
    let delay_s = (alerting.now.0 - at("16:00:00").0) / 1000;
    assert!((120..=150).contains(&delay_s), "{delay_s}");
    // Hours later not one of its webhooks is left in the window: it is still dead, and known to be.
    alerting.now = UnixMillis(alerting.now.0 + 3 * 60 * MINUTE);
    for _ in 0..8 {
        let report = alerting.tick(&mut stopped).await;
        let lines: Vec<_> = report.changes.messages.iter().map(|(_, message)| &message.line).collect();
        assert!(!lines.iter().any(|line| line.contains("frozen")), "{lines:?}");
        let open = report
            .changes
            .book
            .slices
            .values()
            .find(|tracked| tracked.page.as_ref().is_some_and(|page| page.rule == "dead-source"));
        let page = open.and_then(|tracked| tracked.page.clone()).unwrap();
        assert!(matches!(page.now, Measured::Silence { ms } if ms >= 120_000), "{:?}", page.now);
    }
    let resolved = alerting.tick_until(Action::Resolve, 12, &mut healthy).await;
    assert!(resolved.line.starts_with("Webhooks arrive again, usually 48/min"), "{}", resolved.line);

    // Now nothing is stored at all, heartbeats included: that is our own trouble, told as such.
    let mut blind = None;
    for _ in 0..16 {
        alerting.now = UnixMillis(alerting.now.0 + TICK_MS);
        let report = alerting.step().await;
        for (_, message) in &report.changes.messages {
            assert_eq!(message.page.rule, "alerting-degraded");
            blind = Some(message.page.clone());
        }
    }
    assert_eq!(super::scenarios::title_of(blind), "P1 Alerting is blind: nothing judged for 3 min");
    let back = alerting.tick_until(Action::Resolve, 12, &mut healthy).await;
    assert_eq!(back.page.rule, "alerting-degraded");
}

pub(crate) fn title_of(page: Option<alerting::page::Page>) -> String {
    page.map_or_else(String::new, |page| title(&page))
}

pub(crate) async fn slow_answers_and_missing_volume_are_paged(engine: &Engine) {
    let mut alerting = with_history(engine, "slow", at("17:00:00"), 75).await;
    let mut slow = |from| {
        with_trouble(from, |mut told| {
            told.event.latency_ms = Some(if told.envelope.source == "adyen-eu" { 4_000 } else { 600 });
            Some(told)
        })
    };
    let paged = alerting.tick_until(Action::Trigger, 24, &mut slow).await;
    assert_eq!(title(&paged.page), "P2 Auth p50 0.6→4 s provider adyen");
    assert!(paged.page.since.is_some_and(|since| since == at("17:00:00")), "{:?}", paged.page.since);

    let mut alerting = with_history(engine, "volume", at("18:00:00"), 75).await;
    let mut few = |from| healthy(from).into_iter().step_by(7).collect::<Vec<_>>();
    let paged = alerting.tick_until(Action::Trigger, 40, &mut few).await;
    assert_eq!(title(&paged.page), "P1 Attempts 96→16/min overall");
    assert_eq!(paged.page.since, Some(at("18:00:00")));
}

pub(crate) async fn a_hostile_name_changes_nothing_but_itself(engine: &Engine) {
    let mut alerting = with_history(engine, "hostile", at("19:00:00"), 75).await;
    let name = "x') OR 1=1 -- \\' ? {a:String}\u{202e}\n<!channel>";
    let mut outage = |from| {
        let mut told = healthy(from);
        told.extend((0..24).map(|number| {
            Told::approved("stripe-us", name, UnixMillis(from.0 + number * 600)).refused(
                Outcome::Declined,
                DeclineCategory::DoNotHonor,
                "do_not_honor",
            )
        }));
        told
    };
    let paged = alerting.tick_until(Action::Trigger, 10, &mut outage).await;
    assert!(
        title(&paged.page).contains("issuer x') OR 1=1 -- \\' ? {a:String} <!channel> ~$"),
        "{}",
        title(&paged.page)
    );
    assert_eq!(paged.page.usual, None, "nobody knows what is usual for it");
    assert_eq!(
        paged.page.links.events, "tillwatch events --from 2026-11-22T19:00:00.000Z",
        "no name in a shell command"
    );
    let rule: &Rule = &alerting.evaluator.rules["issuer-declines"];
    assert_eq!(paged.page.rule_version, rule.version());
}
