//! Damage in the middle costs the records it hit, says so, and nothing else.

use super::*;
use crate::embedded::Damage;
use crate::embedded::directory::{consumed_path, set_aside_path};
use crate::embedded::format::{HEADER_PAGE_BYTES as HEADER, record_bytes};
use crate::embedded::{open_consumer, open_publisher};
use std::fs;

const RECORDS: usize = 30;
const BYTES: usize = 1000;

/// Opens the log and receives all that is left of it: payloads, and the damage counted.
async fn receive_rest(dir: &Path) -> (Vec<Bytes>, Damage) {
    let (publisher, mut consumer) = open(small_config(dir)).unwrap();
    publisher.publish(&[b"the end"]).await.unwrap();
    let mut received = Vec::new();
    while received.last().is_none_or(|last| last != "the end") {
        received.extend(receive(&mut consumer, 1000).await.into_deliveries().into_iter().map(|d| d.payload));
    }
    received.pop();
    (received, consumer.stats().unwrap().damage)
}

fn all_but(missing: &[usize]) -> Vec<Bytes> {
    (0..RECORDS).filter(|number| !missing.contains(number)).map(|number| payload(number, BYTES)).collect()
}

/// First record number and path of each segment, of a fresh log of thirty records.
async fn fresh_log(dir: &Path) -> Vec<(usize, PathBuf)> {
    written_log(dir, RECORDS, BYTES).await;
    let segments = segments(dir);
    let mut first = 0;
    let mut found = Vec::new();
    for path in segments {
        let records = (fs::read(&path).unwrap().len() - HEADER) / record_bytes(BYTES);
        found.push((first, path));
        first += records;
    }
    assert_eq!(found.len(), 3);
    found
}

#[tokio::test]
async fn a_flipped_bit_costs_at_most_its_own_record() {
    let dir = tempfile::tempdir().unwrap();
    let (first, path) = fresh_log(dir.path()).await.remove(1);
    let whole = fs::read(&path).unwrap();
    let consumed = consumed_path(dir.path());
    // Bits of the used header and of the second record's header, and every now and then elsewhere.
    let second = HEADER + record_bytes(BYTES);
    let headers = (0..44 * 8).chain(second * 8..(second + 24) * 8).step_by(7);
    let bits = headers.chain((0..whole.len() * 8).step_by(797));
    for bit in bits {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, flipped).unwrap();
        let _ = fs::remove_file(&consumed);
        let mut consumer = open_consumer(small_config(dir.path())).unwrap();
        let byte = bit / 8;
        let record = byte.checked_sub(HEADER).map(|at| at / record_bytes(BYTES));
        let missing: Vec<usize> = record.map(|record| first + record).into_iter().collect();
        let expected = all_but(&missing);
        let received: Vec<Bytes> = receive_unacked(&mut consumer, expected.len()).await;
        assert!(received == expected, "bit {bit} of byte {byte}");
        let damage = consumer.stats().unwrap().damage;
        assert_eq!(damage.records_lost, missing.len() as u64, "bit {bit}");
        let hits_header = byte < 44;
        assert_eq!(damage.ranges, u64::from(hits_header) + missing.len() as u64, "bit {bit}");
        assert_eq!(damage.bytes, (missing.len() * record_bytes(BYTES)) as u64, "bit {bit}");
    }
}

async fn receive_unacked(consumer: &mut Consumer, records: usize) -> Vec<Bytes> {
    let mut received: Vec<Bytes> = Vec::new();
    while received.len() < records {
        let batch = receive(consumer, records - received.len()).await;
        received.extend(batch.into_deliveries().into_iter().map(|delivery| delivery.payload));
    }
    received
}

#[tokio::test]
async fn zeroed_records_in_the_middle_are_damage_and_the_rest_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    for (number, (first, path)) in fresh_log(dir.path()).await.into_iter().enumerate() {
        let mut bytes = fs::read(&path).unwrap();
        let (from, to) = (HEADER + 2 * record_bytes(BYTES), HEADER + 4 * record_bytes(BYTES));
        let kept = bytes[from..to].to_vec();
        bytes[from..to].fill(0);
        fs::write(&path, &bytes).unwrap();
        let (received, damage) = receive_rest(dir.path()).await;
        assert_eq!(received, all_but(&[first + 2, first + 3]), "segment {number}");
        assert_eq!(damage, Damage { ranges: 1, bytes: 2 * record_bytes(BYTES) as u64, records_lost: 2 });
        bytes[from..to].copy_from_slice(&kept);
        fs::write(&path, &bytes).unwrap();
        for later in segments(dir.path()).into_iter().skip(3) {
            fs::remove_file(later).unwrap();
        }
        fs::remove_dir_all(set_aside_path(dir.path())).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_end_of_a_finished_segment_is_damage_and_not_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    let (next_first, _) = found[1];
    let path = &found[0].1;
    let mut bytes = fs::read(path).unwrap();
    let last = HEADER + (next_first - 1) * record_bytes(BYTES);
    bytes[last + 100] ^= 1;
    fs::write(path, &bytes).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    assert_eq!(received, all_but(&[next_first - 1]));
    assert_eq!((damage.ranges, damage.records_lost), (1, 1));
    let kept: Vec<_> = fs::read_dir(set_aside_path(dir.path())).unwrap().collect();
    assert_eq!(kept.len(), 1, "the unreadable bytes are kept");
}

