//! One connection's consuming: a channel per queue, so that what came on one is acknowledged in one go.

use super::config::BrokerConfig;
use super::connection::{ConnectError, Open, connect};
use super::isolation::Delivered;
use super::topology::{Topology, TopologyError};
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt as _};
use lapin::Channel;
use lapin::ErrorKind;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::timeout;

/// Whoever waits longer connects anew: to another node, or to the same when its queues have leaders.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The connection to the broker, or something that was done over it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// It was not made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The queues are not as they must be.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// It ended.
    #[error("the connection to the broker ended")]
    Ended(#[from] lapin::Error),
    /// The broker delivers no more from a queue.
    #[error("the broker delivers no more from `{queue}`: it was deleted, or its node stops")]
    Cancelled {
        /// Which queue.
        queue: String,
    },
    /// It is there, and says nothing.
    #[error("the broker did not {action} within {} ms", .within.as_millis())]
    Silent {
        /// What it was asked.
        action: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// A message could not be taken out of the way.
    #[error("the broker did not take a message to `{queue}`")]
    NotMoved {
        /// Where it should go.
        queue: String,
    },
}

/// A message and where it came from.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) channel: usize,
    pub(super) tag: u64,
    pub(super) delivered: Delivered,
}

pub(super) struct Session {
    connection: Open,
    /// Of the lanes, and last the one of what is taken alone.
    channels: Vec<Channel>,
    queues: Vec<String>,
    prefetch: u16,
    streams: SelectAll<Deliveries>,
}

/// What one queue delivers, and on which channel.
struct Deliveries {
    channel: usize,
    consumer: lapin::Consumer,
    is_ended: bool,
}

impl Stream for Deliveries {
    /// The channel, and what came; `None`: the broker delivers no more, which is no error and must be seen too.
    type Item = (usize, Option<Result<Delivery, lapin::Error>>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let delivery = ready!(self.consumer.poll_next_unpin(context));
        self.is_ended = delivery.is_none();
        Poll::Ready(Some((self.channel, delivery)))
    }
}

impl Session {
    /// Connects, and declares the queues unless they are known to be there; nothing is delivered yet.
    pub(super) async fn open(
        config: &BrokerConfig,
        topology: &Topology,
        is_declared: bool,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let connection = connect(config, "consume").await?;
        if !is_declared {
            topology.declare(&connection.channel().await?).await?;
        }
        let queues: Vec<_> = topology.lanes().chain([topology.alone()]).collect();
        let mut channels = Vec::with_capacity(queues.len());
        for _ in &queues {
            channels.push(connection.channel().await?);
        }
        tracing::info!(queue = config.queue, "connected to the broker, to consume");
        Ok(Self { connection, channels, queues, prefetch, streams: SelectAll::new() })
    }

    /// Asks for the next message to be taken alone. The future must not be dropped: the message may be on its way.
    pub(super) fn get_alone(&self) -> impl Future<Output = Result<Option<Delivery>, BrokerError>> + use<> {
        let got = self.channels.last().cloned().zip(self.queues.last().cloned());
        async move {
            let Some((channel, queue)) = got else { return Ok(None) };
            let got = channel.basic_get(queue.into(), BasicGetOptions::default());
            Ok(answered("give a message", got).await?.map(|got| got.delivery))
        }
    }

    /// Has the broker deliver from all queues; for [`deliver`](Self::deliver). The future must not be dropped: messages
    /// may be on their way.
    pub(super) fn consume(&self) -> impl Future<Output = Result<Vec<lapin::Consumer>, BrokerError>> + use<> {
        let (channels, queues) = (self.channels.clone(), self.queues.clone());
        let (prefetch, alone) = (self.prefetch, self.alone());
        async move {
            let mut consumers = Vec::with_capacity(channels.len());
            for (channel, (opened, queue)) in channels.iter().zip(queues).enumerate() {
                let prefetch = if channel == alone { 1 } else { prefetch };
                opened.basic_qos(prefetch, BasicQosOptions::default()).await?;
                let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
                let consumer = opened.basic_consume(queue.into(), "".into(), options, arguments);
                consumers.push(answered("begin to deliver", consumer).await?);
            }
            Ok(consumers)
        }
    }

    /// From now on [`next`](Self::next) has what these are delivered.
    pub(super) fn deliver(&mut self, consumers: Vec<lapin::Consumer>) {
        for (channel, consumer) in consumers.into_iter().enumerate() {
            self.streams.push(Deliveries { channel, consumer, is_ended: false });
        }
    }

    /// The next message of any queue. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Message, BrokerError> {
        match self.streams.next().await {
            Some((channel, Some(delivery))) => Ok(self.message(channel, delivery?)),
            Some((channel, None)) => {
                Err(BrokerError::Cancelled { queue: self.queues.get(channel).cloned().unwrap_or_default() })
            }
            None => Err(BrokerError::Cancelled { queue: self.queues.join("`, `") }),
        }
    }

    /// To acknowledge what came on a channel.
    pub(super) fn ack_channel(&self, channel: usize) -> AckChannel {
        AckChannel(self.channels.get(channel).cloned())
    }

    /// The channel of what is taken alone.
    pub(super) fn alone(&self) -> usize {
        self.channels.len().saturating_sub(1)
    }

    pub(super) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    pub(super) fn message(&self, channel: usize, delivery: Delivery) -> Message {
        Message {
            channel,
            tag: delivery.delivery_tag,
            delivered: Delivered {
                queue: self.queues.get(channel).cloned().unwrap_or_default(),
                body: delivery.data.into(),
                properties: delivery.properties,
                is_alone: channel == self.alone(),
            },
        }
    }
}

/// Where messages are acknowledged: on the channel that they came on, if there is one of that number.
pub(super) struct AckChannel(Option<Channel>);

impl AckChannel {
    /// Acknowledges a message, with all before it on the channel if `multiple`.
    pub(super) async fn ack(self, tag: u64, multiple: bool) -> Result<(), BrokerError> {
        match self.0 {
            Some(channel) => Ok(channel.basic_ack(tag, BasicAckOptions { multiple }).await?),
            None => Ok(()),
        }
    }
}

/// What the broker answers, if it does.
pub(super) async fn answered<T>(
    action: &'static str,
    asked: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match timeout(ANSWERED_WITHIN, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(BrokerError::Silent { action, within: ANSWERED_WITHIN }),
    }
}

impl BrokerError {
    /// Whether the queues may be gone, so that they have to be declared again.
    pub(super) fn is_about_queues(&self) -> bool {
        match self {
            Self::Topology(_) | Self::Cancelled { .. } => true,
            Self::Ended(source) => match source.kind() {
                ErrorKind::ProtocolError(said) => {
                    *said.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
                }
                _ => false,
            },
            Self::Connect(_) | Self::Silent { .. } | Self::NotMoved { .. } => false,
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("queues", &self.queues).finish_non_exhaustive()
    }
}
