use runtime::telemetry::Telemetry;
use runtime::{Health, SystemClock};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;

fn inserter(address: std::net::SocketAddr, health: &Health) -> Inserter {
    let store = Store::new(&format!("http://{address}"), "default", None, "d");
    let observations = Arc::new(Observations::new(&Telemetry::for_tests().unwrap()));
    let health = health.register("processor");
    Inserter::new(&ProcessorConfig::default(), store, Arc::new(SystemClock), observations, health)
}

/// Waits for the tables, and is told to stop after `soon`; how long it took by the tests' clock.
async fn waits_for_tables(inserter: &Inserter, soon: Duration) -> Duration {
    let (stop, started) = (CancellationToken::new(), Instant::now());
    let stops = async {
        tokio::time::sleep(soon).await;
        stop.cancel();
    };
    let (waited, ()) = tokio::join!(inserter.wait_for_tables(&stop), stops);
    assert_eq!(waited, Err(Stopped));
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_tables_that_is_not_answered_does_not_hold_up_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inserter = inserter(silent.local_addr().unwrap(), &Health::default());
    let soon = Duration::from_millis(10);
    assert_eq!(waits_for_tables(&inserter, soon).await, soon);
}

#[tokio::test(start_paused = true)]
async fn why_the_tables_cannot_be_looked_at_is_told_with_its_cause() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let health = Health::default();
    waits_for_tables(&inserter(nobody, &health), Duration::from_mins(1)).await;
    let why = health.parts()["processor"].clone().unwrap_err();
    assert!(why.starts_with("ClickHouse did not tell the columns of its tables: "), "{why}");
}
