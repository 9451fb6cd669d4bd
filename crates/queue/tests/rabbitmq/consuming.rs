//! Batches, acknowledgements, and what comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::types::AMQPValue;
use queue::rabbitmq::PublishConfig;

use crate::harness::{Place, limits, payloads, receive};
use testing::soon;

fn one_by_one() -> PublishConfig {
    PublishConfig { framing: false, ..PublishConfig::default() }
}

pub(crate) async fn what_is_not_acknowledged_is_delivered_again_to_another_consumer(place: Place<'_>) {
    let publisher = place.publisher(1, one_by_one()).await;
    for record in [b"a", b"b", b"c"] {
        soon("a confirm", publisher.publish(0, &[record])).await.unwrap();
    }
    let mut first = place.consumer(1, 100).await;
    let batch = receive(&mut first, &limits(2)).await;
    assert_eq!(payloads(&batch), ["a", "b"]);
    first.ack(batch.deliveries()[0].position).await.unwrap();
    drop(first);
    let mut second = place.consumer(1, 100).await;
    let batch = receive(&mut second, &limits(10)).await;
    assert_eq!(payloads(&batch), ["b", "c"]);
    second.ack(batch.through()).await.unwrap();
    drop(second);
    assert_eq!(place.ready("0").await, 0);
}

pub(crate) async fn a_position_that_was_not_received_cannot_be_acknowledged(place: Place<'_>) {
    let publisher = place.publisher(1, one_by_one()).await;
    soon("a confirm", publisher.publish(0, &[b"a"])).await.unwrap();
    let mut first = place.consumer(1, 10).await;
    let through = receive(&mut first, &limits(1)).await.through();
    let error = place.consumer(1, 10).await.ack(through).await.unwrap_err();
    assert_eq!(error.to_string(), "position 1 cannot be acknowledged: only 0 was received so far");
}

pub(crate) async fn two_consumers_share_the_work(place: Place<'_>) {
    let publisher = place.publisher(1, one_by_one()).await;
    let (mut first, mut second) = (place.consumer(1, 2).await, place.consumer(1, 2).await);
    for number in 0..8_u8 {
        soon("a confirm", publisher.publish(0, &[&[number]])).await.unwrap();
    }
    // Neither is given more than two before it has acknowledged one.
    let batches = [receive(&mut first, &limits(1)).await, receive(&mut second, &limits(1)).await];
    first.ack(batches[0].through()).await.unwrap();
    second.ack(batches[1].through()).await.unwrap();
    let mut received: Vec<_> = batches.iter().flat_map(payloads).collect();
    let one = limits(1);
    while received.len() < 8 {
        tokio::select! {
            batch = receive(&mut first, &one) => {
                received.extend(payloads(&batch));
                first.ack(batch.through()).await.unwrap();
            }
            batch = receive(&mut second, &one) => {
                received.extend(payloads(&batch));
                second.ack(batch.through()).await.unwrap();
            }
        }
    }
    received.sort();
    assert_eq!(received, (0..8_u8).map(|number| vec![number]).collect::<Vec<_>>());
}

pub(crate) async fn a_flood_in_one_lane_leaves_the_other_its_share_of_the_next_batch(place: Place<'_>) {
    let publisher = place.publisher(2, one_by_one()).await;
    let flood: Vec<_> = (0..500).map(|_| publisher.publish(0, &[b"flood"])).collect();
    for published in flood {
        soon("a confirm", published).await.unwrap();
    }
    soon("a confirm", publisher.publish(1, &[b"other"])).await.unwrap();
    let mut consumer = place.consumer(2, 200).await;
    let mut batches = 0;
    loop {
        let batch = receive(&mut consumer, &limits(50)).await;
        batches += 1;
        if payloads(&batch).iter().any(|record| record == "other") {
            break;
        }
    }
    assert!(batches <= 2, "it came in batch {batches}");
}

