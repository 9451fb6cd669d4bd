//! `docs/metrics.md` is true.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Installation, until};

/// Name and kind of every metric in the table of `docs/metrics.md`.
fn documented() -> BTreeMap<String, String> {
    let text = include_str!("../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `tillwatch_"));
    rows.filter_map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next()?.strip_suffix('`')?;
        Some((format!("tillwatch_{name}"), cells.next()?.to_owned()))
    })
    .filter(|(_, kind)| ["counter", "gauge", "histogram"].contains(&kind.as_str()))
    .collect()
}

/// The instruments of every service, by the names they are made with.
fn instruments() -> BTreeSet<&'static str> {
    let sources = [
        include_str!("../../ingest/src/observations.rs"),
        include_str!("../../ingest/src/queue_observations.rs"),
        include_str!("../../ingest/src/spool_observations.rs"),
        include_str!("../../processor/src/observations.rs"),
        include_str!("../../alerting/src/observations.rs"),
        include_str!("../../dashboards/src/observations.rs"),
    ];
    sources
        .iter()
        .flat_map(|source| source.split('"'))
        .filter(|text| text.starts_with("tillwatch_"))
        .collect()
}

/// Name and kind of every metric that is served.
fn served(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE tillwatch_"));
    types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (format!("tillwatch_{name}"), kind.to_owned()))
        .collect()
}

#[test]
fn every_instrument_is_documented_and_nothing_else() {
    let documented = documented();
    let names = documented.iter().map(|(name, kind)| match kind.as_str() {
        "counter" => {
            name.strip_suffix("_total").unwrap_or_else(|| panic!("{name}: a counter ends in _total"))
        }
        _ => name,
    });
    assert_eq!(names.collect::<BTreeSet<_>>(), instruments(), "docs/metrics.md, and the sources");
}

#[tokio::test]
async fn every_metric_that_is_served_is_documented_as_what_it_is() {
    let installation = Installation::new("");
    let _server = installation.serve_ready().await;
    let body = r#"{"event_id":"e-1","kind":"authorization","outcome":"approved","occurred_at":"2026-11-22T03:07:00Z"}"#;
    assert_eq!(installation.post_canonical("m-1", body, &[]).await, 200);
    let admin = format!("http://127.0.0.1:{}", installation.admin);
    assert_eq!(reqwest::get(format!("{admin}/")).await.unwrap().status(), 200);
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    until("every service has told something", async || {
        let text = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
        let served = served(&text);
        for (name, kind) in &served {
            assert_eq!(documented.get(name), Some(kind), "{name}: docs/metrics.md");
        }
        [
            "ingest_requests_total",
            "queue_bytes",
            "processor_messages_total",
            "alerting_ticks_total",
            "board_views_total",
        ]
        .iter()
        .all(|name| served.contains_key(&format!("tillwatch_{name}")))
    })
    .await;
}
