use std::sync::Arc;

use runtime::SystemClock;

use super::*;
use crate::ledger::Ledger;
use crate::testing::{Receiver, sources};

fn quick(target: Target) -> SimulateConfig {
    SimulateConfig {
        rate_per_s: 600.0,
        duration: Some(Duration::from_secs(1)),
        schedule: ScheduleConfig {
            delay_scale: 0.0,
            duplicate_share: 0.1,
            retry_delay: Duration::from_millis(5),
            retry_delay_max: Duration::from_millis(50),
            ..ScheduleConfig::default()
        },
        ..SimulateConfig::new(5, target, sources())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_now_and_then_gets_every_event_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let receiver = Receiver::start(4, Duration::ZERO).await;
    let config = SimulateConfig { ledger: Some(path.clone()), ..quick(receiver.target.clone()) };
    let report = run(config, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();

    assert!(report.events > 100, "{report}");
    assert_eq!(report.acknowledged_events, report.events, "{report}");
    assert!(report.retries > 0 && report.duplicates > 0, "{report}");
    assert_eq!(receiver.requests(), (report.requests, report.acknowledged_requests()));
    let ledger = Ledger::read(&path).unwrap();
    assert_eq!(ledger.end, Some(report.end_line()));
    assert_eq!(ledger.events.len() as u64, report.events);
    receiver.assert_equals(&ledger);
    let in_report: u64 = report.totals.iter().map(|total| total.facts).sum();
    assert_eq!(in_report, ledger.totals().values().map(|total| total.facts).sum::<u64>());
}

#[tokio::test]
async fn a_run_can_be_stopped_at_any_time() {
    let receiver = Receiver::start(0, Duration::ZERO).await;
    let config = SimulateConfig { duration: None, ..quick(receiver.target.clone()) };
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(run(config, Arc::new(SystemClock), stop.clone()));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while receiver.requests().1 < 20 {
        assert!(std::time::Instant::now() < deadline, "nothing arrives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    let report = running.join_next().await.unwrap().unwrap().unwrap();
    assert!(report.acknowledged_requests() >= 20, "{report}");
}

#[tokio::test]
async fn a_target_that_is_away_is_reported_and_not_waited_for_longer_than_allowed() {
    // Nobody listens on port 1.
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let config = SimulateConfig {
        duration: Some(Duration::from_millis(100)),
        backfill: Duration::from_secs(2),
        drain: Duration::from_millis(100),
        ..quick(target)
    };
    let report = run(config, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
    assert_eq!(report.acknowledged_events, 0);
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["connect"]);
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_sent() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let refused = |config| run(config, Arc::new(SystemClock), CancellationToken::new());
    let no_sources = SimulateConfig { sources: Vec::new(), ..quick(target.clone()) };
    assert!(matches!(refused(no_sources).await, Err(SimulateError::NoSources)));
    let no_rate = SimulateConfig { rate_per_s: f64::NAN, ..quick(target) };
    assert!(matches!(refused(no_rate).await, Err(SimulateError::Rate(_))));
}
