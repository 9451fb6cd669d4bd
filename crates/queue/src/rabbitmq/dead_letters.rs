//! What nobody could process, for the operator: looked at, published again, or taken away.
//!
//! Looking takes messages without acknowledging them, and what is neither requeued nor removed goes back when this is closed,
//! or dropped. RabbitMQ counts that as a delivery; the queue's limit is far beyond what people look.
//!
//! Invariant: a dead letter leaves the queue only after the broker confirmed it elsewhere, or the caller said that it is
//! kept elsewhere. Between the confirm and that a crash leaves both, and the store counts them once.

use super::config::BrokerConfig;
use super::connection::{Open, connect};
use super::frame;
use super::isolation::{FAILURES_HEADER, HISTORY_HEADER, REASON_HEADER, Step, history, noted, reason};
use super::sender::publish;
use super::session::{BrokerError, answered};
use super::topology::Topology;
use bytes::Bytes;
use lapin::options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};

/// The queue of dead letters, open for one walk through it.
#[derive(Debug)]
pub struct DeadLetters {
    connection: Open,
    channel: Channel,
    confirming: Channel,
    topology: Topology,
    lanes: u16,
    /// How many more there are to be seen: those that come back meanwhile are not seen twice.
    left: u32,
}

/// A message nobody could process.
#[derive(Debug)]
pub struct DeadLetter {
    /// Its records; those of a frame that cannot be read are one, the whole message.
    pub records: Vec<Bytes>,
    /// Why it is here.
    pub reason: String,
    /// What happened to it, oldest first.
    pub history: Vec<Step>,
    tag: u64,
    body: Bytes,
    is_frame: bool,
    properties: BasicProperties,
}

impl DeadLetters {
    /// Connects to the queue of dead letters, which must be there: a processor or ingest declares it at its start.
    pub async fn open(broker: &BrokerConfig) -> Result<Self, BrokerError> {
        let topology = Topology::new(&broker.queue, broker.lanes);
        let connection = connect(broker, "dead letters").await?;
        let channel = connection.channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        let queue = topology.dead_letters();
        let counted = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let left = answered("count dead letters", counted).await?.message_count();
        let confirming = connection.channel().await?;
        confirming.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel, confirming, topology, lanes: broker.lanes.max(1), left })
    }

    /// How many there are that were not seen yet.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The oldest that was not seen yet.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, BrokerError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let queue = self.topology.dead_letters();
        let got = self.channel.basic_get(queue.into(), BasicGetOptions::default());
        let Some(got) = answered("give a dead letter", got).await? else { return Ok(None) };
        self.left = left;
        let delivery = got.delivery;
        let (body, properties) = (Bytes::from(delivery.data), delivery.properties);
        let is_frame = frame::is_frame(&properties);
        let records = if is_frame { frame::records(body.clone()).ok() } else { None };
        Ok(Some(DeadLetter {
            records: records.unwrap_or_else(|| vec![body.clone()]),
            reason: reason(&properties),
            history: history(&properties),
            tag: delivery.delivery_tag,
            body,
            is_frame,
            properties,
        }))
    }

    /// Publishes it to a lane, as it is, and takes it away when the broker has confirmed that. Its history goes on; its
    /// failures are forgotten.
    pub async fn requeue(&self, letter: &DeadLetter, lane: usize) -> Result<(), BrokerError> {
        let lane = u16::try_from(lane % usize::from(self.lanes)).unwrap_or(0);
        let to = self.topology.lane(lane);
        let queue = self.topology.dead_letters();
        let mut headers = FieldTable::default();
        let why = "requeued by an operator";
        headers.insert(HISTORY_HEADER.into(), AMQPValue::FieldArray(noted(&letter.properties, &queue, why)));
        headers.insert(FAILURES_HEADER.into(), AMQPValue::LongLongInt(0));
        headers.insert(REASON_HEADER.into(), AMQPValue::LongString(why.into()));
        let confirmed = publish(&self.confirming, &to, &letter.body, letter.is_frame, headers);
        if answered("confirm a message", confirmed).await? != Confirmation::Ack(None) {
            return Err(BrokerError::NotMoved { queue: to });
        }
        self.remove(letter).await
    }

    /// Takes it away: the caller has it elsewhere.
    pub async fn remove(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        Ok(self.channel.basic_ack(letter.tag, BasicAckOptions::default()).await?)
    }

    /// Lets what is left go back.
    pub async fn close(self) {
        self.connection.close().await;
    }
}
