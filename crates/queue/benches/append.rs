//! How fast records of 2.5 KB become durable, in groups of 1, 16 and 256, and how fast they are read;
//! each append beside the least that any log on this disk must do.
//!
//! `cargo bench -p queue`. The directory is made in `TMPDIR`: point it at the disk to be measured.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use queue::embedded::{Consumer, Publisher};
use queue::{BatchLimits, LogConfig};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const RECORD_BYTES: usize = 2500;
const FLOOR_FILE_BYTES: u64 = 64 * 1024 * 1024;
const GROUPS: [usize; 3] = [1, 16, 256];

/// A file of zeros that is allocated ahead, appended to with one write and one sync per group.
fn floor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("floor: preallocated file, write and fdatasync");
    for records in GROUPS {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = vec![7; RECORD_BYTES * records];
        let mut end = FLOOR_FILE_BYTES;
        let mut file = None;
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter(|| {
                if end + bytes.len() as u64 > FLOOR_FILE_BYTES {
                    file = Some(preallocated(dir.path()));
                    end = 0;
                }
                let file = file.as_ref().expect("a file");
                file.write_all_at(&bytes, end).expect("written");
                file.sync_data().expect("synced");
                end += bytes.len() as u64;
            });
        });
    }
}

fn preallocated(dir: &std::path::Path) -> File {
    let file = File::create(dir.join("floor")).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, FLOOR_FILE_BYTES).expect("space");
    file.sync_all().expect("synced");
    file
}

/// So many publishers at once, each waiting for its record to be durable before the next.
fn publish(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("publish: concurrent publishers");
    for publishers in GROUPS {
        let dir = tempfile::tempdir().expect("a directory");
        let (publisher, consumer) = open(dir.path());
        let consuming = runtime.spawn(consume(consumer));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(publishers), |bencher| {
            bencher.iter_custom(|records| runtime.block_on(publish_all(&publisher, publishers, records)));
        });
        consuming.abort();
    }
}

async fn publish_all(publisher: &Publisher, publishers: usize, records: u64) -> Duration {
    let record = Bytes::from(vec![7; RECORD_BYTES]);
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for task in 0..publishers as u64 {
        let (publisher, record) = (publisher.clone(), record.clone());
        let share = records / publishers as u64 + u64::from(task < records % publishers as u64);
        tasks.spawn(async move {
            for _ in 0..share {
                publisher.publish(&[&record]).await.expect("stored");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("done");
    }
    started.elapsed()
}

/// Keeps the log small, as a processor would.
async fn consume(mut consumer: Consumer) {
    loop {
        let batch = consumer.receive(&limits()).await.expect("a batch");
        consumer.ack(batch.through()).await.expect("acknowledged");
    }
}

/// A backlog read in batches of 10,000 records.
fn receive(criterion: &mut Criterion) {
    const BACKLOG: u64 = 50_000;
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let (publisher, consumer) = open(dir.path());
    runtime.block_on(publish_all(&publisher, 256, BACKLOG));
    drop((publisher, consumer));

    let mut group = criterion.benchmark_group("receive: a backlog");
    group.throughput(Throughput::Elements(BACKLOG));
    group.bench_function("50000 records", |bencher| {
        bencher.iter(|| {
            let (_publisher, mut consumer) = open(dir.path());
            let mut received = 0;
            while received < BACKLOG {
                let batch = runtime.block_on(consumer.receive(&limits())).expect("a batch");
                received += black_box(batch.deliveries()).len() as u64;
            }
        });
    });
}

fn open(dir: &std::path::Path) -> (Publisher, Consumer) {
    queue::embedded::open(LogConfig::new(dir)).expect("a log")
}

fn limits() -> BatchLimits {
    BatchLimits { records_max: 10_000, bytes_max: 32 << 20, linger: Duration::from_millis(100) }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = floor, publish, receive
}
criterion_main!(benches);
