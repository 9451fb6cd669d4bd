//! The spool in front of a real broker, and a proxy that breaks the connection between them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use queue::rabbitmq::{Addresses, BrokerConfig, PublishConfig, open_publisher};
use queue::spool::{self, SpoolConfig};
use queue::{LogConfig, PublishError};
use testing::proxy::{Proxy, Weather};
use testing::{eventually, soon};

use crate::harness::{Place, limits, payloads, receive};

const SEGMENT_BYTES: u64 = 64 << 10;
const PLENTY_BYTES: u64 = 1_000 * SEGMENT_BYTES;
const LITTLE_BYTES: u64 = 4 * SEGMENT_BYTES;

/// The spool of a scenario, and what its broker is reached through.
struct Spool<'a> {
    place: Place<'a>,
    proxy: Proxy,
    folder: tempfile::TempDir,
    publisher: spool::Publisher,
}

impl<'a> Spool<'a> {
    async fn open(place: Place<'a>, lanes: u16, bytes_max: u64) -> Self {
        let proxy = Proxy::to(place.node.port()).await;
        let folder = tempfile::tempdir().unwrap();
        let publisher = open(place, lanes, bytes_max, &proxy, folder.path()).await;
        Self { place, proxy, folder, publisher }
    }

    async fn publish(&self, record: &[u8]) {
        soon("an answer", self.publisher.publish(0, &[record])).await.unwrap();
    }

    fn is_empty(&self) -> bool {
        let stats = self.publisher.stats().unwrap();
        stats.records == 0 && !stats.is_spooling
    }

    async fn until_drained(&self) {
        eventually("the spool is drained", async || self.is_empty()).await;
    }

    /// The first of each record that reached the broker, in their order, until `count` different ones are there.
    async fn arrived(&self, count: usize) -> Vec<Bytes> {
        let mut consumer = self.place.consumer(1, 100).await;
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        while order.len() < count {
            let batch = receive(&mut consumer, &limits(100)).await;
            order.extend(payloads(&batch).into_iter().filter(|record| seen.insert(record.clone())));
            consumer.ack(batch.through()).await.unwrap();
        }
        order
    }
}

async fn open(
    place: Place<'_>,
    lanes: u16,
    bytes_max: u64,
    proxy: &Proxy,
    folder: &Path,
) -> spool::Publisher {
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f?heartbeat=2", proxy.port());
    let broker = BrokerConfig { addresses: Addresses::parse(&url).unwrap(), ..place.broker(lanes) };
    let broker = open_publisher(broker, PublishConfig::default()).await.unwrap();
    spool::open(broker, config(folder, bytes_max)).unwrap()
}

