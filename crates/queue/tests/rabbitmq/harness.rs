//! Publishers and consumers of a private node, and waiting with a deadline.

use std::time::Duration;

use bytes::Bytes;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use queue::rabbitmq::topology::Topology;
use queue::rabbitmq::{
    Addresses, BrokerConfig, ConsumeConfig, Consumer, PublishConfig, Publisher, Tls, open_consumer_of,
    open_publisher,
};
use queue::{Batch, BatchLimits};

use testing::rabbitmq::Node;
use testing::{eventually, soon};

/// Queues of a node, for one scenario: several share a node, which takes seconds to start.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a Node,
    pub(crate) name: &'static str,
}

impl<'a> Place<'a> {
    pub(crate) fn new(node: &'a Node, name: &'static str) -> Self {
        Self { node, name }
    }

    pub(crate) fn broker(self, lanes: u16) -> BrokerConfig {
        BrokerConfig {
            addresses: Addresses::parse(&self.node.url("guest:guest")).unwrap(),
            tls: Tls::default(),
            queue: self.name.to_owned(),
            lanes,
            connection_name: "test".to_owned(),
            connect_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn topology(self, lanes: u16) -> Topology {
        Topology::new(self.name, lanes)
    }

    pub(crate) async fn publisher(self, lanes: u16, config: PublishConfig) -> Publisher {
        open_publisher(self.broker(lanes), config).await.unwrap()
    }

    pub(crate) async fn consumer(self, lanes: u16, prefetch: u16) -> Consumer {
        self.consumer_of(self.topology(lanes), lanes, prefetch).await
    }

    pub(crate) async fn consumer_of(self, topology: Topology, lanes: u16, prefetch: u16) -> Consumer {
        open_consumer_of(self.broker(lanes), topology, ConsumeConfig { prefetch }).await.unwrap()
    }

    /// The full name of one of its queues: `0`, `dead`, …
    pub(crate) fn queue(self, which: &str) -> String {
        format!("{}.{which}", self.name)
    }

    pub(crate) async fn channel(self) -> Channel {
        connect(self.node).await.create_channel().await.unwrap()
    }

    /// Puts a message of one record into a queue.
    pub(crate) async fn put(self, which: &str, record: &[u8]) {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sent =
            channel.basic_publish("".into(), self.queue(which).into(), options, record, properties).await;
        assert_eq!(sent.unwrap().await.unwrap(), Confirmation::Ack(None));
    }

    /// Has the oldest message of a queue come back so often, as from processors that die of it.
    pub(crate) async fn come_back(self, which: &str, times: u64) {
        let channel = self.channel().await;
        for _ in 0..times {
            let got = channel.basic_get(self.queue(which).into(), BasicGetOptions::default()).await;
            let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            got.unwrap().unwrap().delivery.nack(requeue).await.unwrap();
        }
    }

    /// The oldest message of a queue.
    pub(crate) async fn get(self, which: &str) -> lapin::message::Delivery {
        let got = self.channel().await.basic_get(self.queue(which).into(), BasicGetOptions::default()).await;
        got.unwrap().unwrap().delivery
    }

    /// Messages that lie ready in a queue; those that were delivered are not counted.
    pub(crate) async fn ready(self, which: &str) -> u32 {
        let passive = QueueDeclareOptions::durable().passive();
        let channel = self.channel().await;
        let declared = channel.queue_declare(self.queue(which).into(), passive, FieldTable::default()).await;
        declared.unwrap().message_count()
    }

    pub(crate) async fn until_ready(self, which: &str, count: u32) {
        let what = format!("{count} messages lie in {which}");
        eventually(&what, async || self.ready(which).await == count).await;
    }
}

pub(crate) fn limits(records_max: usize) -> BatchLimits {
    BatchLimits { records_max, bytes_max: 64 << 20, linger: Duration::from_millis(20) }
}

/// The next batch; errors on the way (a broker that is away) are waited out.
pub(crate) async fn receive(consumer: &mut Consumer, limits: &BatchLimits) -> Batch {
    soon("a batch", async {
        loop {
            if let Ok(batch) = consumer.receive(limits).await {
                return batch;
            }
        }
    })
    .await
}

pub(crate) fn payloads(batch: &Batch) -> Vec<Bytes> {
    batch.deliveries().iter().map(|delivery| delivery.payload.clone()).collect()
}

pub(crate) async fn connect(node: &Node) -> Connection {
    Connection::connect(&node.url("guest:guest"), ConnectionProperties::default()).await.unwrap()
}
