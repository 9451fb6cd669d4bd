//! What the board must say, by what the store has.

use std::time::Duration;

use payments::UnixMillis;
use serde_json::{Value, json};

use crate::harness::{Board, Engine, Told, at};

pub(crate) async fn an_empty_store_waits_for_the_first_webhook(engine: &Engine) {
    let board = Board::new(engine, "empty").await;
    board.heartbeat("03:07:10").await;
    let page = board.get("/").await;
    assert!(page.contains("Waiting for the first webhook"), "{page}");
    assert!(page.contains("POST http://127.0.0.1:8080/webhooks/stripe-us"));
}

/// Ten attempts a minute, one of them declined, for the hour before "now"; five minutes of 20, half of them declined.
fn an_outage() -> Vec<Told> {
    let mut told = Vec::new();
    let mut number = 0;
    for minute in 0..65_i64 {
        let start = at("02:02:00").0 + minute * 60_000;
        let (attempts, declined) = if minute < 60 { (10, 1) } else { (20, 10) };
        for attempt in 0..attempts {
            number += 1;
            let when = UnixMillis(start + attempt * 2_500);
            told.push(if attempt < declined {
                Told::declined("stripe-us", number, when, "do_not_honor")
            } else {
                Told::approved("stripe-us", number, when)
            });
        }
    }
    told
}

pub(crate) async fn the_numbers_are_exact_and_copies_are_not_counted(engine: &Engine) {
    let board = Board::new(engine, "exact").await;
    board.heartbeat("03:07:10").await;
    let told = an_outage();
    let mut test_mode = Told::declined("stripe-us", 9_999, at("03:05:00"), "do_not_honor");
    test_mode.event.live = false;
    board.store(&[test_mode], at("03:07:00")).await;
    board.store(&told, at("03:07:00")).await;
    board.park(&told[0], at("03:07:00")).await;
    let before = numbers(&board.data("?window=6h").await);
    // Every webhook is delivered once more, and every provider sends every event once more.
    let again: Vec<Told> = told.iter().map(Told::again).collect();
    board.store(&told, at("03:07:05")).await;
    board.store(&again, at("03:07:06")).await;
    board.park(&told[0], at("03:07:05")).await;
    board.clock.advance(Duration::from_secs(11));
    let after = board.data("?window=6h").await;
    assert_eq!(numbers(&after), before);
    assert_eq!(
        before,
        json!({
            "now": { "approved": 50, "declined": 50, "failed": 0 },
            "before": { "approved": 540, "declined": 60, "failed": 0 },
            "from": at("03:02:00").0, "to": at("03:07:00").0,
            "money": [{ "currency": "USD", "amount_minor": 50_000 }],
            "p50": 200.0, "test_mode": 1,
            "history": { "attempts": 700, "approved": 590, "steps": 72, "heard": 1 },
            "codes": [{
                "code": "do_not_honor", "category": "do_not_honor", "class": "actionable", "provider": "stripe",
                "count": 50, "of": 100, "count_before": 60, "of_before": 600
            }],
            "issuers": [{
                "issuer": "Harbour Bank", "country": "BR",
                "now": { "approved": 50, "declined": 50, "failed": 0 },
                "before": { "approved": 540, "declined": 60, "failed": 0 }
            }],
            "parked": 1,
        })
    );
    let page = board.get("/?window=6h").await;
    assert!(page.contains("50.0%") && page.contains("50/100") && page.contains("−40.0 pp"), "{page}");
    let source = &after["sources"]["known"]["value"][0];
    assert_eq!(
        (source["pulse"].as_str(), source["rate_now"].as_f64()),
        (Some("receiving"), Some(40.2)),
        "{source}"
    );
    assert_eq!(after["sources"]["known"]["value"][1]["pulse"], "waiting");
    let complete = &after["completeness"]["known"]["value"];
    assert_eq!((&complete["acknowledged"], &complete["missing"]), (&json!(0), &json!([])), "{complete}");
    for failure in ["feed", "alerts", "headline", "history", "sources", "completeness", "declines", "issuers"]
    {
        assert_eq!(after[failure]["failure"], Value::Null, "{failure}");
    }
}

