//! Numbered records, published and consumed without end, and what became of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use queue::rabbitmq::{BrokerConfig, Consumer, PublishConfig, Publisher, open_consumer, open_publisher};
use testing::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::limits;

/// So many publish, each one record after the other.
const PUBLISHERS: u64 = 8;
/// Records acknowledged since somebody asked, that say that it flows.
const FLOWING: usize = 100;

#[derive(Default)]
struct Seen {
    acknowledged: BTreeSet<u64>,
    consumed: BTreeSet<u64>,
    refused: u64,
    longest: Duration,
}

pub(crate) struct Traffic {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    publishing: JoinSet<()>,
    _consuming: JoinSet<()>,
}

impl Traffic {
    pub(crate) async fn start(broker: BrokerConfig, config: PublishConfig) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), CancellationToken::new());
        let publisher = open_publisher(broker.clone(), config).await.unwrap();
        let consumer = open_consumer(broker, queue::rabbitmq::ConsumeConfig::default()).await.unwrap();
        let mut publishing = JoinSet::new();
        for first in 0..PUBLISHERS {
            publishing.spawn(publish(publisher.clone(), first, Arc::clone(&seen), stop.clone()));
        }
        let mut consuming = JoinSet::new();
        consuming.spawn(consume(consumer, Arc::clone(&seen)));
        Self { seen, stop, publishing, _consuming: consuming }
    }

    /// Waits until records are acknowledged, from now on.
    pub(crate) async fn flows(&self) {
        let before = self.acknowledged();
        eventually("records are acknowledged", async || self.acknowledged() >= before + FLOWING).await;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.seen.lock().unwrap().acknowledged.len()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.seen.lock().unwrap().refused
    }

    /// The longest that anybody waited for an answer.
    pub(crate) fn longest(&self) -> Duration {
        self.seen.lock().unwrap().longest
    }

    pub(crate) fn forget_the_longest(&self) {
        self.seen.lock().unwrap().longest = Duration::ZERO;
    }

    /// Publishes no more, and waits for what was acknowledged.
    pub(crate) async fn all_acknowledged_is_consumed(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.publishing.join_next().await {
            ended.unwrap();
        }
        eventually("all that was acknowledged is consumed", async || {
            let seen = self.seen.lock().unwrap();
            seen.acknowledged.is_subset(&seen.consumed)
        })
        .await;
        let seen = self.seen.lock().unwrap();
        eprintln!(
            "{} acknowledged, {} refused, {} consumed",
            seen.acknowledged.len(),
            seen.refused,
            seen.consumed.len()
        );
    }
}

async fn publish(publisher: Publisher, first: u64, seen: Arc<Mutex<Seen>>, stop: CancellationToken) {
    let mut number = first;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let answer = publisher.publish(0, &[&number.to_le_bytes()]).await;
        let mut seen = seen.lock().unwrap();
        seen.longest = seen.longest.max(asked.elapsed());
        match answer {
            Ok(()) => _ = seen.acknowledged.insert(number),
            Err(_) => seen.refused += 1,
        }
        number += PUBLISHERS;
    }
}

async fn consume(mut consumer: Consumer, seen: Arc<Mutex<Seen>>) {
    loop {
        // Of a connection that ended: the next call makes another.
        let Ok(batch) = consumer.receive(&limits(1_000)).await else { continue };
        for delivery in batch.deliveries() {
            let number = u64::from_le_bytes(delivery.payload.as_ref().try_into().unwrap());
            seen.lock().unwrap().consumed.insert(number);
        }
        consumer.ack(batch.through()).await.unwrap();
    }
}
