//! CPU microseconds per record, the steady figure on a noisy machine: the least that any log must
//! do, and so many concurrent publishers, without and with a consumer.
//!
//! `cargo run -p queue --release --example cpu`
#![expect(clippy::print_stdout, reason = "a program for people")]

use bytes::Bytes;
use queue::embedded::{Consumer, Publisher};
use queue::{BatchLimits, LogConfig};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const RECORD_BYTES: usize = 2500;
const RECORDS: usize = 64_000;
const FILE_BYTES: u64 = 64 * 1024 * 1024;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("                              records/s  user µs  system µs  records/commit");
    for group in [1, 16, 64, 128] {
        let records = if group == 1 { 4_000 } else { RECORDS };
        let meter = Meter::start()?;
        append_floor(records, group)?;
        meter.print(&format!("floor, {group} a commit"), records, group as f64)?;
    }
    for consuming in [false, true] {
        for publishers in [1, 16, 64, 256] {
            let records = if publishers == 1 { 4_000 } else { RECORDS };
            let dir = tempfile::tempdir()?;
            let (publisher, consumer) = queue::embedded::open(LogConfig::new(dir.path()))?;
            let mut consumers = JoinSet::new();
            if consuming {
                consumers.spawn(consume(consumer));
            }
            let meter = Meter::start()?;
            publish_all(&publisher, publishers, records).await?;
            let stats = publisher.stats()?;
            let name = format!("{publishers} publishers{}", if consuming { ", consumed" } else { "" });
            meter.print(&name, records, stats.records as f64 / stats.commits as f64)?;
        }
    }
    Ok(())
}

/// Wall-clock and CPU time of this process since its start.
struct Meter {
    started: Instant,
    cpu: (Duration, Duration),
}

impl Meter {
    fn start() -> Result<Self, Box<dyn Error>> {
        Ok(Self { started: Instant::now(), cpu: cpu_time()? })
    }

    fn print(&self, name: &str, records: usize, records_per_commit: f64) -> Result<(), Box<dyn Error>> {
        let elapsed = self.started.elapsed();
        let (user, system) = cpu_time()?;
        let per_record = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
        println!(
            "{name:<28}  {:>9.0}  {:>7.1}  {:>9.1}  {records_per_commit:>14.1}",
            records as f64 / elapsed.as_secs_f64(),
            per_record(user.saturating_sub(self.cpu.0)),
            per_record(system.saturating_sub(self.cpu.1)),
        );
        Ok(())
    }
}

/// The least any log does: one write and one sync per group, into files allocated ahead.
fn append_floor(records: usize, group: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let bytes = vec![7; RECORD_BYTES * group];
    let mut file: Option<File> = None;
    let mut end = FILE_BYTES;
    for number in 0..records / group {
        if end + bytes.len() as u64 > FILE_BYTES {
            let next = File::create(dir.path().join(number.to_string()))?;
            rustix::fs::fallocate(&next, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES)?;
            (file, end) = (Some(next), 0);
        }
        if let Some(file) = &file {
            file.write_all_at(&bytes, end)?;
            file.sync_data()?;
        }
        end += bytes.len() as u64;
    }
    Ok(())
}

async fn publish_all(publisher: &Publisher, publishers: usize, records: usize) -> Result<(), Box<dyn Error>> {
    let record = Bytes::from(vec![7; RECORD_BYTES]);
    let mut tasks = JoinSet::new();
    for _ in 0..publishers {
        let (publisher, record) = (publisher.clone(), record.clone());
        tasks.spawn(async move {
            for _ in 0..records / publishers {
                publisher.publish(&[&record]).await?;
            }
            Ok::<_, queue::PublishError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn consume(mut consumer: Consumer) -> Result<(), queue::ConsumeError> {
    let limits = BatchLimits { records_max: 10_000, bytes_max: 32 << 20, linger: Duration::from_millis(200) };
    loop {
        let batch = consumer.receive(&limits).await?;
        consumer.ack(batch.through()).await?;
    }
}

/// User and system time of this process, from the kernel's account (in hundredths of a second).
fn cpu_time() -> Result<(Duration, Duration), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an unexpected /proc/self/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_millis(fields.get(index).ok_or("a short /proc/self/stat")?.parse::<u64>()? * 10))
    };
    Ok((ticks(11)?, ticks(12)?))
}
