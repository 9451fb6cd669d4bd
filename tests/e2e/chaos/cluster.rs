//! The broker is three nodes, and some of them go.

use testing::eventually;

use super::parts::Parts;

/// The lane whose leader goes.
const LANE: &str = "tillwatch.webhooks.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_nodes_of_the_broker_go_nothing_acknowledged_is_lost() {
    let mut parts = Parts::start_on_cluster().await;

    for index in 0..parts.node.nodes().len() {
        let load = parts.load().await;
        let before = parts.refused().await;
        let node = &parts.node.nodes()[index];
        node.stop();
        node.start_again();
        eventually("all copies are there", async || parts.node.online(LANE).len() == 3).await;
        parts.all_is_stored("node restarted", load).await;
        eprintln!("node restarted: {} webhooks were refused", parts.refused().await - before);
    }

    // Ingest and processors declare the lanes side by side, so either may be the last.
    parts.node.nodes().iter().for_each(|node| node.until_on_disk("tillwatch.webhooks.0"));
    let load = parts.load().await;
    let first = parts.node.leader(LANE);
    parts.node.nodes()[first].kill(LANE);
    parts.recovers("leader killed -9").await;
    parts.all_is_stored("leader killed -9", load).await;

    // Asked before: that takes its time, and the load shall not be over when the node goes.
    let second = parts.node.leader(LANE);
    let load = parts.load().await;
    parts.node.nodes()[second].kill(LANE);
    parts.refuses("a majority killed -9").await;
    parts.node.nodes()[second].start_again();
    parts.recovers("a majority back").await;
    parts.node.nodes()[first].start_again();
    parts.all_is_stored("a majority killed -9", load).await;
}
