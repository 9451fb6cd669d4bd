//! An interrupted write is cut, whatever is left of it, and nothing before it is lost.

use super::*;
use crate::embedded::directory::set_aside_path;
use crate::embedded::format::{HEADER_PAGE_BYTES, record_bytes};
use crate::embedded::{Damage, Defect};
use rand::{Rng, SeedableRng};
use std::fs;

const RECORDS: usize = 5;
const BYTES: usize = 60;

/// A log of five records whose segment was not closed: zeros follow, as after a kill.
struct Written {
    dir: tempfile::TempDir,
    segment: PathBuf,
    bytes: Vec<u8>,
    /// Where each record starts, and where the last one ends.
    starts: Vec<usize>,
}

impl Written {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        written_log(dir.path(), RECORDS, BYTES).await;
        let segment = segments(dir.path()).remove(0);
        let mut bytes = fs::read(&segment).unwrap();
        bytes.resize(16 * 1024, 0);
        let starts = (0..=RECORDS).map(|number| HEADER_PAGE_BYTES + number * record_bytes(BYTES)).collect();
        Self { dir, segment, bytes, starts }
    }

    /// Puts the segment's content back, spoiled by a function, in an otherwise fresh directory.
    fn spoil(&self, spoil: impl FnOnce(&mut Vec<u8>)) {
        fs::remove_dir_all(self.dir.path()).unwrap();
        fs::create_dir(self.dir.path()).unwrap();
        let mut bytes = self.bytes.clone();
        spoil(&mut bytes);
        fs::write(&self.segment, bytes).unwrap();
    }

    /// Opens the log: so many records must be left, a new one must fit behind them, and what was
    /// cut is what the publisher says it was.
    async fn check(&self, whole: usize, what: &str) {
        let tail = self.tail(whole);
        let (publisher, mut consumer) = open(small_config(self.dir.path())).unwrap();
        match (&publisher.recovery().cut, tail.is_empty()) {
            (None, true) => {}
            (Some(cut), false) => {
                assert_eq!(cut.offset, self.starts[whole] as u64, "{what}");
                assert_eq!(fs::read(cut.kept_in.as_ref().unwrap()).unwrap(), tail, "{what}");
                assert_ne!(cut.reason, Defect::HeaderUnreadable, "{what}");
            }
            (cut, _) => panic!("{what}: {cut:?} for a tail of {} bytes", tail.len()),
        }
        publisher.publish(&[b"new"]).await.unwrap();
        let received = drain(&mut consumer, whole + 1).await;
        let mut expected: Vec<Bytes> = (0..whole).map(|number| payload(number, BYTES)).collect();
        expected.push("new".into());
        assert_eq!(received, expected, "{what}");
        assert_eq!(consumer.stats().unwrap().damage, Damage::default(), "{what}");
    }

    /// What stands behind the records that are whole, without the zeros at the end.
    fn tail(&self, whole: usize) -> Vec<u8> {
        let mut tail = fs::read(&self.segment).unwrap();
        let written = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        tail.truncate(written);
        tail.drain(..self.starts[whole].min(tail.len()));
        tail
    }

    /// How many records are whole if only the bytes before `at` are.
    fn whole_before(&self, at: usize) -> usize {
        (0..RECORDS).filter(|number| self.starts[*number] + 24 + BYTES <= at).count()
    }

    /// Every place in the last two records, and their end.
    fn places(&self) -> std::ops::RangeInclusive<usize> {
        self.starts[RECORDS - 2]..=self.starts[RECORDS]
    }
}

#[tokio::test]
async fn a_segment_that_ends_at_any_byte_of_its_last_records_keeps_the_ones_before() {
    let written = Written::new().await;
    for at in written.places() {
        written.spoil(|bytes| bytes.truncate(at));
        written.check(written.whole_before(at), &format!("truncated at {at}")).await;
    }
}

