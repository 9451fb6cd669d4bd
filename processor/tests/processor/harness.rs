//! A processor that runs, and what is put into its queue.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use payments::{Heartbeat, QueueMessage, Tally, UnixMillis};
use processor::Processor;
use queue::{Consumer, LogConfig, Publisher, open_embedded};
use runtime::config::ProcessorConfig;
use runtime::telemetry::Telemetry;
use runtime::{Health, Lifecycle, SystemClock};
use store::Store;
use tempfile::TempDir;
pub(crate) use testing::{DEADLINE, eventually};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A Sunday, 03:07 UTC: when the tests' webhooks arrive.
pub(crate) const NOW: i64 = 1_795_316_820_123;

pub(crate) struct Running {
    pub(crate) health: Health,
    telemetry: Telemetry,
    lifecycle: Lifecycle,
    publisher: Publisher,
    running: JoinHandle<anyhow::Result<()>>,
    directory: TempDir,
}

impl Running {
    /// A processor of batches of up to `batch` webhooks, with `messages` in its queue.
    pub(crate) async fn start(store: Store, batch: usize, messages: Vec<Bytes>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (publisher, consumer) = open_embedded(log(&directory)).unwrap();
        for message in messages {
            publisher.publish(0, &[&message]).await.unwrap();
        }
        let (health, lifecycle) = (Health::default(), Lifecycle::new());
        let telemetry = Telemetry::for_tests().unwrap();
        let config = ProcessorConfig {
            batch_webhooks_max: batch,
            linger_ms: 1,
            retry_delay_ms: 1,
            retry_delay_ms_max: 5,
            ..ProcessorConfig::default()
        };
        let processor = Processor {
            config,
            settings: HashMap::new(),
            consumer,
            store,
            clock: Arc::new(SystemClock),
            telemetry: telemetry.clone(),
            health: health.register("processor"),
        };
        #[expect(clippy::disallowed_methods, reason = "a test's own task, awaited by `stop`")]
        let running = tokio::spawn(processor::run(processor, lifecycle.clone()));
        Self { health, telemetry, lifecycle, publisher, running, directory }
    }

    /// Messages that are not acknowledged.
    pub(crate) fn waiting(&self) -> u64 {
        match &self.publisher {
            Publisher::Embedded(log) => log.stats().unwrap().records_waiting,
            Publisher::RabbitMq(_) | Publisher::Spooled(_) => unreachable!("it is opened embedded"),
        }
    }

    pub(crate) async fn until_all_is_acknowledged(&self) {
        eventually("everything is acknowledged", async || self.waiting() == 0).await;
    }

    /// Waits until it says what keeps it from being ready, once it has started.
    pub(crate) async fn until_not_ready(&self) -> String {
        let trouble = || self.health.parts()["processor"].clone().err().filter(|why| why != "starting");
        eventually("it is not ready", async || trouble().is_some()).await;
        trouble().unwrap()
    }

    /// The value of a metric by its name and labels, as `/metrics` writes them.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = String::from_utf8(self.telemetry.prometheus_text().unwrap()).unwrap();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
    }

    /// Stops it, and opens what it left in the queue; the queue goes with the directory.
    pub(crate) async fn stop(self) -> (Consumer, TempDir) {
        self.lifecycle.soft().cancel();
        tokio::time::timeout(DEADLINE, self.running).await.unwrap().unwrap().unwrap();
        self.publisher.close().await;
        (Consumer::open_embedded(log(&self.directory)).unwrap(), self.directory)
    }

    /// Tells it to stop, and does not wait.
    pub(crate) fn tell_to_stop(&self) {
        self.lifecycle.soft().cancel();
    }
}

fn log(directory: &TempDir) -> LogConfig {
    let mut log = LogConfig::new(directory.path());
    log.segment_bytes = 16 << 20;
    log.bytes_max = 64 << 20;
    log
}

/// A webhook of the merchant's checkout with one fact for each of `events`.
pub(crate) fn webhook(number: u8, events: &[&str]) -> Bytes {
    let facts: Vec<String> = events
        .iter()
        .map(|event| {
            format!(
                r#"{{"event_id":"{event}","kind":"authorization","outcome":"approved","occurred_at":"2026-11-22T03:07:00Z"}}"#
            )
        })
        .collect();
    message(number, format!("[{}]", facts.join(",")).as_bytes())
}

/// A webhook of the merchant's checkout with any body.
pub(crate) fn message(number: u8, body: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    message.put_slice(&[1, 1]);
    message.put_slice(&[number; 16]);
    message.put_i64_le(NOW);
    message.put_slice(b"\x09canonical");
    for text in ["checkout", "env:SECRET", ""] {
        message.put_u16_le(u16::try_from(text.len()).unwrap());
        message.put_slice(text.as_bytes());
    }
    message.put_u16_le(0);
    message.put_u32_le(u32::try_from(body.len()).unwrap());
    message.put_slice(body);
    message.freeze()
}

pub(crate) fn heartbeat() -> Bytes {
    QueueMessage::Heartbeat(Heartbeat { instance: "i-1".to_owned(), sent_at: UnixMillis(NOW) }).encode()
}

/// What ingest counted of the webhooks' minute: two, of which one is uncertain.
pub(crate) fn tally() -> Bytes {
    let tally = Tally {
        cell: Uuid::from_u128(7),
        minute: UnixMillis(NOW).minute(),
        instance: "counter-1".to_owned(),
        source: "checkout".to_owned(),
        acknowledged: 1,
        fingerprint: 0x0101_0101_0101_0101,
        uncertain: 1,
        uncertain_ids: vec![Uuid::from_bytes([2; 16])],
    };
    QueueMessage::Tally(tally).encode()
}
