use std::sync::Arc;

use payments::{Provider, Secret};
use runtime::SystemClock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::ledger::Ledger;
use crate::testing::{Receiver, source, sources};

fn short(target: Target) -> LoadConfig {
    LoadConfig {
        connections: 8,
        duration: Duration::from_millis(400),
        warm_up: Duration::from_millis(100),
        ..LoadConfig::new(9, target, sources())
    }
}

async fn run_to_the_end(config: LoadConfig) -> LoadReport {
    run(config, Arc::new(SystemClock), CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_out_with_duplicates_and_retries_every_event_is_acknowledged_exactly_as_the_ledger_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let receiver = Receiver::start(7, Duration::ZERO).await;
    let config = LoadConfig {
        ledger: Some(path.clone()),
        duplicate_share: 0.05,
        retry: true,
        server_pid: Some(std::process::id()),
        ..short(receiver.target.clone())
    };
    let report = run_to_the_end(config).await;

    assert!(report.events > 100, "{report}");
    assert_eq!(report.acknowledged_events, report.events, "{report}");
    assert!(report.retries > 0 && report.duplicates > 0, "{report}");
    assert_eq!(report.errors(), report.retries);
    assert!(report.latency.samples > 0 && report.latency.p50_ms <= report.latency.max_ms, "{report}");
    let ledger = Ledger::read(&path).unwrap();
    assert_eq!(ledger.events.len() as u64, report.events);
    receiver.assert_equals(&ledger);
    let facts: u64 = report.facts.iter().map(|facts| facts.facts).sum();
    assert_eq!(facts, ledger.totals().values().map(|total| total.facts).sum::<u64>());
    assert_eq!(receiver.requests().0, report.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_charged_with_every_request_it_kept_waiting() {
    // One connection; the first answer takes 400 ms, and meanwhile 40 requests become due.
    let stall = Duration::from_millis(400);
    let receiver = Receiver::start(0, stall).await;
    let config = LoadConfig {
        pace: Pace::PerSecond(100.0),
        connections: 1,
        duration: Duration::from_millis(600),
        warm_up: Duration::ZERO,
        ..short(receiver.target.clone())
    };
    let report = run_to_the_end(config).await;
    assert_eq!((report.requests, report.unsent, report.latency.samples), (60, 0, 60), "{report}");
    assert!(report.latency.max_ms >= 399.0, "{report}");
    // Of 60 requests, the one due at 200 ms waited at least 200 ms, and those before it longer: a third.
    assert!(report.latency.p90_ms >= 300.0, "{report}");
    let closed = LoadConfig { pace: Pace::FlatOut, ..short(Receiver::start(0, stall).await.target.clone()) };
    assert!(run_to_the_end(closed).await.requests > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_told() {
    // Nobody accepts: the only connection waits for its answer until the request times out.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let config = LoadConfig {
        pace: Pace::PerSecond(100.0),
        connections: 1,
        request_timeout: Duration::from_millis(500),
        drain: Duration::ZERO,
        ..short(target)
    };
    let report = run_to_the_end(config).await;
    assert_eq!(report.acknowledged_events, 0);
    assert!(report.answers.contains_key("timeout"), "{report}");
    assert!(report.unsent > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_believes_stripes_signatures_and_no_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let stripe = source(Provider::Stripe);
    let mut server = JoinSet::new();
    let secret = stripe.secret.clone();
    server.spawn(async move { floor::serve(listener, &secret, CancellationToken::new()).await.unwrap() });
    let config = |sources| LoadConfig { sources, ..short(target.clone()) };

    let believed = run_to_the_end(config(vec![stripe.clone()])).await;
    assert!(believed.requests > 0 && believed.errors() == 0, "{believed}");
    let forged = SimulatedSource { secret: Secret::new("whsec_another"), ..stripe };
    let rejected = run_to_the_end(config(vec![forged])).await;
    assert_eq!(rejected.answers.keys().collect::<Vec<_>>(), ["401"], "{rejected}");
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_sent() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let refused = |config| run(config, Arc::new(SystemClock), CancellationToken::new());
    let config = || short(target.clone());
    let no_connections = LoadConfig { connections: 0, ..config() };
    assert!(matches!(refused(no_connections).await, Err(LoadError::Connections(0))));
    let no_rate = LoadConfig { pace: Pace::PerSecond(f64::INFINITY), ..config() };
    assert!(matches!(refused(no_rate).await, Err(LoadError::Rate(_))));
    let no_folder = LoadConfig { ledger: Some("/nonexistent/folder/ledger".into()), ..config() };
    assert!(matches!(refused(no_folder).await, Err(LoadError::Ledger(_))));
}

#[test]
fn a_report_survives_json() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let now = std::time::Instant::now();
    let recorder = recorder::Recorder::new(recorder::Window { from: now, to: now });
    let report = LoadReport::new(&short(target), payments::UnixMillis(0), &recorder, 3);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LoadReport>(&json).unwrap(), report);
}
