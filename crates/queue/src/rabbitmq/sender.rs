//! One channel: takes what waits in a lane, publishes it, and tells what the broker says.

use super::config::PublishConfig;
use super::frame;
use super::lane::{Lane, Message};
use super::link::Link;
use crate::PublishError;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, ConnectionStatus};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// AMQP's delivery mode of a message that is written to disk.
const PERSISTENT: u8 = 2;

/// The channel is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the connection to the broker ended")]
    Broker(#[from] lapin::Error),
    #[error("the broker did not confirm within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the broker has no queue `{0}`")]
    Unroutable(Arc<str>),
    /// A queue that is full refuses too; then another channel fares no better, and costs little.
    #[error("the broker refuses everything for `{0}` on this channel")]
    Refusing(Arc<str>),
}

/// A channel of 3.10 that is opened while a queue changes its leader asks the old one for ever, and refuses whatever is
/// published: after so long without a confirm another is opened.
const REFUSING_MAX: Duration = Duration::from_millis(500);

/// What one channel works with.
#[derive(Debug)]
pub(super) struct Sender {
    lane: Arc<Lane>,
    channel: Channel,
    connection: ConnectionStatus,
    link: Arc<Link>,
    unconfirmed_max: usize,
    frame_records_max: usize,
    /// A broker that does not confirm for so long, and does not say that it is blocked, is taken for gone.
    silence_max: Duration,
}

/// Messages on their way, by number. Invariant: each of them is settled, or back in its lane when this is dropped.
struct Unconfirmed {
    lane: Arc<Lane>,
    messages: BTreeMap<u64, Message>,
    /// Since when everything is refused.
    refused_since: Option<Instant>,
}

impl Sender {
    pub(super) fn new(
        lane: &Arc<Lane>,
        channel: Channel,
        connection: &ConnectionStatus,
        link: &Arc<Link>,
        config: &PublishConfig,
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            channel,
            connection: connection.clone(),
            link: Arc::clone(link),
            unconfirmed_max: config.unconfirmed_max,
            frame_records_max: config.frame_records_max,
            silence_max: config.answer_timeout,
        }
    }

    /// The same over another channel.
    pub(super) fn over(self, channel: Channel) -> Self {
        Self { channel, ..self }
    }

    /// Publishes until the channel is of no more use; what is not confirmed by then is back in the lane.
    pub(super) async fn run(self) -> (Self, SendError) {
        let error = self.send().await;
        (self, error)
    }

    async fn send(&self) -> SendError {
        let lane = Arc::clone(&self.lane);
        let mut unconfirmed = Unconfirmed { lane, messages: BTreeMap::new(), refused_since: None };
        let mut confirms = FuturesUnordered::new();
        let mut number = 0;
        loop {
            let on_their_way = confirms.len();
            tokio::select! {
                biased;
                Some((number, confirmed)) = confirms.next(), if !confirms.is_empty() => {
                    if let Err(error) = self.settle(&mut unconfirmed, number, confirmed) {
                        return error;
                    }
                }
                message = self.lane.next(self.records_min(on_their_way)), if on_their_way < self.unconfirmed_max => {
                    number += 1;
                    confirms.push(self.publish(number, message.body.clone(), message.is_frame));
                    unconfirmed.messages.insert(number, message);
                }
            }
        }
    }

    /// The more is on its way, the fuller the next frame must be: the first leaves at once, and a crowd travels together.
    fn records_min(&self, on_their_way: usize) -> usize {
        self.frame_records_max * on_their_way / self.unconfirmed_max.max(1)
    }

    /// Publishes a message and waits for the broker's word.
    async fn publish(
        &self,
        number: u64,
        body: Bytes,
        is_frame: bool,
    ) -> (u64, Result<Confirmation, SendError>) {
        let mut confirmed =
            pin!(publish(&self.channel, &self.lane.queue, &body, is_frame, FieldTable::default()));
        loop {
            match timeout(self.silence_max, &mut confirmed).await {
                Ok(confirmed) => return (number, confirmed.map_err(SendError::from)),
                // It said that it takes nothing for now: another connection would fare no better.
                Err(_) if self.connection.blocked() => {}
                Err(_) => return (number, Err(SendError::Silent(self.silence_max))),
            }
        }
    }

    fn settle(
        &self,
        unconfirmed: &mut Unconfirmed,
        number: u64,
        confirmed: Result<Confirmation, SendError>,
    ) -> Result<(), SendError> {
        let confirmed = confirmed?;
        let Some(message) = unconfirmed.messages.remove(&number) else { return Ok(()) };
        match confirmed {
            Confirmation::Ack(None) => {
                self.link.confirmed(message.records());
                self.lane.settle(message, &Ok(()));
                unconfirmed.refused_since = None;
                Ok(())
            }
            // `mandatory`: it came back, and then is acknowledged, which only says that this is all that will happen.
            Confirmation::Ack(Some(_)) => {
                let queue = Arc::clone(&self.lane.queue);
                self.link.refused();
                self.lane.settle(message, &Err(PublishError::Unroutable { queue: Arc::clone(&queue) }));
                Err(SendError::Unroutable(queue))
            }
            // `NotRequested` cannot be, on a channel whose confirms were selected; nothing says that it is stored.
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                self.link.refused();
                self.lane.settle(message, &Err(PublishError::Nacked));
                let since = *unconfirmed.refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() < REFUSING_MAX {
                    return Ok(());
                }
                Err(SendError::Refusing(Arc::clone(&self.lane.queue)))
            }
        }
    }
}

impl Drop for Unconfirmed {
    fn drop(&mut self) {
        while let Some((_, message)) = self.messages.pop_last() {
            self.lane.put_back(message);
        }
    }
}

/// Publishes a message, persistent and `mandatory`, and waits for its confirm.
pub(super) async fn publish(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    is_frame: bool,
    headers: FieldTable,
) -> Result<Confirmation, lapin::Error> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let content_type = if is_frame { frame::CONTENT_TYPE } else { "application/octet-stream" };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(content_type.into())
        .with_headers(headers);
    channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await
}
