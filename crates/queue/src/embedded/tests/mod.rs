//! The log as a whole, on real files; faults come from a [`FaultyDisk`] over them.

mod bounds;
mod damage;
mod faults;
mod faulty_disk;
mod group_commit;
mod model;
mod round_trip;
mod torn_tail;

use super::{Consumer, LogConfig, Publisher, open, open_on};
use crate::{Batch, BatchLimits};
use bytes::Bytes;
use faulty_disk::FaultyDisk;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Segments of 16 KiB with records up to 4 KiB: a few records fill one.
fn small_config(dir: &Path) -> LogConfig {
    LogConfig {
        segment_bytes: 16 * 1024,
        bytes_max: 64 * 16 * 1024,
        record_bytes_max: 4096,
        ..LogConfig::new(dir)
    }
}

fn open_faulty(config: LogConfig, disk: &Arc<FaultyDisk>) -> (Publisher, Consumer) {
    open_on(config, &(Arc::clone(disk) as Arc<dyn super::Disk>)).unwrap()
}

fn limits(records_max: usize) -> BatchLimits {
    BatchLimits { records_max, bytes_max: usize::MAX, linger: Duration::ZERO }
}

/// Bytes that are different for every number.
fn payload(number: usize, bytes: usize) -> Bytes {
    let text = format!("record {number};");
    text.bytes().cycle().take(bytes.max(text.len())).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it did not happen in time")
}

async fn receive(consumer: &mut Consumer, records_max: usize) -> Batch {
    soon(consumer.receive(&limits(records_max))).await.unwrap()
}

/// Receives and acknowledges until this many records came.
async fn drain(consumer: &mut Consumer, records: usize) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    while payloads.len() < records {
        let batch = receive(consumer, records - payloads.len()).await;
        consumer.ack(batch.through()).await.unwrap();
        payloads.extend(batch.into_deliveries().into_iter().map(|delivery| delivery.payload));
    }
    payloads
}

async fn publish_all(publisher: &Publisher, numbers: std::ops::Range<usize>, bytes: usize) {
    for number in numbers {
        soon(publisher.publish(&[&payload(number, bytes)])).await.unwrap();
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    super::directory::list_segments(dir).unwrap().into_iter().map(|segment| segment.path).collect()
}

/// A closed log of this many records, in the directory.
async fn written_log(dir: &Path, records: usize, bytes: usize) {
    let (publisher, _consumer) = open(small_config(dir)).unwrap();
    publish_all(&publisher, 0..records, bytes).await;
}
