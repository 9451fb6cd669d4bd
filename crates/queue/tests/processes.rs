//! The log across processes: one is killed at any instant, two share a directory, two want the same
//! side of it.
//!
//! A child process is this test binary again, told by an environment variable what to do.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, like the test itself")]

use bytes::Bytes;
use queue::embedded::Damage;
use queue::{BatchLimits, Consumer, Delivery, LogConfig, OpenError, Publisher, open_embedded};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

const CHILD_TASK: &str = "QUEUE_TEST_CHILD_TASK";
const CHILD_DIR: &str = "QUEUE_TEST_CHILD_DIR";
const CHILD_RUN: &str = "QUEUE_TEST_CHILD_RUN";

const SERVE: &str = "serve";
const PUBLISH: &str = "publish";

fn damage(consumer: &Consumer) -> Damage {
    match consumer {
        Consumer::Embedded(log) => log.stats().unwrap().damage,
        Consumer::RabbitMq(_) => unreachable!("these tests open the embedded log"),
    }
}

/// What child processes run; in the test process itself there is nothing to do.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(CHILD_TASK) else { return };
    let dir = std::env::var(CHILD_DIR).unwrap();
    let run = std::env::var(CHILD_RUN).unwrap();
    // Ends the line that the test harness began.
    say("", "");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = config(Path::new(&dir));
        if task == SERVE {
            let (publisher, consumer) = open_embedded(config).unwrap();
            tokio::join!(publish_for_ever(&publisher, &run), consume_for_ever(consumer));
        } else {
            publish_for_ever(&Publisher::open_embedded(config).unwrap(), &run).await;
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_and_repeats_nothing_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut stored = HashSet::new();
    let mut received = HashSet::new();
    let mut consumed = HashSet::new();
    for run in 0..20 {
        let said = run_until_killed(spawn_child(dir.path(), SERVE, run), rng.random_range(1..600));
        for line in said {
            let (word, id) = line.split_once(' ').unwrap();
            let id = id.to_owned();
            match word {
                "stored" => assert!(stored.insert(id)),
                "received" => {
                    assert!(!consumed.contains(&id), "{id} was consumed, and came again");
                    received.insert(id);
                }
                "consumed" => assert!(consumed.insert(id)),
                other => panic!("{other} {id}"),
            }
        }
    }
    let (publisher, mut consumer) = open_embedded(config(dir.path())).unwrap();
    block_on(async {
        publisher.publish(0, &[b"the end"]).await.unwrap();
        loop {
            for delivery in receive(&mut consumer).await {
                if delivery.payload == "the end" {
                    return;
                }
                let id = id_of(&delivery.payload);
                assert!(!consumed.contains(&id), "{id} was consumed, and came again");
                received.insert(id);
            }
        }
    });
    let lost: Vec<_> = stored.difference(&received).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(stored.len() > 1000 && consumed.len() > 500, "{} {}", stored.len(), consumed.len());
    assert_eq!(damage(&consumer), Damage::default());
}

#[test]
fn a_consumer_outlives_the_publishers_of_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let mut consumer = Consumer::open_embedded(config(dir.path())).unwrap();
    let mut received = HashSet::new();
    for run in 0..10 {
        let lines = rng.random_range(1..400);
        let child = spawn_child(dir.path(), PUBLISH, run);
        block_on(async {
            let mut said = tokio::task::spawn_blocking(move || run_until_killed(child, lines));
            // While it publishes, until it is killed; a dropped `receive` loses nothing.
            let stored = loop {
                tokio::select! {
                    stored = &mut said => break stored.unwrap(),
                    deliveries = receive(&mut consumer) => {
                        take_in(&mut consumer, deliveries, &mut received).await;
                    }
                }
            };
            // And then the rest.
            for line in stored {
                let id = line.strip_prefix("stored ").unwrap();
                while !received.contains(id) {
                    let deliveries = receive(&mut consumer).await;
                    take_in(&mut consumer, deliveries, &mut received).await;
                }
            }
        });
    }
    assert_eq!(damage(&consumer), Damage::default());
}