#[tokio::test]
async fn a_missing_segment_is_counted_record_by_record() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    fs::remove_file(&found[1].1).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    let missing: Vec<usize> = (found[1].0..found[2].0).collect();
    assert_eq!(received, all_but(&missing));
    assert_eq!(damage.records_lost, missing.len() as u64);
}

#[tokio::test]
async fn a_missing_first_segment_is_noticed_when_some_of_it_was_not_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    drain(&mut consumer, 3).await;
    drop((publisher, consumer));
    fs::remove_file(&found[0].1).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    assert_eq!(received, all_but(&(0..found[1].0).collect::<Vec<_>>()));
    assert_eq!(damage.records_lost, found[1].0 as u64 - 3);
}

#[tokio::test]
async fn a_segment_with_neither_header_nor_first_record_is_passed_over_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    for (number, next_first) in [(1, found[2].0), (2, RECORDS)] {
        let path = &found[number].1;
        let whole = fs::read(path).unwrap();
        let mut bytes = whole.clone();
        bytes[20] ^= 1;
        bytes[HEADER + 40] ^= 1;
        fs::write(path, &bytes).unwrap();
        let (received, damage) = receive_rest(dir.path()).await;
        assert_eq!(received, all_but(&(found[number].0..next_first).collect::<Vec<_>>()));
        assert_eq!(damage.ranges, 2, "the header and the records");
        assert!(damage.bytes > 0);
        fs::write(path, &whole).unwrap();
        fs::remove_file(segments(dir.path()).pop().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn damage_to_what_was_consumed_is_not_reported() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    drain(&mut consumer, 8).await;
    drop((publisher, consumer));
    let mut bytes = fs::read(&found[0].1).unwrap();
    bytes[HEADER + 5 * record_bytes(BYTES) + 50] ^= 1;
    fs::write(&found[0].1, bytes).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    assert_eq!(received, all_but(&(0..8).collect::<Vec<_>>()));
    assert_eq!(damage, Damage::default());
}

#[tokio::test]
async fn a_record_inside_a_payload_is_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    // The sender of a webhook chooses its bytes, but does not know the segment's mark; here it is
    // given the format, a guess at the mark, and a valid checksum.
    let mut forged = vec![b'x'; 8];
    let header = crate::embedded::format::SegmentHeader {
        first_sequence: 1,
        previous_sequence: 0,
        mark: crate::embedded::format::Mark::random(1),
    };
    let mut record = Vec::new();
    crate::embedded::format::stage_record(&mut record, &[b"forged"]);
    crate::embedded::format::seal_record(&mut record, header.mark, 2);
    forged.extend(record);
    publisher.publish(&[&forged]).await.unwrap();
    publish_all(&publisher, 1..3, 100).await;
    drain(&mut consumer, 0).await;
    drop((publisher, consumer));
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[HEADER + 25] ^= 1;
    fs::write(path, bytes).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    assert_eq!(received, [payload(1, 100), payload(2, 100)]);
    assert_eq!(damage.records_lost, 1);
}

#[tokio::test]
async fn a_lost_consumed_position_delivers_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    fresh_log(dir.path()).await;
    let (publisher, mut consumer) = open(small_config(dir.path())).unwrap();
    drain(&mut consumer, 5).await;
    drop((publisher, consumer));
    fs::write(consumed_path(dir.path()), [0xff; 8192]).unwrap();
    let (received, damage) = receive_rest(dir.path()).await;
    assert_eq!(received, all_but(&[]));
    assert_eq!(damage.records_lost, 0);
}

#[tokio::test]
async fn a_reader_of_another_processes_log_passes_damage_while_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let found = fresh_log(dir.path()).await;
    let mut bytes = fs::read(&found[2].1).unwrap();
    bytes[HEADER + record_bytes(BYTES) + 50] ^= 1;
    fs::write(&found[2].1, &bytes).unwrap();
    let mut consumer = open_consumer(small_config(dir.path())).unwrap();
    let expected = all_but(&[found[2].0 + 1]);
    assert_eq!(receive_unacked(&mut consumer, expected.len()).await, expected);
    let publisher = open_publisher(small_config(dir.path())).unwrap();
    publish_all(&publisher, RECORDS..RECORDS + 5, BYTES).await;
    assert_eq!(receive_unacked(&mut consumer, 5).await.len(), 5);
    assert_eq!(consumer.stats().unwrap().damage.records_lost, 1);
}