fn config(folder: &Path, bytes_max: u64) -> SpoolConfig {
    let mut log = LogConfig::new(folder);
    (log.segment_bytes, log.bytes_max) = (SEGMENT_BYTES, bytes_max);
    log.record_bytes_max = 1 << 10;
    SpoolConfig { log, after: Duration::from_millis(300) }
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Bytes> {
    numbers.map(|number| format!("{number:04}").into()).collect()
}

pub(crate) async fn what_the_broker_cannot_confirm_is_accepted_and_drained_in_order(place: Place<'_>) {
    let spool = Spool::open(place, 1, PLENTY_BYTES).await;
    let records = numbered(0..300);
    spool.publish(&records[0]).await;
    assert_eq!(spool.publisher.stats().unwrap().spooled, 0, "a broker that confirms needs no spool");

    spool.proxy.set(Weather::Silent);
    for record in &records[1..100] {
        spool.publish(record).await;
    }
    spool.proxy.set(Weather::Cut);
    for record in &records[100..299] {
        spool.publish(record).await;
    }
    eventually("the age of the oldest is known", async || {
        spool.publisher.stats().unwrap().oldest_age.is_some()
    })
    .await;
    let stats = spool.publisher.stats().unwrap();
    assert_eq!((stats.records, stats.spooled, stats.drained, stats.is_spooling), (298, 298, 0, true));

    spool.proxy.set(Weather::Fair);
    spool.until_drained().await;
    spool.publish(&records[299]).await;
    let stats = spool.publisher.stats().unwrap();
    assert_eq!((stats.spooled, stats.drained, stats.oldest_age), (298, 298, None));
    assert_eq!(spool.arrived(300).await, records);
}

pub(crate) async fn what_a_run_leaves_on_the_spool_the_next_one_drains_first(place: Place<'_>) {
    let spool = Spool::open(place, 1, PLENTY_BYTES).await;
    spool.proxy.set(Weather::Cut);
    let records = numbered(0..20);
    for record in &records[..15] {
        spool.publish(record).await;
    }
    soon("the end", spool.publisher.close()).await;
    let error = soon("an answer", spool.publisher.publish(0, &[b"late"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error:?}");

    let Spool { place, proxy, folder, publisher } = spool;
    drop(publisher);
    assert_eq!(spool::left(config(folder.path(), PLENTY_BYTES)).unwrap(), 15);
    assert_eq!(spool::left(config(&folder.path().join("none"), PLENTY_BYTES)).unwrap(), 0);
    proxy.set(Weather::Fair);
    let publisher = open(place, 1, PLENTY_BYTES, &proxy, folder.path()).await;
    let spool = Spool { place, proxy, folder, publisher };
    for record in &records[15..] {
        spool.publish(record).await;
    }
    spool.until_drained().await;
    assert_eq!(spool.arrived(20).await, records);
}

pub(crate) async fn busy_lanes_come_back_to_the_broker_and_keep_their_order(place: Place<'_>) {
    const SENDERS: u32 = 8;
    let spool = Spool::open(place, 1, PLENTY_BYTES).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (publisher, stop) = (spool.publisher.clone(), stop.clone());
        senders.spawn(async move {
            let mut sent = Vec::new();
            while !stop.is_cancelled() {
                let record = Bytes::from(format!("{sender} {}", sent.len()));
                publisher.publish(0, &[&record]).await.unwrap();
                sent.push(record);
            }
            sent
        });
    }
    for _ in 0..2 {
        let before = spool.publisher.stats().unwrap().spooled;
        spool.proxy.set(Weather::Cut);
        eventually("records are spooled", async || spool.publisher.stats().unwrap().spooled > before + 100)
            .await;
        spool.proxy.set(Weather::Fair);
        eventually("all is direct again", async || !spool.publisher.stats().unwrap().is_spooling).await;
    }
    stop.cancel();
    let sent = senders.join_all().await;
    let arrived = spool.arrived(sent.iter().map(Vec::len).sum()).await;
    for sent in sent {
        let prefix = sent[0].slice(..2);
        let arrived = arrived.iter().filter(|record| record.starts_with(&prefix));
        assert!(arrived.eq(&sent), "sender {prefix:?}: not in order");
    }
}

pub(crate) async fn a_full_spool_refuses_until_it_is_drained(place: Place<'_>) {
    let spool = Spool::open(place, 1, LITTLE_BYTES).await;
    spool.proxy.set(Weather::Cut);
    let mut accepted = 0_u32;
    let refused = loop {
        let record = [&accepted.to_le_bytes(), [7; 1000].as_slice()];
        match soon("an answer", spool.publisher.publish(0, &record)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PublishError::Full { bytes_max, .. } if bytes_max == LITTLE_BYTES));
    spool.proxy.set(Weather::Fair);
    spool.until_drained().await;
    spool.publish(b"after").await;
    assert_eq!(spool.arrived(usize::try_from(accepted).unwrap() + 1).await.last().unwrap(), "after");
}

pub(crate) async fn a_lane_that_is_refused_goes_through_the_spool_alone(place: Place<'_>) {
    let spool = Spool::open(place, 2, PLENTY_BYTES).await;
    let hold_at_most = |messages: u32| {
        let (pattern, policy) =
            (format!("^{}$", place.queue("0")), format!("{{\"max-length\": {messages}}}"));
        place.node.ctl(&["set_policy", "short", &pattern, &policy, "--apply-to", "queues"]);
    };
    hold_at_most(1);
    eventually("a record is refused", async || {
        spool.publish(b"refused").await;
        spool.publisher.stats().unwrap().is_spooling
    })
    .await;
    let spooled = spool.publisher.stats().unwrap().spooled;
    soon("an answer", spool.publisher.publish(1, &[b"of the other lane"])).await.unwrap();
    place.until_ready("1", 1).await;
    assert_eq!(spool.publisher.stats().unwrap().spooled, spooled);
    hold_at_most(1_000_000);
    spool.until_drained().await;
}