#[test]
fn a_second_process_is_told_who_has_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn_child(dir.path(), SERVE, 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("stored ")), "the child has opened the log");
    for (role, error) in [
        ("writer", Publisher::open_embedded(config(dir.path())).unwrap_err()),
        ("reader", Consumer::open_embedded(config(dir.path())).unwrap_err()),
    ] {
        let OpenError::Locked { role: held, holder_pid, dir: named } = &error else { panic!("{error}") };
        assert_eq!((*held, *holder_pid, named.as_path()), (role, Some(child.id()), dir.path()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    open_embedded(config(dir.path())).unwrap();
}

fn config(dir: &Path) -> LogConfig {
    LogConfig {
        segment_bytes: 128 * 1024,
        bytes_max: 1 << 30,
        record_bytes_max: 8 * 1024,
        ..LogConfig::new(dir)
    }
}

fn spawn_child(dir: &Path, task: &str, run: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD_TASK, task)
        .env(CHILD_DIR, dir)
        .env(CHILD_RUN, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what the child says, kills it after so many lines, and returns all it said until then.
fn run_until_killed(mut child: Child, lines: usize) -> Vec<String> {
    let mut said = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        // A line that was being said when the child was killed was not said; the rest of what is
        // printed comes from the test harness around it.
        if line.ends_with('\n')
            && ["stored ", "received ", "consumed "].iter().any(|word| line.starts_with(word))
        {
            said.push(line.trim_end().to_owned());
        }
        line.clear();
        if said.len() == lines {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && said.len() >= lines, "the child ended by itself: {status}");
    said
}

fn say(words: &str, id: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words} {id}").unwrap();
    out.flush().unwrap();
}

async fn publish_for_ever(publisher: &Publisher, run: &str) {
    let mut publishers = JoinSet::new();
    for task in 0..8 {
        let (publisher, run) = (publisher.clone(), run.to_owned());
        publishers.spawn(async move {
            for number in 0.. {
                let id = format!("{run}-{task}-{number}");
                let payload = payload_of(&id, (number * 131 + task * 977) % 5000);
                publisher.publish(0, &[&payload]).await.unwrap();
                say("stored", &id);
            }
        });
    }
    while let Some(published) = publishers.join_next().await {
        published.unwrap();
    }
}

async fn consume_for_ever(mut consumer: Consumer) {
    loop {
        let deliveries = receive(&mut consumer).await;
        let ids: Vec<String> = deliveries.iter().map(|delivery| id_of(&delivery.payload)).collect();
        for id in &ids {
            say("received", id);
        }
        consumer.ack(deliveries.last().unwrap().position).await.unwrap();
        for id in &ids {
            say("consumed", id);
        }
    }
}

async fn take_in(consumer: &mut Consumer, deliveries: Vec<Delivery>, received: &mut HashSet<String>) {
    consumer.ack(deliveries.last().unwrap().position).await.unwrap();
    for delivery in deliveries {
        assert!(received.insert(id_of(&delivery.payload)), "received once");
    }
}

async fn receive(consumer: &mut Consumer) -> Vec<Delivery> {
    let limits = BatchLimits { records_max: 20, bytes_max: 1 << 20, linger: Duration::from_millis(1) };
    let batch = timeout(Duration::from_secs(30), consumer.receive(&limits)).await;
    batch.expect("nothing came in time").unwrap().into_deliveries()
}

fn payload_of(id: &str, bytes: usize) -> Bytes {
    format!("{id};").bytes().cycle().take(bytes.max(id.len() + 1)).collect()
}

/// The id in a payload, which must be whole.
fn id_of(payload: &Bytes) -> String {
    let end = payload.iter().position(|byte| *byte == b';').unwrap();
    let id = std::str::from_utf8(&payload[..end]).unwrap();
    assert_eq!(payload, &payload_of(id, payload.len()));
    id.to_owned()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
