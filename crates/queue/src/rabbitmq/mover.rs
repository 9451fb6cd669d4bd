//! Publishes what is taken out of the way, over a connection of its own: a broker in need blocks connections that
//! publish, and consuming must go on, since it is what helps.

use super::config::BrokerConfig;
use super::connection::connect;
use super::isolation::Move;
use super::sender::publish;
use super::session::BrokerError;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Confirmation, Connection};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Shared with the task that moves.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    config: Arc<BrokerConfig>,
    open: Arc<Mutex<Option<(Connection, Channel)>>>,
}

impl Mover {
    pub(super) fn new(config: Arc<BrokerConfig>) -> Self {
        Self { config, open: Arc::default() }
    }

    /// Returns when the broker has confirmed all of it.
    pub(super) async fn publish(self, moved: Move) -> Result<(), BrokerError> {
        let mut open = self.open.lock().await;
        // Taken out, so that after an error a new connection is made.
        let (connection, channel) = match open.take() {
            Some(opened) => opened,
            None => self.connect().await?,
        };
        for body in &moved.bodies {
            let confirmed =
                publish(&channel, &moved.to, body, moved.are_frames, moved.headers.clone()).await?;
            if confirmed != Confirmation::Ack(None) {
                return Err(BrokerError::NotMoved { queue: moved.to });
            }
        }
        *open = Some((connection, channel));
        Ok(())
    }

    async fn connect(&self) -> Result<(Connection, Channel), BrokerError> {
        let connection = connect(&self.config, "move").await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }
}
