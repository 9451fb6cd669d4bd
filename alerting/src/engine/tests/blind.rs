//! Without ClickHouse: nothing fires, nothing resolves, and one page says that alerting is degraded.

use std::sync::Arc;
use std::time::Duration;

use payments::{Currency, UnixMillis};
use runtime::telemetry::Telemetry;

use super::world::{START, TICK, TICK_MS, settings, shipped};
use crate::engine::tick::{Happening, Tick, What};
use crate::engine::{DEGRADED, Engine, StepReport};
use crate::observations::Observations;
use crate::page::{Action, Measured, Rates, title};
use crate::reader::Reader;
use crate::rules::{Instants, Rules, Sample};
use crate::slice::{Dimension, Slice};
use crate::state::{Episode, Move, Phase, Verdict};
use crate::storage::{Book, RuleRecord, Storage, Tracked};

const IDS: [&str; 3] = ["issuer-declines", "provider-failures", "dead-source"];

pub(super) fn engine(folder: &std::path::Path, rules: Rules, book: Book) -> Engine {
    // Nothing listens on port 1: every query fails at once.
    let client = clickhouse::Client::default().with_url("http://127.0.0.1:1");
    Engine {
        rules,
        reader: Reader::new(client, Duration::from_secs(5)),
        storage: Storage::open(&folder.join("alerting.sqlite")).unwrap(),
        observations: Arc::new(Observations::new(&Telemetry::for_tests().unwrap().meter("alerting"))),
        settings: settings(),
        rates: Rates { reporting: Currency::USD, of: std::collections::BTreeMap::new() },
        interval: TICK,
        stale_after_ms: 60_000,
        book: Arc::new(book),
        ticked_at: None,
    }
}

pub(super) fn rules() -> Rules {
    IDS.map(|id| (id.to_owned(), shipped(id))).into_iter().collect()
}

pub(super) async fn steps(engine: &mut Engine, ticks: std::ops::Range<i64>) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for index in ticks {
        reports.push(engine.step(UnixMillis(START.0 + index * TICK_MS)).await.unwrap());
    }
    reports
}

/// A book in which the first rule has an open incident.
fn with_incident(hash: &str) -> Book {
    let slice = Slice::new(&[Dimension::Issuer], vec!["Harbour Bank".to_owned()]);
    let mut tracked = Tracked::new(slice.clone());
    tracked.state.phase = Phase::Firing;
    tracked.state.episode = Some(Episode {
        incident_id: 4,
        dedup_key: "9f2c4e1ab07d43c2a1d35e6f7a8b9c0d".to_owned(),
        started_at: START,
        reopened: false,
        flapping: false,
    });
    tracked.page = Some(crate::page::tests::outage());
    tracked.channels = vec!["chat".to_owned()];
    let mut book = Book { last_incident_id: 4, ..Book::default() };
    book.slices.insert(("issuer-declines".to_owned(), slice.key()), tracked);
    book.rules.insert("issuer-declines".to_owned(), RuleRecord { hash: hash.to_owned(), failures: 0 });
    book
}

#[tokio::test]
async fn without_clickhouse_one_page_says_that_alerting_is_blind() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), rules(), Book::default());
    let reports = steps(&mut engine, 0..40).await;
    let pages: Vec<_> = reports
        .iter()
        .enumerate()
        .flat_map(|(tick, report)| {
            report.changes.messages.iter().map(move |(channel, message)| (tick, channel.as_str(), message))
        })
        .collect();
    let told: Vec<_> =
        pages.iter().map(|(tick, channel, message)| (*tick, *channel, message.action)).collect();
    assert_eq!(told, [(12, "chat", Action::Trigger), (12, "log", Action::Trigger)]);
    assert_eq!(title(&pages[0].2.page), "P1 Alerting is blind: nothing judged for 3 min");
    assert_eq!(pages[0].2.page.notes, ["ClickHouse does not answer"]);
    assert_eq!(reports[12].changes.transitions[0].rule_id, DEGRADED);
}

#[tokio::test]
async fn an_open_incident_is_frozen_and_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let hash = shipped("issuer-declines").hash;
    let mut engine = engine(folder.path(), rules(), with_incident(&hash));
    let reports = steps(&mut engine, 0..40).await;
    let of_incident: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.changes.messages)
        .filter(|(_, message)| message.page.rule == "issuer-declines")
        .collect();
    assert_eq!(of_incident.len(), 1, "one update, never a resolve");
    assert_eq!(of_incident[0].1.action, Action::Update);
    assert!(
        of_incident[0].1.line.contains("⚠ frozen: ClickHouse does not answer; last known 91% not approved")
    );
    let key = ("issuer-declines".to_owned(), r#"{"issuer":"Harbour Bank"}"#.to_owned());
    assert_eq!(engine.book.slices[&key].state.phase, Phase::Firing);
}

#[tokio::test]
async fn an_edited_or_deleted_rule_closes_its_incident_with_that_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut edited = engine(folder.path(), rules(), with_incident("hash of an older file"));
    let report = steps(&mut edited, 0..1).await.remove(0);
    let (channel, message) = &report.changes.messages[0];
    assert_eq!((channel.as_str(), message.action), ("chat", Action::Resolve));
    assert_eq!(message.line, "closed: rule changed, 12:00 UTC");
    let key = ("issuer-declines".to_owned(), r#"{"issuer":"Harbour Bank"}"#.to_owned());
    let closed = &report.changes.book.slices[&key];
    assert_eq!((closed.state.phase, &closed.page), (Phase::Inactive, &None));
    assert!(closed.state.reopens(START), "if it goes on, it is the same incident");

    let folder = tempfile::tempdir().unwrap();
    let mut others = rules();
    others.remove("issuer-declines");
    let mut deleted = engine(folder.path(), others, with_incident("any"));
    let report = steps(&mut deleted, 0..1).await.remove(0);
    assert_eq!(report.changes.messages[0].1.line, "closed: rule deleted, 12:00 UTC");
    assert_eq!(report.changes.transitions[0].reason, "rule_deleted");
}

#[tokio::test(start_paused = true)]
async fn pages_wait_five_seconds_at_most_for_what_could_be_looked_up() {
    // It takes the question and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = clickhouse::Client::default().with_url(format!("http://{}", silent.local_addr().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), rules(), Book::default());
    engine.reader = Reader::new(client, Duration::from_secs(600));
    let tick = Tick::new(Book::default(), START, TICK, None);
    let fired = |number: usize| {
        let slice = Slice::new(&[Dimension::Issuer], vec![format!("Bank {number}")]);
        let measured = Measured::Share { count: 9, of: 10 };
        Happening {
            key: ("issuer-declines".to_owned(), slice.key()),
            what: What::Moved { from: "pending", how: Move::Fired },
            sample: Some(Sample { slice, verdict: Some(Verdict::Breach), measured }),
            truncated: false,
        }
    };
    let began = tokio::time::Instant::now();
    let instants = Instants { now: START, complete_to: START };
    let told = engine.look_up(&tick, (0..40).map(fired).collect(), instants).await;
    assert!((5..7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(told.len() == 40 && told.iter().all(|(_, findings)| findings.is_some()), "all go out");
}
