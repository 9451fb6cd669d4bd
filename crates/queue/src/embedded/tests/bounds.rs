//! The log's size is bounded; it takes records again when enough is consumed.

use super::*;
use crate::PublishError;
use crate::embedded::{open_consumer, open_publisher};

fn two_segments(dir: &Path) -> LogConfig {
    LogConfig { bytes_max: 2 * 16 * 1024, ..small_config(dir) }
}

async fn publish_until_full(publisher: &Publisher) -> usize {
    for number in 0..1000 {
        match publisher.publish(&[&payload(number, 1000)]).await {
            Ok(()) => {}
            Err(PublishError::Full { bytes, bytes_max }) => {
                assert_eq!((bytes, bytes_max), (2 * 16 * 1024, 2 * 16 * 1024));
                return number;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the log never became full");
}

#[tokio::test]
async fn a_full_log_refuses_and_takes_records_again_when_some_are_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(two_segments(dir.path())).unwrap();
    for _ in 0..5 {
        let records = publish_until_full(&publisher).await;
        assert!(records >= 11, "{records}");
        assert!(publisher.stats().unwrap().bytes_on_disk <= 2 * 16 * 1024);
        let waiting = publisher.stats().unwrap().records_waiting;
        drain(&mut consumer, usize::try_from(waiting).unwrap()).await;
        assert_eq!(consumer.stats().unwrap().segments, 1);
    }
}

#[tokio::test]
async fn a_full_log_is_freed_by_a_consumer_that_was_opened_apart() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = open_publisher(two_segments(dir.path())).unwrap();
    let records = publish_until_full(&publisher).await;
    let mut consumer = open_consumer(two_segments(dir.path())).unwrap();
    drain(&mut consumer, records).await;
    publisher.publish(&[b"again"]).await.unwrap();
    assert_eq!(drain(&mut consumer, 1).await, ["again"]);
}

#[tokio::test]
async fn a_full_log_reopens_full() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, consumer) = open(two_segments(dir.path())).unwrap();
    let records = publish_until_full(&publisher).await;
    drop((publisher, consumer));
    let (publisher, mut consumer) = open(two_segments(dir.path())).unwrap();
    assert_eq!(drain(&mut consumer, records).await.len(), records);
    publisher.publish(&[b"again"]).await.unwrap();
}

#[tokio::test]
async fn a_record_larger_than_allowed_is_refused_and_the_largest_allowed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    let refused = publisher.publish(&[&payload(0, 4097)]).await.unwrap_err();
    assert!(matches!(refused, PublishError::TooLarge { bytes: 4097, bytes_max: 4096 }), "{refused}");
    publisher.publish(&[&payload(1, 4096)]).await.unwrap();
    assert_eq!(drain(&mut consumer, 1).await, [payload(1, 4096)]);
}