pub(crate) async fn a_small_prefetch_is_handed_out_at_once_and_acknowledging_brings_more(place: Place<'_>) {
    let publisher = place.publisher(1, one_by_one()).await;
    for number in 0..6_u8 {
        soon("a confirm", publisher.publish(0, &[&[number]])).await.unwrap();
    }
    let mut consumer = place.consumer(1, 4).await;
    let mut patient = limits(1_000);
    patient.linger = Duration::from_secs(3_600);
    let first = receive(&mut consumer, &patient).await;
    let second = receive(&mut consumer, &patient).await;
    assert!(first.deliveries().len() >= 2 && first.deliveries().len() + second.deliveries().len() <= 4);
    consumer.ack(second.through()).await.unwrap();
    let third = receive(&mut consumer, &patient).await;
    assert_eq!(third.through().as_u64() - second.through().as_u64(), third.deliveries().len() as u64);
}

pub(crate) async fn a_record_that_ends_every_consumer_is_found_in_its_frame_rests_and_is_dead_and_all_others_are_stored(
    place: Place<'_>,
) {
    let quick = || place.topology(1).with_retry_delays([1, 2, 3].map(Duration::from_millis).to_vec());
    let publisher = place.publisher(1, PublishConfig::default()).await;
    let records: Vec<_> =
        (0..10).map(|number| if number == 6 { b"poison".to_vec() } else { vec![number] }).collect();
    let published: Vec<_> = records.iter().map(|record| publisher.publish(0, &[record])).collect();
    for published in published {
        soon("a confirm", published).await.unwrap();
    }

    let mut stored = BTreeSet::new();
    let mut ended = 0;
    let mut consumer = place.consumer_of(quick(), 1, 10).await;
    while stored.len() < 9 || place.ready("dead").await == 0 {
        assert!(ended < 40, "{ended} consumers ended, {} records stored", stored.len());
        let Ok(batch) =
            tokio::time::timeout(Duration::from_millis(500), receive(&mut consumer, &limits(100))).await
        else {
            continue;
        };
        if payloads(&batch).iter().any(|record| record == "poison") {
            ended += 1;
            drop(consumer);
            consumer = place.consumer_of(quick(), 1, 10).await;
            continue;
        }
        stored.extend(payloads(&batch));
        consumer.ack(batch.through()).await.unwrap();
    }
    assert!(!stored.contains(b"poison".as_slice()));
    // In its lane, alone in its frame, and alone before each rest and after the last.
    assert_eq!(ended, 5 + 3 + 3 * 4);
    let dead = place.get("dead").await;
    assert_eq!(dead.data, b"poison");
    let headers = dead.properties.headers().as_ref().unwrap().inner();
    let AMQPValue::LongString(reason) = &headers["x-tillwatch-reason"] else { panic!("{headers:?}") };
    assert_eq!(reason.to_string(), "came back 3 times alone without being stored");
}

/// Whatever lies in a lane: nothing is acknowledged here, so the broker delivers no more of it than the prefetch says, and
/// what lies in another lane comes before that is exhausted.
pub(crate) async fn a_backlog_in_one_lane_is_no_queue_for_the_other(place: Place<'_>) {
    const BACKLOG: usize = 100_000;
    const PREFETCH: u16 = 50;
    let config = PublishConfig::default();
    let delivered_max = usize::from(PREFETCH) * config.frame_records_max;
    let publisher = place.publisher(2, config).await;
    for _ in 0..BACKLOG / 5_000 {
        let flood: Vec<_> = (0..5_000).map(|_| publisher.publish(0, &[b"flood"])).collect();
        for published in flood {
            soon("a confirm", published).await.unwrap();
        }
    }
    soon("a confirm", publisher.publish(1, &[b"other"])).await.unwrap();
    let mut consumer = place.consumer(2, PREFETCH).await;
    let mut before = 0;
    loop {
        let batch = payloads(&receive(&mut consumer, &limits(500)).await);
        if let Some(others) = batch.iter().position(|record| record == "other") {
            before += others;
            break;
        }
        before += batch.len();
    }
    assert!(before <= delivered_max, "{before} records of the backlog came first");
}
