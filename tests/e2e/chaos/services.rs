//! Our own processes break, or ClickHouse does.

use std::time::Duration;

use testing::proxy::Weather;

use super::parts::Parts;
use crate::truth::number;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_services_nothing_acknowledged_is_lost() {
    let mut parts = Parts::start().await;

    let load = parts.load().await;
    for processor in std::mem::take(&mut parts.processors) {
        processor.kill();
        parts.start_processor();
    }
    parts.all_is_stored("processors killed -9", load).await;

    let load = parts.load().await;
    parts.ingest.take().unwrap().kill();
    parts.start_ingest();
    parts.recovers("ingest killed -9").await;
    parts.all_is_stored("ingest killed -9", load).await;

    let load = parts.load().await;
    parts.engine.take().unwrap().kill();
    parts.start_engine();
    parts.all_is_stored("ClickHouse killed -9", load).await;

    let load = parts.load().await;
    parts.to_store.set(Weather::Slow(Duration::from_millis(50)));
    parts.all_is_stored("ClickHouse slow", load).await;
    parts.to_store.set(Weather::Fair);

    // Several times: it may be the answer to the facts, to what settles them, or to the webhooks.
    let load = parts.load().await;
    for _ in 0..3 {
        let before = parts.to_store.held_back();
        parts.to_store.set(Weather::NoAnswers);
        testing::eventually("an answer is lost", async || parts.to_store.held_back() > before).await;
        parts.to_store.set(Weather::Cut);
        parts.to_store.set(Weather::Fair);
    }
    parts.all_is_stored("ClickHouse's answers lost", load).await;

    // Ingest was killed with its last counts, which is no loss.
    let missing = number(&parts.installation, "SELECT sum(missing) FROM tillwatch.completeness").await;
    assert_eq!(missing, 0);
}
