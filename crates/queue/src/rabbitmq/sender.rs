//! A lane on its way: takes what waits in a lane, publishes it, and tells what the broker says.

use super::backoff::Backoff;
use super::config::PublishConfig;
use super::connection::Open;
use super::frame;
use super::lane::{Lane, Message};
use super::link::Link;
use crate::PublishError;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// AMQP's delivery mode of a message that is written to disk.
const PERSISTENT: u8 = 2;

/// A channel on which everything is refused for so long is given up for another.
const REFUSED_MAX: Duration = Duration::from_millis(500);

/// The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the connection to the broker ended")]
    Broker(#[from] lapin::Error),
    #[error("the broker did not confirm within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the broker has no queue `{0}`")]
    Unroutable(Arc<str>),
}

/// What works on one lane, over one channel after the other.
#[derive(Debug)]
pub(super) struct Sender {
    lane: Arc<Lane>,
    connection: Arc<Open>,
    channel: Channel,
    link: Arc<Link>,
    unconfirmed_max: usize,
    frame_records_max: usize,
    /// A broker that does not confirm for so long, and does not say that it is blocked, is taken for gone.
    silence_max: Duration,
}

/// Whether the broker refuses what is published.
#[derive(Debug, Default)]
struct Refusal {
    /// The first refusal since something was taken, on whatever channel.
    since: Option<Instant>,
    /// Nothing was taken on the channel there is.
    is_channel_new: bool,
}

/// Messages on their way, by number. Invariant: each of them is settled, or back in its lane when this is dropped.
struct Unconfirmed {
    lane: Arc<Lane>,
    messages: BTreeMap<u64, Message>,
}

impl Sender {
    pub(super) async fn open(
        lane: &Arc<Lane>,
        connection: &Arc<Open>,
        link: &Arc<Link>,
        config: &PublishConfig,
    ) -> Result<Self, lapin::Error> {
        Ok(Self {
            lane: Arc::clone(lane),
            connection: Arc::clone(connection),
            channel: open_channel(connection).await?,
            link: Arc::clone(link),
            unconfirmed_max: config.unconfirmed_max,
            frame_records_max: config.frame_records_max,
            silence_max: config.answer_timeout,
        })
    }

    /// Publishes until the connection is of no more use; what is not confirmed by then is back in the lane.
    pub(super) async fn run(mut self) -> SendError {
        let (mut refusal, mut backoff) = (Refusal::default(), Backoff::new());
        loop {
            if let Err(error) = self.run_channel(&mut refusal).await {
                return error;
            }
            if refusal.is_channel_new {
                sleep(backoff.next()).await;
            } else {
                backoff.reset();
            }
            tracing::warn!(
                queue = &*self.lane.queue,
                "the broker refuses what is published: trying another channel"
            );
            match open_channel(&self.connection).await {
                Ok(channel) => self.channel = channel,
                Err(error) => return error.into(),
            }
        }
    }

    /// Publishes until the channel is given up, and nothing is on its way.
    ///
    /// With RabbitMQ 3.10 a channel whose first message finds the node of the queue's leader dead refuses everything for good,
    /// also when there is another leader. So what a new channel refuses is put back for the next one, for a while.
    async fn run_channel(&self, refusal: &mut Refusal) -> Result<(), SendError> {
        let mut unconfirmed = Unconfirmed { lane: Arc::clone(&self.lane), messages: BTreeMap::new() };
        let mut confirms = FuturesUnordered::new();
        let (mut number, mut is_given_up) = (0, false);
        refusal.is_channel_new = true;
        let opened = Instant::now();
        loop {
            let on_their_way = confirms.len();
            if is_given_up && on_their_way == 0 {
                return Ok(());
            }
            let takes_more = on_their_way < self.unconfirmed_max && !is_given_up;
            tokio::select! {
                biased;
                Some((number, confirmed)) = confirms.next(), if on_their_way > 0 => {
                    let confirmed = confirmed?;
                    if is_refusal(&confirmed) {
                        let since = *refusal.since.get_or_insert_with(Instant::now);
                        if refusal.is_channel_new && since.elapsed() < self.silence_max / 2 {
                            is_given_up = true;
                            continue;
                        }
                        is_given_up |= since.max(opened).elapsed() >= REFUSED_MAX;
                    } else {
                        *refusal = Refusal::default();
                    }
                    self.settle(&mut unconfirmed, number, &confirmed)?;
                }
                message = self.lane.next(self.records_min(on_their_way)), if takes_more => {
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
                Err(_) if self.connection.is_blocked() => {}
                Err(_) => return (number, Err(SendError::Silent(self.silence_max))),
            }
        }
    }

    fn settle(
        &self,
        unconfirmed: &mut Unconfirmed,
        number: u64,
        confirmed: &Confirmation,
    ) -> Result<(), SendError> {
        let Some(message) = unconfirmed.messages.remove(&number) else { return Ok(()) };
        match confirmed {
            Confirmation::Ack(None) => {
                self.link.confirmed(message.records());
                self.lane.settle(message, &Ok(()));
                Ok(())
            }
            // `mandatory`: it came back, and then is acknowledged, which only says that this is all that will happen.
            Confirmation::Ack(Some(_)) => {
                let queue = Arc::clone(&self.lane.queue);
                self.link.refused();
                self.lane.settle(message, &Err(PublishError::Unroutable { queue: Arc::clone(&queue) }));
                Err(SendError::Unroutable(queue))
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                self.link.refused();
                self.lane.settle(message, &Err(PublishError::Nacked));
                Ok(())
            }
        }
    }
}

/// `NotRequested` cannot be, on a channel whose confirms were selected; nothing says that it is stored.
fn is_refusal(confirmed: &Confirmation) -> bool {
    matches!(confirmed, Confirmation::Nack(_) | Confirmation::NotRequested)
}

impl Drop for Unconfirmed {
    fn drop(&mut self) {
        while let Some((_, message)) = self.messages.pop_last() {
            self.lane.put_back(message);
        }
    }
}

async fn open_channel(connection: &Open) -> Result<Channel, lapin::Error> {
    let channel = connection.channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
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
