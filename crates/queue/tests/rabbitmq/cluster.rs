//! Three nodes, of which some go: what was acknowledged is consumed all the same.

use std::time::{Duration, Instant};

use queue::rabbitmq::{Addresses, BrokerConfig, PublishConfig, open_publisher};
use testing::rabbitmq::Cluster;
use testing::{eventually, soon};

use crate::harness::Place;
use crate::traffic::Traffic;

/// A majority that is elected again within this time refuses nobody.
const PATIENT: Duration = Duration::from_secs(30);
const IMPATIENT: Duration = Duration::from_secs(2);

fn broker(cluster: &Cluster, name: &'static str) -> BrokerConfig {
    let addresses = Addresses::parse(&cluster.urls("guest:guest")).unwrap();
    BrokerConfig { addresses, ..Place::new(&cluster.nodes()[0], name).broker(1) }
}

fn answers_within(answer_timeout: Duration) -> PublishConfig {
    PublishConfig { answer_timeout, ..PublishConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_nodes_go_what_was_acknowledged_is_consumed_and_without_a_majority_nothing_is_acknowledged()
{
    let cluster = Cluster::start();
    a_rolling_restart_refuses_nobody(&cluster).await;
    let dead = a_killed_leader_refuses_nobody(&cluster).await;
    a_minority_acknowledges_nothing(&cluster, dead).await;
}

/// One node after the other, each when the queue has its copies on all again.
async fn a_rolling_restart_refuses_nobody(cluster: &Cluster) {
    let traffic = Traffic::start(broker(cluster, "rolling"), answers_within(PATIENT)).await;
    assert_eq!(cluster.members("rolling.0"), [0, 1, 2]);
    for (index, node) in cluster.nodes().iter().enumerate() {
        traffic.flows().await;
        let leads = cluster.leader("rolling.0") == index;
        traffic.forget_the_longest();
        node.stop();
        if index == 0 {
            a_queue_declared_without_a_node_has_it_as_member(cluster).await;
        }
        node.start_again();
        eventually("all copies are there", async || cluster.online("rolling.0") == [0, 1, 2]).await;
        traffic.flows().await;
        let what = if leads { "the leader" } else { "a follower" };
        eprintln!("{what} stopped and started: the longest answer took {:?}", traffic.longest());
    }
    assert_eq!(traffic.refused(), 0);
    traffic.all_acknowledged_is_consumed().await;
    let with_all = async || cluster.online("early.0") == [0, 1, 2];
    eventually("the node has its copy of what was declared without it", with_all).await;
}

/// Node 0 is away.
async fn a_queue_declared_without_a_node_has_it_as_member(cluster: &Cluster) {
    let publisher = open_publisher(broker(cluster, "early"), answers_within(PATIENT)).await.unwrap();
    soon("a confirm", publisher.publish(0, &[b"x"])).await.unwrap();
    assert_eq!((cluster.members("early.0"), cluster.online("early.0")), (vec![0, 1, 2], vec![1, 2]));
}

/// Which node it was; it stays dead.
async fn a_killed_leader_refuses_nobody(cluster: &Cluster) -> usize {
    let traffic = Traffic::start(broker(cluster, "killed"), answers_within(PATIENT)).await;
    traffic.flows().await;
    let leader = cluster.leader("killed.0");
    traffic.forget_the_longest();
    cluster.nodes()[leader].kill("killed.0");
    traffic.flows().await;
    eprintln!("leader killed -9: the longest answer took {:?}", traffic.longest());
    assert_eq!(traffic.refused(), 0);
    traffic.all_acknowledged_is_consumed().await;
    leader
}

async fn a_minority_acknowledges_nothing(cluster: &Cluster, dead: usize) {
    let queue = "killed.0";
    let traffic = Traffic::start(broker(cluster, "killed"), answers_within(IMPATIENT)).await;
    traffic.flows().await;
    let leader = cluster.leader(queue);
    cluster.nodes()[leader].kill(queue);
    let before = traffic.refused();
    eventually("it is refused", async || traffic.refused() > before).await;
    let acknowledged = traffic.acknowledged();
    eventually("it is refused again and again", async || traffic.refused() > before + 50).await;
    assert_eq!(traffic.acknowledged(), acknowledged, "acknowledged by a minority");

    let mended = Instant::now();
    cluster.nodes()[leader].start_again();
    traffic.flows().await;
    eprintln!("majority back: it confirms again {:?} after the node was started", mended.elapsed());
    cluster.nodes()[dead].start_again();
    eventually("all copies are there", async || cluster.online(queue) == [0, 1, 2]).await;
    traffic.flows().await;
    traffic.all_acknowledged_is_consumed().await;
}
