//! The broker breaks, or the way to it.

use testing::proxy::Weather;

use super::parts::Parts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_broker_nothing_acknowledged_is_lost() {
    let mut parts = Parts::start().await;

    let load = parts.load().await;
    parts.node.until_on_disk("tillwatch.webhooks.0");
    parts.node.kill("tillwatch.webhooks.1");
    parts.node.start_again();
    parts.recovers("broker killed -9").await;
    parts.all_is_stored("broker killed -9", load).await;

    let load = parts.load().await;
    parts.node.ctl(&["stop_app"]);
    parts.node.ctl(&["start_app"]);
    parts.recovers("broker restarted").await;
    parts.all_is_stored("broker restarted", load).await;

    let load = parts.load().await;
    parts.node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    testing::eventually("ingest says that it accepts nothing", async || !parts.ingest_is_ready().await).await;
    parts.node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    parts.recovers("memory alarm").await;
    parts.all_is_stored("memory alarm", load).await;

    let load = parts.load().await;
    // What is published arrives, and its confirms do not.
    parts.to_broker.set(Weather::NoAnswers);
    testing::eventually("confirms are waited for", async || parts.unconfirmed().await > 0).await;
    parts.to_broker.set(Weather::Cut);
    parts.to_broker.set(Weather::Fair);
    parts.recovers("connections cut before the confirm").await;
    parts.all_is_stored("connections cut before the confirm", load).await;

    let load = parts.load().await;
    parts.to_broker.set(Weather::Silent);
    testing::eventually("ingest says that it accepts nothing", async || !parts.ingest_is_ready().await).await;
    parts.to_broker.set(Weather::Fair);
    parts.recovers("connections half open").await;
    parts.all_is_stored("connections half open", load).await;

    let load = parts.load().await;
    parts.node.ctl(&["eval", "[exit(Channel, kill) || Channel <- rabbit_channel:list()]."]);
    parts.recovers("channels closed by the broker").await;
    parts.all_is_stored("channels closed by the broker", load).await;

    // What lies in a queue that is deleted is gone, so nothing does.
    for lane in ["tillwatch.webhooks.0", "tillwatch.webhooks.1"] {
        parts.node.ctl(&["delete_queue", lane]);
    }
    let load = parts.load().await;
    parts.all_is_stored("queues deleted", load).await;

    parts.completeness_is_proven().await;
}
