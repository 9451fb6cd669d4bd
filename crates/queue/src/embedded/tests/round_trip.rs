//! Records go in and come out, over reopening, with and without acknowledgement.

use super::*;
use crate::embedded::{open_consumer, open_publisher};
use crate::{ConsumeError, OpenError, Position, PublishError};

#[tokio::test]
async fn records_come_out_as_they_went_in_across_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    let sizes = [0, 1, 7, 8, 9, 100, 2500, 4096];
    let record =
        |number: usize| Bytes::from(vec![b'a' + number.to_le_bytes()[0] % 26; sizes[number % sizes.len()]]);
    for number in 0..200 {
        publisher.publish(&[&record(number)]).await.unwrap();
    }
    assert!(segments(dir.path()).len() > 5);
    let received = drain(&mut consumer, 200).await;
    assert_eq!(received, (0..200).map(record).collect::<Vec<_>>());
    assert_eq!(segments(dir.path()).len(), 1, "what is consumed is deleted");
    assert_eq!(publisher.stats().unwrap().records_waiting, 0);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_what_is_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    publish_all(&publisher, 0..50, 1000).await;
    let first = receive(&mut consumer, 20).await;
    let second = receive(&mut consumer, 20).await;
    assert_eq!(second.deliveries()[0].payload, payload(20, 1000), "read on without an acknowledgement");
    consumer.ack(first.through()).await.unwrap();
    drop((publisher, consumer));

    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    assert_eq!(publisher.stats().unwrap().records_waiting, 30);
    let again = receive(&mut consumer, 100).await;
    assert_eq!(again.deliveries().len(), 30);
    assert_eq!(again.deliveries()[0].payload, payload(20, 1000));
    assert!(again.deliveries()[0].position > first.through());
    publish_all(&publisher, 50..51, 1000).await;
    assert!(receive(&mut consumer, 1).await.through() > again.through(), "positions grow over restarts");
}

#[tokio::test]
async fn acknowledging_twice_or_backwards_changes_nothing_and_ahead_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    publish_all(&publisher, 0..10, 10).await;
    let first = receive(&mut consumer, 4).await;
    let second = receive(&mut consumer, 4).await;
    consumer.ack(second.through()).await.unwrap();
    consumer.ack(first.through()).await.unwrap();
    assert_eq!(consumer.stats().unwrap().acked_position, second.through().as_u64());
    let ahead = consumer.ack(Position(9)).await.unwrap_err();
    assert!(matches!(ahead, ConsumeError::NotReceived { position: 9, received: 8 }), "{ahead}");
}

#[tokio::test]
async fn a_batch_is_complete_by_records_or_bytes_and_an_oversized_record_comes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    publish_all(&publisher, 0..10, 1000).await;
    publish_all(&publisher, 10..11, 4000).await;
    let by_bytes = BatchLimits { records_max: 100, bytes_max: 3500, linger: Duration::from_hours(1) };
    for expected in [3, 3, 3] {
        let batch = soon(consumer.receive(&by_bytes)).await.unwrap();
        assert_eq!(batch.deliveries().len(), expected);
        assert_eq!(batch.payload_bytes(), expected * 1000);
    }
    let batch = soon(consumer.receive(&by_bytes)).await.unwrap();
    assert_eq!(batch.deliveries().len(), 1, "the next one would exceed the bytes");
    let batch = soon(consumer.receive(&by_bytes)).await.unwrap();
    assert_eq!(batch.payload_bytes(), 4000);
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_batch_is_handed_out_after_the_linger_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    let limits = BatchLimits { records_max: 3, bytes_max: usize::MAX, linger: Duration::from_mins(1) };
    // Not through `publish_all`: its deadlines would pass while the disk is waited for.
    for number in 0..2 {
        publisher.publish(&[&payload(number, 10)]).await.unwrap();
    }
    let started = tokio::time::Instant::now();
    let batch = consumer.receive(&limits).await.unwrap();
    assert_eq!(batch.deliveries().len(), 2);
    assert!(started.elapsed() >= limits.linger, "{:?}", started.elapsed());

    for number in 2..5 {
        publisher.publish(&[&payload(number, 10)]).await.unwrap();
    }
    let started = tokio::time::Instant::now();
    assert_eq!(consumer.receive(&limits).await.unwrap().deliveries().len(), 3);
    assert!(started.elapsed() < limits.linger, "a full batch does not linger");
}

