//! Publishes what is taken out of the way, over a connection of its own: a broker in need blocks connections that
//! publish, and consuming must go on, since it is what helps.

use super::backoff::Backoff;
use super::config::BrokerConfig;
use super::connection::{Open, connect};
use super::isolation::Move;
use super::sender::publish;
use super::session::BrokerError;
use super::topology::Topology;
use crate::error::chain;
use lapin::options::ConfirmSelectOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// A broker that does not confirm for so long, and does not say that it is blocked, is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Shared with the task that moves.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    config: Arc<BrokerConfig>,
    topology: Arc<Topology>,
    open: Arc<Mutex<Option<Opened>>>,
}

#[derive(Debug)]
struct Opened {
    connection: Open,
    channel: Channel,
}

impl Mover {
    pub(super) fn new(config: Arc<BrokerConfig>, topology: Arc<Topology>) -> Self {
        Self { config, topology, open: Arc::default() }
    }

    /// Returns when the broker has confirmed all of it, and tries again and again until then: the message it comes from
    /// is not acknowledged, so that it is not lost whatever happens to us.
    pub(super) async fn publish(self, moved: Move) {
        let (mut backoff, mut confirmed) = (Backoff::new(), 0);
        while let Err(error) = self.publish_rest(&moved, &mut confirmed).await {
            tracing::warn!(
                to = moved.to,
                error = chain(&error),
                "a message cannot be taken out of the way yet; it stays where it is, and this is tried again"
            );
            sleep(backoff.next()).await;
        }
    }

    /// Publishes what follows the first `confirmed`, which grows.
    async fn publish_rest(&self, moved: &Move, confirmed: &mut usize) -> Result<(), BrokerError> {
        let mut open = self.open.lock().await;
        // Taken out, so that after an error a new connection is made.
        let opened = match open.take() {
            Some(opened) => opened,
            None => self.connect().await?,
        };
        for body in moved.bodies.iter().skip(*confirmed) {
            let headers = moved.headers.clone();
            if opened.publish(moved, body, headers).await? != Confirmation::Ack(None) {
                return Err(BrokerError::NotMoved { queue: moved.to.clone() });
            }
            *confirmed += 1;
        }
        *open = Some(opened);
        Ok(())
    }

    /// Declares the queues: the one to publish to may have been deleted.
    async fn connect(&self) -> Result<Opened, BrokerError> {
        let connection = connect(&self.config, "move").await?;
        let opening = async {
            self.topology.declare(&connection.channel().await?).await?;
            let channel = connection.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        let channel = timeout(SILENCE_MAX, opening).await.unwrap_or(Err(silent()))?;
        Ok(Opened { connection, channel })
    }
}

impl Opened {
    /// Waits for the broker's word. One that says that it takes nothing for now is waited for on the connection there is:
    /// it reads none of those that publish, so each connection given up would stay there, with what was sent on it.
    async fn publish(
        &self,
        moved: &Move,
        body: &[u8],
        headers: FieldTable,
    ) -> Result<Confirmation, BrokerError> {
        let mut confirmed = pin!(publish(&self.channel, &moved.to, body, moved.are_frames, headers));
        loop {
            match timeout(SILENCE_MAX, &mut confirmed).await {
                Ok(confirmed) => return Ok(confirmed?),
                Err(_) if self.connection.is_blocked() => {
                    tracing::warn!(
                        to = moved.to,
                        "a message waits to be taken out of the way: the broker blocks publishers"
                    );
                }
                Err(_) => return Err(silent()),
            }
        }
    }
}

fn silent() -> BrokerError {
    BrokerError::Silent { action: "confirm", within: SILENCE_MAX }
}