fn numbers(data: &Value) -> Value {
    let headline = &data["headline"]["known"]["value"];
    let history = &data["history"]["known"]["value"];
    let steps = history["overall"].as_array().unwrap();
    let sum = |keys: &[&str]| -> u64 {
        steps.iter().map(|step| keys.iter().map(|key| step[*key].as_u64().unwrap()).sum::<u64>()).sum()
    };
    json!({
        "now": headline["now"]["answers"], "before": headline["before"]["answers"],
        "from": headline["now"]["from"], "to": headline["now"]["to"],
        "money": headline["now"]["approved"], "p50": headline["now"]["latency_p50_ms"],
        "test_mode": headline["now"]["test_mode"],
        "history": {
            "attempts": sum(&["approved", "declined", "failed"]), "approved": sum(&["approved"]), "steps": steps.len(),
            "heard": history["heard"].as_array().unwrap().iter().filter(|heard| heard.as_bool().unwrap()).count(),
        },
        "codes": data["declines"]["known"]["value"], "issuers": data["issuers"]["known"]["value"],
        "parked": data["sources"]["known"]["value"][0]["parked_24h"],
    })
}

pub(crate) async fn what_is_acknowledged_and_not_stored_is_told(engine: &Engine) {
    let board = Board::new(engine, "incomplete").await;
    board.heartbeat("03:07:10").await;
    let told = [1, 2].map(|number| Told::approved("stripe-us", number, at("02:10:00")));
    board.store(&told, at("02:10:02")).await;
    // Of the second minute everything may be in a processor's hands yet.
    board
        .sql(
            "INSERT INTO acknowledged_stored (minute, source, cell, acknowledged, fingerprint) VALUES \
             ('2026-11-22 02:10:00', 'stripe-us', generateUUIDv4(), 3, 1), \
             ('2026-11-22 03:00:00', 'stripe-us', generateUUIDv4(), 9, 1)",
        )
        .await;
    let known = &board.data("").await["completeness"]["known"]["value"];
    let missing = json!([{ "source": "stripe-us", "webhooks": 1, "since": at("02:10:00").0 }]);
    assert_eq!((&known["acknowledged"], &known["missing"]), (&json!(3), &missing), "{known}");
    let page = board.get("/").await;
    assert!(page.contains("1 acknowledged webhook is not stored"), "{page}");
    // It comes late.
    board.store(&[Told::approved("stripe-us", 3, at("02:10:00"))], at("03:07:00")).await;
    board.clock.advance(Duration::from_secs(61));
    board.heartbeat("03:08:10").await;
    let known = &board.data("").await["completeness"]["known"]["value"];
    assert_eq!(known["missing"][0]["webhooks"], 1, "as many, and not the same: {known}");
    board.sql("INSERT INTO acknowledged_stored (minute, source, cell, acknowledged, fingerprint) \
               SELECT '2026-11-22 02:10:00', source, cell, 3, (SELECT sumWithOverflow(toUInt64(bitShiftRight( \
               reinterpretAsUInt128(webhook_id), 64))) FROM webhooks) FROM acknowledged WHERE acknowledged = 3").await;
    board.clock.advance(Duration::from_secs(61));
    board.heartbeat("03:09:10").await;
    let page = board.get("/").await;
    assert!(page.contains("All 3 acknowledged webhooks are stored."), "{page}");
}