#[tokio::test]
async fn a_dropped_receive_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    publish_all(&publisher, 0..30, 100).await;
    let patient = BatchLimits { records_max: 100, bytes_max: usize::MAX, linger: Duration::from_hours(1) };
    for turns in 0..20 {
        // Dropped after a different number of polls each time.
        let mut receive = Box::pin(consumer.receive(&patient));
        for _ in 0..turns {
            tokio::select! {
                biased;
                batch = &mut receive => panic!("{batch:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let received = drain(&mut consumer, 30).await;
    assert_eq!(received, (0..30).map(|number| payload(number, 100)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_a_publish() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    let limits = limits(10);
    let (batch, ()) = soon(async {
        tokio::join!(consumer.receive(&limits), async {
            tokio::task::yield_now().await;
            publisher.publish(&[b"hello"]).await.unwrap();
        })
    })
    .await;
    assert_eq!(&batch.unwrap().deliveries()[0].payload[..], b"hello");
}

#[tokio::test]
async fn sides_opened_apart_meet_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut consumer = open_consumer(small_config(dir.path())).unwrap();
    let publisher = open_publisher(small_config(dir.path())).unwrap();
    for round in 0..5 {
        let numbers = round * 40..(round + 1) * 40;
        publish_all(&publisher, numbers.clone(), 1000).await;
        let received = drain(&mut consumer, 40).await;
        assert_eq!(received, numbers.map(|number| payload(number, 1000)).collect::<Vec<_>>());
    }
    assert_eq!(segments(dir.path()).len(), 1);
    assert_eq!(consumer.stats().unwrap().records_waiting, None);
    assert_eq!(publisher.stats().unwrap().records_waiting, 0);
    assert_eq!(consumer.stats().unwrap().damage, super::super::Damage::default());
}

#[tokio::test]
async fn a_writer_may_come_and_go_while_the_reader_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut consumer = open_consumer(small_config(dir.path())).unwrap();
    for round in 0..6 {
        let publisher = open_publisher(small_config(dir.path())).unwrap();
        let numbers = round * 7..(round + 1) * 7;
        publish_all(&publisher, numbers.clone(), 1000).await;
        drop(publisher);
        let received = drain(&mut consumer, 7).await;
        assert_eq!(received, numbers.map(|number| payload(number, 1000)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn each_side_is_open_once_and_free_again_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, consumer) = open(small_config(dir.path())).unwrap();
    let second = open_publisher(small_config(dir.path())).unwrap_err();
    assert!(matches!(second, OpenError::Locked { role: "writer", .. }), "{second}");
    let second = open_consumer(small_config(dir.path())).unwrap_err();
    assert!(matches!(second, OpenError::Locked { role: "reader", .. }), "{second}");
    drop((publisher, consumer));
    open(small_config(dir.path())).unwrap();
}

#[tokio::test]
async fn a_closed_publisher_has_answered_everyone_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    let admitted = publisher.publish(&[b"last words"]);
    let (admitted, ()) = soon(async { tokio::join!(admitted, publisher.close()) }).await;
    admitted.unwrap();
    assert!(matches!(publisher.publish(&[b"late"]).await, Err(PublishError::Closed)));
    assert_eq!(drain(&mut consumer, 1).await, ["last words"]);
}

#[tokio::test]
async fn a_segment_of_a_later_version_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    written_log(dir.path(), 1, 10).await;
    let segment = &segments(dir.path())[0];
    let mut bytes = std::fs::read(segment).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(segment, bytes).unwrap();
    let error = open(small_config(dir.path())).unwrap_err();
    assert!(matches!(&error, OpenError::UnknownVersion { found: 2, .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000001.segment"), "{error}");
}
