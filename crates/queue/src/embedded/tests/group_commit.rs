//! Many records share one sync, and each waits for its own.

use super::*;
use crate::PublishError;
use crate::embedded::{Commit, CommitObserver};
use std::sync::Mutex;
use tokio::task::JoinSet;

#[derive(Debug, Default)]
struct Commits(Mutex<Vec<usize>>);

impl CommitObserver for Commits {
    fn committed(&self, commit: &Commit) {
        self.0.lock().unwrap().push(commit.records);
    }
}

#[tokio::test]
async fn what_arrives_during_a_sync_is_committed_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let commits = Arc::new(Commits::default());
    let observer = Arc::clone(&commits) as Arc<dyn CommitObserver>;
    let config = LogConfig { observer: Some(observer), ..small_config(dir.path()) };
    let (publisher, mut consumer) = open_faulty(config, &disk);
    publish_all(&publisher, 0..1, 100).await;

    disk.hold_syncs();
    let mut publishes = JoinSet::new();
    let publish = |publishes: &mut JoinSet<_>, number| {
        let publisher = publisher.clone();
        publishes.spawn(async move { publisher.publish(&[&payload(number, 100)]).await });
    };
    publish(&mut publishes, 1);
    tokio::task::yield_now().await;
    disk.wait_until_held();
    for number in 2..22 {
        publish(&mut publishes, number);
    }
    tokio::task::yield_now().await;
    assert_eq!(publisher.stats().unwrap().in_flight_records, 21);
    assert!(publishes.try_join_next().is_none(), "nobody is answered before the sync");
    disk.release_syncs();
    while let Some(published) = soon(publishes.join_next()).await {
        published.unwrap().unwrap();
    }

    assert_eq!(*commits.0.lock().unwrap(), [1, 1, 20]);
    let stats = publisher.stats().unwrap();
    assert_eq!((stats.commits, stats.records, stats.last_commit_records), (3, 22, 20));
    assert_eq!((stats.in_flight_records, stats.in_flight_bytes), (0, 0));
    assert_eq!(drain(&mut consumer, 22).await.len(), 22);
}

#[tokio::test]
async fn the_consumer_in_the_same_process_sees_nothing_before_it_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
    publish_all(&publisher, 0..1, 100).await;
    disk.hold_syncs();
    let mut publishes = JoinSet::new();
    let second = publisher.clone();
    publishes.spawn(async move { second.publish(&[&payload(1, 100)]).await });
    tokio::task::yield_now().await;
    disk.wait_until_held();
    assert_eq!(receive(&mut consumer, 10).await.deliveries().len(), 1, "the second is written, not synced");
    disk.release_syncs();
    assert_eq!(receive(&mut consumer, 10).await.deliveries()[0].payload, payload(1, 100));
}

#[tokio::test]
async fn what_may_wait_is_bounded_by_records_and_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let config =
        LogConfig { in_flight_records_max: 5, in_flight_bytes_max: 9000, ..small_config(dir.path()) };
    let (publisher, _consumer) = open_faulty(config, &disk);
    for (record_bytes, admitted) in [(100, 5), (4000, 2)] {
        disk.hold_syncs();
        let mut publishes = JoinSet::new();
        for number in 0..admitted {
            let publisher = publisher.clone();
            publishes.spawn(async move { publisher.publish(&[&payload(number, record_bytes)]).await });
        }
        tokio::task::yield_now().await;
        disk.wait_until_held();
        let refused = publisher.publish(&[&payload(9, record_bytes)]).await.unwrap_err();
        let PublishError::Overloaded { records, bytes } = refused else { panic!("{refused}") };
        assert_eq!((records, bytes), (admitted, admitted * record_bytes));
        disk.release_syncs();
        while let Some(published) = soon(publishes.join_next()).await {
            published.unwrap().unwrap();
        }
        publish_all(&publisher, 0..1, record_bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publishers_at_once_each_get_their_record_in() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) =
        open(LogConfig { bytes_max: 1 << 30, ..small_config(dir.path()) }).unwrap();
    let mut publishers = JoinSet::new();
    for task in 0..32 {
        let publisher = publisher.clone();
        publishers.spawn(async move {
            for number in 0..50 {
                publisher.publish(&[&payload(task * 50 + number, 300)]).await.unwrap();
            }
        });
    }
    let mut received = drain(&mut consumer, 1600).await;
    while let Some(published) = publishers.join_next().await {
        published.unwrap();
    }
    let mut expected: Vec<Bytes> = (0..1600).map(|number| payload(number, 300)).collect();
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    let stats = publisher.stats().unwrap();
    assert!(stats.commits < stats.records, "{stats:?}");
}

#[derive(Debug)]
struct Defective;

impl CommitObserver for Defective {
    fn committed(&self, _commit: &Commit) {
        panic!("a defect");
    }
}

/// Its record may be stored: it is not told so, and comes again.
#[tokio::test]
async fn nobody_waits_for_a_committing_thread_that_panicked() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { observer: Some(Arc::new(Defective)), ..small_config(dir.path()) };
    let (publisher, _consumer) = open(config).unwrap();
    let publishes = (0..3).map(|number| publisher.publish(&[&payload(number, 100)]));
    for published in publishes.collect::<Vec<_>>() {
        assert!(matches!(soon(published).await, Err(PublishError::Closed)));
    }
    assert!(matches!(publisher.publish(&[b"later"]).await, Err(PublishError::Closed)));
    soon(publisher.close()).await;
}