pub(crate) async fn incidents_are_shown_as_alerting_last_described_them(engine: &Engine) {
    let board = Board::new(engine, "incidents").await;
    board.heartbeat("03:07:10").await;
    board.store(&[Told::approved("stripe-us", 1, at("03:06:00"))], at("03:07:00")).await;
    for (incident, states) in
        [("7", &["firing", "recovering"][..]), ("8", &["firing", "recovering", "inactive"])]
    {
        for (minute, state) in states.iter().enumerate() {
            let details = json!({
                "title": format!("P1 Declines 9→61% issuer Harbour Bank, {state}"), "severity": "critical", "state": state,
                "slice": { "issuer": "Harbour <b>Bank</b>" }, "since": "2026-11-22T02:58:40.000Z",
                "impact": "~153 payments lost", "frozen": null, "incident_id": 7, "unknown_key": [1],
                "runbook": "docs/runbooks/issuer-declines.md",
            });
            board
                .sql(&format!(
                    "INSERT INTO alert_transitions_stored VALUES ('{incident}-{minute}', 'issuer-declines', '{{\"bin\":\"{incident}\"}}', '{incident}', \
                     'pending', '{state}', toDateTime64('2026-11-22 03:0{minute}:00', 3, 'UTC'), 'critical', '{details}', \
                     toDateTime64('2026-11-22 03:05:00', 3, 'UTC'))"
                ))
                .await;
        }
    }
    let alerts = board.data("").await["alerts"]["known"]["value"].take();
    assert_eq!((&alerts["active_count"], alerts["resolved"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    let active = &alerts["active"][0];
    assert_eq!(active["title"], "P1 Declines 9→61% issuer Harbour Bank, recovering");
    assert_eq!((&active["recovering"], &active["since"]), (&json!(true), &json!(at("02:58:40").0)));
    assert_eq!(alerts["resolved"][0]["resolved_at"], at("03:02:00").0);
    let page = board.get("/").await;
    assert!(page.contains("1 alert firing") && page.contains("issuer Harbour &lt;b&gt;Bank"), "{page}");
    assert!(page.contains("docs/runbooks/issuer-declines.md"));
    assert!(page.contains("as of 03:01 UTC, 6 min ago"), "{page}");
}

/// Alerting lost its state and counts anew: incident 1 of another rule is another incident.
pub(crate) async fn incidents_with_one_number_are_told_apart(engine: &Engine) {
    let board = Board::new(engine, "numbers").await;
    board.heartbeat("03:07:10").await;
    board.store(&[Told::approved("stripe-us", 1, at("03:06:00"))], at("03:07:00")).await;
    for (rule, minute, state) in
        [("latency", 1, "firing"), ("volume", 2, "firing"), ("volume", 3, "inactive")]
    {
        board
            .sql(&format!(
                "INSERT INTO alert_transitions_stored VALUES ('{rule}-{minute}', '{rule}', '{{}}', '1', 'pending', '{state}', \
                 toDateTime64('2026-11-22 03:0{minute}:00', 3, 'UTC'), 'critical', '{{\"title\":\"{rule}\"}}', \
                 toDateTime64('2026-11-22 03:05:00', 3, 'UTC'))"
            ))
            .await;
    }
    let alerts = board.data("").await["alerts"]["known"]["value"].take();
    assert_eq!(
        (&alerts["active_count"], &alerts["active"][0]["title"]),
        (&json!(1), &json!("latency")),
        "{alerts}"
    );
    assert_eq!(alerts["resolved"][0]["title"], "volume", "{alerts}");
}

pub(crate) async fn alerting_that_has_died_is_told(engine: &Engine) {
    let board = Board::new(engine, "judging").await;
    board.heartbeat("03:07:10").await;
    board.store(&[Told::approved("stripe-us", 1, at("03:06:00"))], at("03:07:00")).await;
    let page = board.get("/").await;
    assert!(page.contains("Alerting has not run here: no page will come."), "{page}");
    assert!(!page.contains("No alert firing"), "{page}");

    board.alerting_lives("03:06:10", "03:06:02").await;
    board.alerting_lives("03:07:10", "03:07:02").await;
    board.clock.advance(Duration::from_secs(2));
    let page = board.get("/").await;
    assert!(
        page.contains("<h1>No alert firing</h1>") && page.contains("rules judged to 03:07:02 UTC"),
        "{page}"
    );
    let judged = board.data("").await["alerts"]["known"]["value"]["judged"].take();
    assert_eq!(judged, json!({ "alive_at": at("03:07:10").0, "judged_to": at("03:07:02").0 }));

    board.heartbeat("03:11:10").await;
    board.clock.advance(Duration::from_secs(238));
    let page = board.get("/").await;
    assert!(page.contains("<h1>No sign of life from alerting since 03:07 UTC</h1>"), "{page}");
    assert!(page.contains("Alerting has given no sign of life for 4 min: no page will come."), "{page}");
}

pub(crate) async fn a_clock_ahead_of_the_store_does_not_look_fresh(engine: &Engine) {
    let board = Board::new(engine, "ahead").await;
    board.heartbeat_stored("03:30:00", "03:01:00").await;
    board.store(&[Told::approved("stripe-us", 1, at("03:00:00"))], at("03:00:30")).await;
    let page = board.get("/").await;
    assert!(page.contains("Data is stale since 03:01 UTC"), "{page}");
}

pub(crate) async fn the_first_minute_is_shown_before_it_is_over(engine: &Engine) {
    let board = Board::new(engine, "first_minute").await;
    board.heartbeat("03:07:10").await;
    let told: Vec<Told> = (0..6).map(|number| Told::approved("stripe-us", number, at("03:07:02"))).collect();
    board.store(&told, at("03:07:05")).await;
    let page = board.get("/board/fragment").await;
    assert!(page.contains("6/6 approved") && page.contains("Receiving"), "{page}");
}

/// A source that sends nothing costs a look at the whole day once a minute, and its last webhook is found all the same.
pub(crate) async fn an_unused_source_does_not_cost_a_day_at_every_look(engine: &Engine) {
    let board = Board::new(engine, "unused").await;
    board.heartbeat("03:07:10").await;
    board.store(&[Told::approved("adyen-eu", 1, at("01:00:00"))], at("01:00:02")).await;
    let asked = || {
        let metrics = String::from_utf8(board.telemetry.prometheus_text().unwrap()).unwrap();
        let line = "tillwatch_board_query_seconds_count{panel=\"older_sources\"} ";
        metrics.lines().find_map(|text| text.strip_prefix(line).map(ToOwned::to_owned))
    };
    for expected in ["1", "1", "1"] {
        let sources = board.data("").await["sources"]["known"]["value"].take();
        assert_eq!(sources[0]["last_received_at"], Value::Null, "{sources}");
        assert_eq!(sources[1]["last_received_at"], at("01:00:01").0, "{sources}");
        assert_eq!(asked().as_deref(), Some(expected));
        board.clock.advance(Duration::from_secs(20));
    }
    board.clock.advance(Duration::from_secs(20));
    board.data("").await;
    assert_eq!(asked().as_deref(), Some("2"));
}

pub(crate) async fn many_viewers_cost_one(engine: &Engine) {
    let board = Board::new(engine, "viewers").await;
    board.heartbeat("03:07:10").await;
    let page = || board.get("/board/fragment");
    tokio::join!(page(), page(), page(), page(), page(), page(), page(), page());
    let asked = |metrics: &str| {
        let line = "tillwatch_board_query_seconds_count{panel=\"history\"} ";
        metrics.lines().find_map(|text| text.strip_prefix(line).map(ToOwned::to_owned))
    };
    let metrics = || String::from_utf8(board.telemetry.prometheus_text().unwrap()).unwrap();
    assert_eq!(asked(&metrics()).as_deref(), Some("1"), "{}", metrics());
    board.clock.advance(Duration::from_secs(2));
    board.get("/board/fragment").await;
    assert_eq!(asked(&metrics()).as_deref(), Some("2"));
}

pub(crate) async fn missing_tables_are_a_failure_and_not_an_empty_shop(engine: &Engine) {
    let board = Board::without_tables(engine, "no_such_database").await;
    let page = board.get("/").await;
    assert!(page.contains("The store does not answer") && page.contains("Nothing is known."), "{page}");
    assert!(page.contains("the query was refused"));
    assert!(!page.contains("Waiting for the first webhook"));
}

pub(crate) async fn a_board_with_something_on_it(engine: &Engine) -> Board {
    let board = Board::new(engine, "away").await;
    board.heartbeat("03:07:10").await;
    let told: Vec<Told> = (0..20).map(|number| Told::approved("stripe-us", number, at("03:05:02"))).collect();
    board.store(&told, at("03:07:05")).await;
    assert!(board.get("/").await.contains("20/20 approved"));
    board
}

pub(crate) async fn a_store_that_went_away_leaves_what_was_known(board: Board) {
    board.clock.advance(Duration::from_secs(146));
    let page = board.get("/").await;
    assert!(page.contains("The store does not answer") && page.contains("20/20 approved"), "{page}");
    assert!(page.contains("Numbers below end at 03:07 UTC, 3 min ago."), "{page}");
    assert!(page.contains("As known at 03:07:14 UTC."), "{page}");
    assert!(!page.contains("No alert firing"));
}
