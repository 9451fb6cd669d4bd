//! A broker that dies, and one that is in need: each test has a node of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use queue::PublishError;
use queue::rabbitmq::isolation::{CAME_BACK_ALONE_MAX, CAME_BACK_MAX};
use queue::rabbitmq::{PublishConfig, Publisher};

use crate::harness::{Place, limits, payloads, receive};
use testing::rabbitmq::Node;
use testing::{DEADLINE, eventually, eventually_within, soon};

fn answers_within(answer_timeout: Duration) -> PublishConfig {
    PublishConfig { answer_timeout, ..PublishConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_and_started_again_costs_no_record_and_those_who_wait_no_error() {
    let node = Node::start();
    let place = Place::new(&node, "killed");
    let patient = place.publisher(1, answers_within(Duration::from_secs(60))).await;
    let impatient = place.publisher(1, answers_within(Duration::from_millis(300))).await;
    for record in [b"a", b"b"] {
        soon("a confirm", patient.publish(0, &[record])).await.unwrap();
    }
    let mut consumer = place.consumer(1, 100).await;
    let before = receive(&mut consumer, &limits(100)).await;

    node.kill(&place.queue("0"));
    let waiting = patient.publish(0, &[b"waits"]);
    let error = soon("an answer", impatient.publish(0, &[b"is told"])).await.unwrap_err();
    assert!(matches!(error, PublishError::BrokerAway { .. }), "{error:?}");
    assert_eq!(impatient.stats().in_flight_records, 0, "who was told that nothing is stored sends it again");
    node.start_again();

    soon("a confirm", waiting).await.unwrap();
    until_published(&impatient, b"after").await;
    // An attempt that was given up may be stored all the same: a set.
    let mut again = BTreeSet::new();
    while again.len() < 4 {
        let batch = receive(&mut consumer, &limits(100)).await;
        // Of the connection that ended: they do no harm.
        consumer.ack(before.through()).await.unwrap();
        again.extend(payloads(&batch));
        consumer.ack(batch.through()).await.unwrap();
    }
    assert_eq!(payloads(&before), ["a", "b"]);
    assert_eq!(again, ["a", "after", "b", "waits"].map(Bytes::from).into());
    assert_eq!(patient.stats().connects, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_in_need_blocks_and_is_waited_for_and_told_of() {
    let node = Node::start();
    let place = Place::new(&node, "blocked");
    let publisher = place.publisher(1, answers_within(Duration::from_millis(500))).await;
    soon("a confirm", publisher.publish(0, &[b"first"])).await.unwrap();
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    // The broker says that it blocks when something is published.
    let error = loop {
        if let Err(error) = soon("an answer", publisher.publish(0, &[b"blocked"])).await {
            break error;
        }
    };
    assert!(error.to_string().contains("short of memory or disk"), "{error}");
    assert!(publisher.stats().away.is_some());
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    until_published(&publisher, b"after").await;
    assert_eq!(publisher.stats().connects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_in_need_does_not_let_us_take_away_delays_nothing_else_and_is_not_lost() {
    let node = Node::start();
    let place = Place::new(&node, "kept");
    let publisher = place.publisher(1, PublishConfig { framing: false, ..PublishConfig::default() }).await;
    soon("a confirm", publisher.publish(0, &[b"poison"])).await.unwrap();
    place.come_back("0", CAME_BACK_MAX).await;
    for record in [b"a", b"b", b"c"] {
        soon("a confirm", publisher.publish(0, &[record])).await.unwrap();
    }
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);

    let mut consumer = place.consumer(1, 100).await;
    let mut received = Vec::new();
    while received.len() < 3 {
        let batch = receive(&mut consumer, &limits(100)).await;
        received.extend(payloads(&batch));
        // They came behind it, on its channel.
        consumer.ack(batch.through()).await.unwrap();
    }
    assert_eq!(received, ["a", "b", "c"]);
    drop(consumer);
    place.until_ready("0", 1).await;

    let mut consumer = place.consumer(1, 100).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), consumer.receive(&limits(1))).await.is_err());
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    let batch = receive(&mut consumer, &limits(100)).await;
    consumer.ack(batch.through()).await.unwrap();
    assert!(payloads(&batch).iter().all(|record| record == "poison"), "{batch:?}");
    // What the first consumer had sent on a connection that the broker did not read arrives as well, in whatever order.
    eventually("nothing is left", async || {
        while let Ok(batch) =
            tokio::time::timeout(Duration::from_millis(500), receive(&mut consumer, &limits(100))).await
        {
            assert!(payloads(&batch).iter().all(|record| record == "poison"), "{batch:?}");
            consumer.ack(batch.through()).await.unwrap();
        }
        place.ready("0").await + place.ready("alone").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_alone_and_cannot_be_taken_away_keeps_the_lanes_waiting_only_for_a_while() {
    let node = Node::start();
    let place = Place::new(&node, "alone");
    let publisher = place.publisher(1, PublishConfig::default()).await;
    soon("a confirm", publisher.publish(0, &[b"a"])).await.unwrap();
    place.put("alone", b"poison").await;
    place.come_back("alone", CAME_BACK_ALONE_MAX).await;
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);

    let mut consumer = place.consumer(1, 100).await;
    let batch = receive(&mut consumer, &limits(100)).await;
    assert_eq!(payloads(&batch), ["a"]);
    consumer.ack(batch.through()).await.unwrap();
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    let any = limits(100);
    tokio::select! {
        () = place.until_ready("retry.10s", 1) => {}
        batch = receive(&mut consumer, &any) => panic!("it is delivered: {batch:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_confirms_nothing_leaves_no_connections_behind_and_is_found_again() {
    let node = Node::start();
    let place = Place::new(&node, "silent");
    let publisher = place.publisher(2, answers_within(Duration::from_millis(200))).await;
    soon("a confirm", publisher.publish(0, &[b"first"])).await.unwrap();
    let before = sockets();
    let process = format!("'%2F_{}'", place.queue("0"));
    node.ctl(&["eval", &format!("sys:suspend({process}).")]);
    eventually("it is tried again and again", async || {
        let _not_stored = publisher.publish(0, &[b"again"]).await;
        publisher.stats().connects > 12
    })
    .await;
    // The broker waits for their channels, for half a minute.
    let what = "the connections that were given up are closed";
    eventually_within(3 * DEADLINE, what, async || sockets() <= before + 2).await;
    node.ctl(&["eval", &format!("sys:resume({process}).")]);
    until_published(&publisher, b"after").await;
}

/// That this process has open.
fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

async fn until_published(publisher: &Publisher, record: &[u8]) {
    soon("the broker to take a record", async { while publisher.publish(0, &[record]).await.is_err() {} })
        .await;
}
