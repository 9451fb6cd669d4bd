//! Three nodes, and the loss of one, of two, of none.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use queue::rabbitmq::{
    Addresses, BrokerConfig, ConsumeConfig, PublishConfig, Publisher, Tls, open_consumer, open_publisher,
};
use testing::eventually;
use testing::rabbitmq::Cluster;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{limits, payloads, receive};

const QUEUE: &str = "cluster.0";

fn broker(cluster: &Cluster) -> BrokerConfig {
    BrokerConfig {
        addresses: Addresses::parse(&cluster.url("guest:guest")).unwrap(),
        tls: Tls::default(),
        queue: "cluster".to_owned(),
        lanes: 1,
        connection_name: "test".to_owned(),
        connect_timeout: Duration::from_secs(2),
    }
}

/// Publishes one after the other until it is stopped, and knows what was acknowledged.
#[derive(Clone, Default)]
struct Senders {
    acknowledged: Arc<Mutex<BTreeSet<Bytes>>>,
    refused: Arc<AtomicU64>,
}

impl Senders {
    fn start(&self, publisher: &Publisher, stop: &CancellationToken, sending: &mut JoinSet<()>) {
        for sender in 0..8 {
            let (senders, publisher, stop) = (self.clone(), publisher.clone(), stop.clone());
            sending.spawn(async move {
                for number in 0.. {
                    if stop.is_cancelled() {
                        return;
                    }
                    let record = Bytes::from(format!("{sender} {number}"));
                    match publisher.publish(0, &[&record]).await {
                        Ok(()) => drop(senders.acknowledged.lock().unwrap().insert(record)),
                        Err(_) => drop(senders.refused.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    async fn go_on(&self, what: &str) {
        let (begun, before) = (Instant::now(), self.acknowledged());
        eventually(what, async || self.acknowledged() > before + 50).await;
        eprintln!("{what}: after {} ms", begun.elapsed().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_killed_and_what_was_acknowledged_is_there() {
    let cluster = Cluster::start();
    let config = PublishConfig { answer_timeout: Duration::from_secs(2), ..PublishConfig::default() };
    let publisher = open_publisher(broker(&cluster), config).await.unwrap();
    let (senders, stop, mut sending) = (Senders::default(), CancellationToken::new(), JoinSet::new());
    senders.start(&publisher, &stop, &mut sending);
    senders.go_on("three nodes confirm").await;
    let members = cluster.any().ctl(&["list_queues", "name", "members", "--no-table-headers"]);
    let of_lane = members.lines().find(|line| line.starts_with(QUEUE)).unwrap();
    assert!(cluster.nodes.iter().all(|node| of_lane.contains(&node.name())), "{of_lane}");

    let leader = cluster.leader(QUEUE);
    cluster.nodes[leader].kill(QUEUE);
    senders.go_on("the leader is killed, two nodes confirm").await;

    let second = cluster.leader(QUEUE);
    cluster.nodes[second].kill(QUEUE);
    let refused = senders.refused();
    eventually("one node alone confirms nothing", async || senders.refused() > refused + 16).await;
    let (acknowledged, refused) = (senders.acknowledged(), senders.refused());
    eventually("nor later", async || senders.refused() > refused + 16).await;
    assert_eq!(senders.acknowledged(), acknowledged, "one node of three acknowledged");

    cluster.nodes[second].start_again();
    senders.go_on("two nodes confirm again").await;
    cluster.nodes[leader].start_again();
    senders.go_on("three nodes confirm again").await;

    stop.cancel();
    sending.join_all().await;
    let mut missing = senders.acknowledged.lock().unwrap().clone();
    let mut consumer = open_consumer(broker(&cluster), ConsumeConfig::default()).await.unwrap();
    while !missing.is_empty() {
        let batch = receive(&mut consumer, &limits(1_000)).await;
        for record in payloads(&batch) {
            missing.remove(&record);
        }
        consumer.ack(batch.through()).await.unwrap();
    }
}
