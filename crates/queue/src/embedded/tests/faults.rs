//! A disk that is full or fails: the publishers concerned are told, and the log goes on by itself.

use super::*;
use crate::PublishError;
use crate::embedded::Damage;
use crate::embedded::directory::list_freeing;
use std::process::Command;

/// Publishes 1000-byte records until one is refused; returns how many were stored and the refusal.
async fn publish_until_refused(publisher: &Publisher, from: usize) -> (usize, PublishError) {
    for number in from..from + 10_000 {
        if let Err(error) = soon(publisher.publish(&[&payload(number, 1000)])).await {
            return (number - from, error);
        }
    }
    panic!("nothing was ever refused");
}

async fn expect_everything(consumer: &mut Consumer, numbers: impl IntoIterator<Item = usize>) {
    let expected: Vec<Bytes> = numbers.into_iter().map(|number| payload(number, 1000)).collect();
    assert_eq!(drain(consumer, expected.len()).await, expected);
    assert_eq!(consumer.stats().unwrap().damage, Damage::default());
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_log_goes_on_when_space_returns() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
    disk.set_free_bytes(Some(3 * 16 * 1024));
    let (stored, refusal) = publish_until_refused(&publisher, 0).await;
    assert!(refusal.is_disk_full(), "{refusal:?}");
    assert_eq!(segments(dir.path()).len(), 3);
    assert!(publisher.publish(&[b"still full"]).await.unwrap_err().is_disk_full());

    disk.set_free_bytes(Some(2 * 16 * 1024));
    let (more, _) = publish_until_refused(&publisher, stored).await;
    assert!(more > 0, "space returned");
    assert_eq!(publisher.stats().unwrap().failures, 3);
    expect_everything(&mut consumer, 0..stored + more).await;
    wait_until_freed(dir.path()).await;
    publish_all(&publisher, 0..1, 1000).await;
    expect_everything(&mut consumer, 0..1).await;
}

/// Waits until no consumed segment takes space.
async fn wait_until_freed(dir: &Path) {
    soon(async {
        while !list_freeing(dir).unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Consumes some segments of a log of this disk, and waits until they take no space. Returns how many were consumed and
/// how many cuts that took.
async fn consume_segments(disk: &Arc<FaultyDisk>) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), disk);
    publish_all(&publisher, 0..75, 1000).await;
    let consumed = segments(dir.path()).len() - 1;
    assert!(consumed >= 5, "{consumed}");
    expect_everything(&mut consumer, 0..75).await;
    assert_eq!(segments(dir.path()).len(), 1, "they lose their names at once");
    wait_until_freed(dir.path()).await;
    assert_eq!(publisher.stats().unwrap().bytes_on_disk, 16 * 1024);
    (consumed, disk.cuts())
}

#[tokio::test]
async fn what_is_consumed_is_freed_in_steps() {
    let (consumed, cuts) = consume_segments(&Arc::new(FaultyDisk::default())).await;
    assert_eq!(cuts, consumed * 3, "of four steps the last is the removal");
}

#[tokio::test]
async fn what_cannot_be_freed_in_steps_is_removed() {
    let disk = Arc::new(FaultyDisk::default());
    disk.fail_next_cuts(usize::MAX);
    assert_eq!(consume_segments(&disk).await.1, 0);
}

/// A file system of one MiB: the real thing where mounting is permitted.
struct TinyFileSystem {
    dir: tempfile::TempDir,
    mounted: bool,
}

impl TinyFileSystem {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tillwatch-test"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        Self { dir, mounted }
    }

    /// A disk to open the log on: where nothing may be mounted, a real one with a limit of its own.
    fn disk(&self) -> Arc<dyn super::super::Disk> {
        if self.mounted {
            return Arc::new(super::super::RealDisk);
        }
        let disk = FaultyDisk::default();
        disk.set_free_bytes(Some(1024 * 1024));
        Arc::new(disk)
    }
}

impl Drop for TinyFileSystem {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = Command::new("umount").arg(self.dir.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()));
        }
    }
}