#[tokio::test]
async fn a_segment_that_is_zeros_from_any_byte_of_its_last_records_keeps_the_ones_before() {
    let written = Written::new().await;
    for at in written.places() {
        written.spoil(|bytes| bytes[at..].fill(0));
        // The bytes behind `at` may have been zeros before.
        let mut zeroed = written.bytes.clone();
        zeroed[at..].fill(0);
        let whole = (0..RECORDS)
            .filter(|number| {
                let end = written.starts[*number] + 24 + BYTES;
                zeroed[..end] == written.bytes[..end]
            })
            .count();
        written.check(whole, &format!("zeros from {at}")).await;
    }
}

#[tokio::test]
async fn a_segment_that_is_garbage_from_any_byte_of_its_last_records_keeps_the_ones_before() {
    let written = Written::new().await;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for at in written.places() {
        written.spoil(|bytes| {
            // Unlike what was there at the first byte, so that the record is surely spoiled.
            let first = bytes[at];
            rng.fill_bytes(&mut bytes[at..]);
            bytes[at] = if bytes[at] == first || bytes[at] == 0 { first ^ 0x55 } else { bytes[at] };
            let last = bytes.len() - 1;
            bytes[last] |= 1;
        });
        written.check(written.whole_before(at), &format!("garbage from {at}")).await;
    }
}

#[tokio::test]
async fn a_segment_without_a_single_whole_record_is_replaced() {
    let written = Written::new().await;
    let first = written.starts[0];
    for at in [first, first + 1, first + 23, first + 24, first + 40] {
        written.spoil(|bytes| bytes[at..].fill(0));
        written.check(0, &format!("zeros from {at}")).await;
    }
}

#[tokio::test]
async fn a_segment_that_was_being_created_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    written_log(dir.path(), 3, 100).await;
    let unfinished = dir.path().join("00000000000000000004.segment.new");
    fs::write(&unfinished, [0; 100]).unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    assert!(!unfinished.exists());
    publish_all(&publisher, 3..4, 100).await;
    assert_eq!(drain(&mut consumer, 4).await.len(), 4);
}

#[tokio::test]
async fn what_is_set_aside_is_bounded_and_beyond_the_bound_stays_in_its_segment() {
    let written = Written::new().await;
    let cut_at = written.starts[RECORDS - 1] + 30;
    written.spoil(|bytes| bytes[cut_at..].fill(0));
    let aside = set_aside_path(written.dir.path());
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("earlier.bytes"), vec![1; 16 * 1024]).unwrap();
    for _ in 0..2 {
        let (publisher, _consumer) = open(small_config(written.dir.path())).unwrap();
        let cut = publisher.recovery().cut.clone().unwrap();
        assert_eq!((cut.kept_in, cut.bytes), (None, 30), "reported at every opening");
    }
    let (publisher, mut consumer) = open(small_config(written.dir.path())).unwrap();
    publisher.publish(&[b"new"]).await.unwrap();
    assert_eq!(drain(&mut consumer, RECORDS).await[RECORDS - 1], "new");
}

#[tokio::test]
async fn sequences_go_on_behind_what_was_consumed_even_if_the_log_lost_it() {
    let written = Written::new().await;
    let (publisher, mut consumer) = open(small_config(written.dir.path())).unwrap();
    drain(&mut consumer, RECORDS).await;
    drop((publisher, consumer));
    let consumed = fs::read(written.dir.path().join("consumed")).unwrap();
    let lost_from = written.starts[RECORDS - 2];
    written.spoil(|bytes| bytes[lost_from..].fill(0));
    fs::write(written.dir.path().join("consumed"), consumed).unwrap();

    let (publisher, mut consumer) = open(small_config(written.dir.path())).unwrap();
    publisher.publish(&[b"new"]).await.unwrap();
    let batch = receive(&mut consumer, 10).await;
    assert_eq!(batch.deliveries()[0].payload, "new");
    assert!(batch.through().as_u64() > RECORDS as u64);
}
