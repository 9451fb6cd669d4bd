//! The consuming side: batches over all lanes, from one connection after the other.

use super::backoff::Backoff;
use super::config::{BrokerConfig, ConsumeConfig};
use super::connected::Connected;
use super::mover::Mover;
use super::session::{BrokerError, Session};
use super::task::Task;
use super::topology::Topology;
use crate::error::chain;
use crate::{Batch, BatchLimits, ConsumeError, OpenError, Position};
use std::sync::Arc;
use tokio::time::sleep;

/// Consumes all lanes; any number of consumers, in any number of processes, share them.
#[derive(Debug)]
pub struct Consumer {
    broker: Arc<BrokerConfig>,
    topology: Arc<Topology>,
    config: ConsumeConfig,
    mover: Mover,
    backoff: Backoff,
    connection: Connection,
    /// Positions are numbered through all connections, so that what is acknowledged late is told from what is new.
    last_position: u64,
}

#[derive(Debug)]
enum Connection {
    None,
    Connecting(Task<Session>),
    Connected(Box<Connected>),
}

/// Opens the consuming side. That the queues are as they must be is seen here; a broker that is away is waited for.
/// Nothing is delivered before the first [`receive`](Consumer::receive).
pub async fn open_consumer(broker: BrokerConfig, config: ConsumeConfig) -> Result<Consumer, OpenError> {
    let topology = Topology::new(&broker.queue, broker.lanes);
    open_consumer_of(broker, topology, config).await
}

/// The same, of queues that are declared otherwise; for tests.
pub async fn open_consumer_of(
    broker: BrokerConfig,
    topology: Topology,
    config: ConsumeConfig,
) -> Result<Consumer, OpenError> {
    match Session::open(&broker, &topology, config.prefetch).await {
        Ok(session) => session.close().await,
        Err(BrokerError::Topology(error)) if error.is_for_good() => return Err(OpenError::Topology(error)),
        Err(error) => tracing::warn!(error = chain(&error), "the broker is away"),
    }
    let (broker, topology) = (Arc::new(broker), Arc::new(topology));
    Ok(Consumer {
        mover: Mover::new(Arc::clone(&broker), Arc::clone(&topology)),
        broker,
        topology,
        config,
        backoff: Backoff::new(),
        connection: Connection::None,
        last_position: 0,
    })
}

impl Consumer {
    /// Waits for a batch: until `records_max` or `bytes_max` is reached, `linger` has passed since its first record came,
    /// or half of what the broker delivers without an acknowledgement is here. Nothing is lost if the future is
    /// dropped. After an error the next call connects anew, after a growing pause.
    pub async fn receive(&mut self, limits: &BatchLimits) -> Result<Batch, ConsumeError> {
        match self.receive_or_fail(limits).await {
            Ok(batch) => Ok(batch),
            Err(error) => {
                self.connection = Connection::None;
                Err(ConsumeError::Broker(error))
            }
        }
    }

    /// Everything up to and including `through` is done. What the broker cannot be told, because the connection it came
    /// on has ended, is delivered again.
    pub async fn ack(&mut self, through: Position) -> Result<(), ConsumeError> {
        let (position, received) = (through.as_u64(), self.last_position);
        if position > received {
            return Err(ConsumeError::NotReceived { position, received });
        }
        if let Connection::Connected(connected) = &mut self.connection
            && let Err(error) = connected.ack(position).await
        {
            tracing::warn!(
                error = chain(&error),
                "the broker did not hear what is done, and delivers it again"
            );
            self.connection = Connection::None;
        }
        Ok(())
    }

    async fn receive_or_fail(&mut self, limits: &BatchLimits) -> Result<Batch, BrokerError> {
        loop {
            match &mut self.connection {
                Connection::Connected(connected) => {
                    if let Some(batch) = connected.take(limits, &mut self.last_position) {
                        return Ok(batch);
                    }
                    connected.progress(limits, &self.topology).await?;
                }
                Connection::Connecting(connecting) => {
                    let session = connecting.result().await?;
                    self.backoff.reset();
                    self.connection =
                        Connection::Connected(Box::new(Connected::new(session, self.mover.clone())));
                }
                Connection::None => self.connection = Connection::Connecting(self.connect()),
            }
        }
    }

    fn connect(&mut self) -> Task<Session> {
        let (broker, topology) = (Arc::clone(&self.broker), Arc::clone(&self.topology));
        let (pause, prefetch) = (self.backoff.next(), self.config.prefetch);
        Task::spawn(async move {
            sleep(pause).await;
            Session::open(&broker, &topology, prefetch).await
        })
    }
}