#[tokio::test]
async fn a_file_system_that_is_really_full_costs_nothing_that_was_acknowledged() {
    let small = TinyFileSystem::new();
    let config = LogConfig {
        segment_bytes: 64 * 1024,
        bytes_max: 1 << 30,
        record_bytes_max: 4096,
        ..LogConfig::new(small.dir.path().join("log"))
    };
    let (publisher, mut consumer) = open_on(config.clone(), &small.disk()).unwrap();
    let (mut stored, refusal) = publish_until_refused(&publisher, 0).await;
    assert!(refusal.is_disk_full(), "{refusal:?}");
    assert!(stored > 500, "{stored}");

    // Consuming frees the space, without a restart.
    expect_everything(&mut consumer, 0..400).await;
    wait_until_freed(&config.dir).await;
    let (more, refusal) = publish_until_refused(&publisher, stored).await;
    assert!(refusal.is_disk_full(), "{refusal:?}");
    assert!(more > 300, "{more}");
    stored += more;

    // A log on a full disk opens, and delivers.
    drop((publisher, consumer));
    let (publisher, mut consumer) = open_on(config, &small.disk()).unwrap();
    expect_everything(&mut consumer, 400..stored).await;
    publish_all(&publisher, stored..stored + 10, 1000).await;
    expect_everything(&mut consumer, stored..stored + 10).await;
}

#[tokio::test]
async fn after_a_failed_sync_the_log_starts_a_fresh_segment() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
    publish_all(&publisher, 0..3, 1000).await;
    disk.fail_next_syncs(1);
    let refused = publisher.publish(&[&payload(3, 1000)]).await.unwrap_err();
    assert!(matches!(refused, PublishError::Storage(_)) && !refused.is_disk_full(), "{refused:?}");
    publish_all(&publisher, 4..7, 1000).await;
    assert_eq!(segments(dir.path()).len(), 2);
    expect_everything(&mut consumer, [0, 1, 2, 4, 5, 6]).await;
}

#[tokio::test]
async fn a_failed_sync_of_a_segments_first_records_leaves_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
    for failing in 1..4 {
        disk.fail_next_syncs(failing);
        for _ in 0..failing {
            publisher.publish(&[&payload(0, 1000)]).await.unwrap_err();
        }
        assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
    }
    publish_all(&publisher, 1..2, 1000).await;
    expect_everything(&mut consumer, [1]).await;
}

#[tokio::test]
async fn a_write_that_fails_half_way_leaves_nothing_to_stumble_over() {
    for cut_fails in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
        publish_all(&publisher, 0..3, 1000).await;
        disk.fail_next_writes(1);
        disk.fail_next_cuts(cut_fails);
        assert!(publisher.publish(&[&payload(3, 1000)]).await.unwrap_err().is_disk_full());
        publish_all(&publisher, 4..6, 1000).await;
        drop((publisher, consumer));
        (_, consumer) = open(small_config(dir.path())).unwrap();
        expect_everything(&mut consumer, [0, 1, 2, 4, 5]).await;
    }
}

#[tokio::test]
async fn a_failed_acknowledgement_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let (publisher, mut consumer) = open_faulty(small_config(dir.path()), &disk);
    publish_all(&publisher, 0..30, 1000).await;
    let batch = receive(&mut consumer, 30).await;
    disk.fail_next_writes(1);
    consumer.ack(batch.through()).await.unwrap_err();
    disk.fail_next_syncs(1);
    consumer.ack(batch.through()).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 3, "nothing is deleted before the position is durable");
    consumer.ack(batch.through()).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_disk_that_hangs_is_told_in_time_and_the_log_goes_on_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let config = LogConfig { answer_timeout: Duration::from_millis(20), ..small_config(dir.path()) };
    let (publisher, mut consumer) = open_faulty(config, &disk);
    disk.hold_syncs();
    let being_committed = publisher.publish(&[&payload(0, 1000)]);
    disk.wait_until_held();
    let waiting = publisher.publish(&[&payload(1, 1000)]);
    for unanswered in [soon(being_committed).await, soon(waiting).await] {
        assert!(matches!(unanswered, Err(PublishError::TimedOut { .. })), "{unanswered:?}");
    }
    disk.release_syncs();
    let again = async { while publisher.publish(&[&payload(2, 1000)]).await.is_err() {} };
    soon(again).await;
    expect_everything(&mut consumer, 0..3).await;
}

#[tokio::test]
async fn closing_a_log_whose_disk_hangs_still_answers_its_publishers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let config = LogConfig { answer_timeout: Duration::from_millis(20), ..small_config(dir.path()) };
    let (publisher, _consumer) = open_faulty(config, &disk);
    disk.hold_syncs();
    let unanswered = publisher.publish(&[&payload(0, 1000)]);
    let mut closing = tokio::task::JoinSet::new();
    closing.spawn(async move { publisher.close().await });
    assert!(matches!(soon(unanswered).await, Err(PublishError::TimedOut { .. })));
    assert!(closing.try_join_next().is_none(), "what was admitted is still being committed");
    disk.release_syncs();
    soon(closing.join_all()).await;
}
