//! The broker is away, and ingest goes on accepting.

use testing::eventually;
use testing::proxy::Weather;

use super::parts::Parts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_cannot_take_is_spooled_and_nothing_acknowledged_is_lost() {
    let mut parts = Parts::start_with("spool = true\nspool_after_ms = 200").await;

    let load = parts.load().await;
    parts.to_broker.set(Weather::Silent);
    eventually("webhooks are spooled", async || parts.spooled().await > 300).await;
    eventually("readiness tells of it", async || {
        let ready = parts.ingest_admin("/ready/ingest").await.unwrap();
        ready.contains("webhooks wait on the spool")
    })
    .await;
    parts.to_broker.set(Weather::Cut);
    parts.to_broker.set(Weather::Fair);
    parts.recovers("spooled").await;
    parts.all_is_stored("spooled", load).await;
    assert_eq!(parts.answered("broker_away").await + parts.answered("publish_timed_out").await, 0);

    let load = parts.load().await;
    parts.to_broker.set(Weather::Cut);
    eventually("webhooks are spooled", async || parts.spooled().await > 300).await;
    parts.ingest.take().unwrap().kill();
    let refusal = parts.refusal_without_spool();
    assert!(refusal.contains("acknowledged webhooks are on the spool"), "{refusal}");
    parts.start_ingest();
    eventually("what was left is found", async || parts.spooled().await > 300).await;
    parts.node.kill("tillwatch.webhooks.1");
    parts.node.start_again();
    parts.to_broker.set(Weather::Fair);
    parts.recovers("spooled, ingest and broker killed -9").await;
    parts.all_is_stored("spooled, ingest and broker killed -9", load).await;

    parts.restart_ingest_on_small_disk();
    let load = parts.load().await;
    parts.to_broker.set(Weather::Cut);
    eventually("webhooks are refused", async || parts.answered("disk_full").await > 0).await;
    parts.ingest.as_ref().unwrap().lighten();
    let spooled = parts.spooled().await;
    eventually("webhooks are spooled again", async || parts.spooled().await > spooled).await;
    parts.to_broker.set(Weather::Fair);
    parts.recovers("disk full").await;
    parts.all_is_stored("disk full", load).await;
}
