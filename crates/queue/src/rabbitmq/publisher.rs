//! The publishing side, as everybody who publishes holds it, and the task that keeps it connected.

use super::backoff::Backoff;
use super::config::{BrokerConfig, PublishConfig};
use super::connection::{ConnectError, Open, connect};
use super::lane::Lane;
use super::link::{BrokerStats, Link};
use super::sender::{SendError, Sender};
use super::topology::{Topology, TopologyError};
use crate::error::chain;
use crate::{OpenError, PublishError};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A handle to publish with; clones share one connection.
#[derive(Clone, Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lanes: Vec<Arc<Lane>>,
    config: PublishConfig,
    link: Arc<Link>,
    stop: CancellationToken,
    connected: Mutex<Option<JoinHandle<()>>>,
}

/// Why a connection is of no more use, or was not made.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("a channel cannot be opened")]
    Channel(#[from] lapin::Error),
}

/// Opens the publishing side. The first connection is made here, so that an operator hears at once of queues that are
/// not as they must be; a broker that is away is waited for later, since webhooks can be answered 503 meanwhile.
pub async fn open_publisher(broker: BrokerConfig, config: PublishConfig) -> Result<Publisher, OpenError> {
    let topology = Topology::new(&broker.queue, broker.lanes);
    let lanes: Vec<_> =
        topology.lanes().map(|queue| Arc::new(Lane::new(queue, &config, broker.lanes))).collect();
    let link = Arc::new(Link::new());
    let mut connection = Connector {
        broker,
        topology,
        is_declared: false,
        config: config.clone(),
        lanes: lanes.clone(),
        link: Arc::clone(&link),
    };
    let first = match connection.connect().await {
        Err(SessionError::Topology(error)) if error.is_for_good() => return Err(OpenError::Topology(error)),
        first => first,
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "`Publisher::close`, which the lifecycle calls, waits for it"
    )]
    let connected = tokio::spawn(async move { connection.keep(first, stopped).await });
    Ok(Publisher {
        inner: Arc::new(Inner { lanes, config, link, stop, connected: Mutex::new(Some(connected)) }),
    })
}

impl Publisher {
    /// Publishes a record to the lane of that number, modulo their count. The pieces are copied before this returns, and
    /// the future is ready when the broker has confirmed or refused it, or time is over. If the future is dropped
    /// before, the record may or may not be stored.
    pub fn publish(
        &self,
        lane: usize,
        payload: &[&[u8]],
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let admitted = self.admit(lane, payload);
        let (link, within) = (Arc::clone(&self.inner.link), self.inner.config.answer_timeout);
        async move {
            let Ok(told) = timeout(within, admitted?).await else {
                return Err(link.away().map_or(PublishError::TimedOut { within }, |reason| {
                    PublishError::BrokerAway { reason }
                }));
            };
            // A lane drops a waiter without an answer only if it is dropped itself.
            told.unwrap_or(Err(PublishError::Closed))
        }
    }

    fn admit(
        &self,
        lane: usize,
        payload: &[&[u8]],
    ) -> Result<tokio::sync::oneshot::Receiver<Result<(), PublishError>>, PublishError> {
        let bytes = payload.iter().map(|piece| piece.len()).sum();
        let bytes_max = self.inner.config.record_bytes_max;
        if bytes > bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max });
        }
        let lane = self.inner.lanes.get(lane % self.inner.lanes.len().max(1)).ok_or(PublishError::Closed)?;
        lane.admit(payload)
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.inner.lanes.len()
    }

    /// Why nothing can be published now.
    pub(crate) fn away(&self) -> Option<Arc<str>> {
        self.inner.link.away()
    }

    /// Takes no more records, and returns when those that were admitted have their answers.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.lanes.iter().for_each(|lane| lane.close());
        let empty = async {
            for lane in &inner.lanes {
                lane.empty().await;
            }
        };
        if timeout(inner.config.answer_timeout, empty).await.is_err() {
            tracing::warn!("not all of what was published was confirmed; its senders were told so");
        }
        inner.stop.cancel();
        let connected = inner.connected.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connected) = connected
            && let Err(error) = connected.await
        {
            tracing::error!(%error, "publishing ended badly");
        }
    }

    /// Figures for metrics.
    pub fn stats(&self) -> BrokerStats {
        let in_flight = self.inner.lanes.iter().map(|lane| lane.in_flight());
        let in_flight = in_flight.fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
        self.inner.link.stats(in_flight)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Makes connections, one after the other.
struct Connector {
    broker: BrokerConfig,
    topology: Topology,
    /// Whether the queues were there when somebody last looked. Asking again would wait for those that have no leader
    /// at the moment, while the others could be published to.
    is_declared: bool,
    config: PublishConfig,
    lanes: Vec<Arc<Lane>>,
    link: Arc<Link>,
}

/// A connection and what works on it.
struct Session {
    connection: Arc<Open>,
    senders: Vec<Sender>,
}

impl Connector {
    /// Keeps a connection until `stop`.
    async fn keep(&mut self, first: Result<Session, SessionError>, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut session = first;
        loop {
            let error = match session {
                Ok(session) => {
                    backoff.reset();
                    match session.run(&stop).await {
                        Some(error) => error.into(),
                        None => return,
                    }
                }
                Err(error) => error,
            };
            self.is_declared &= !matches!(error, SessionError::Send(SendError::Unroutable(_)));
            self.lost(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(backoff.next()) => {}
            }
            session = tokio::select! {
                () = stop.cancelled() => return,
                session = self.connect() => session,
            };
        }
    }

    async fn connect(&mut self) -> Result<Session, SessionError> {
        let connection = Arc::new(connect(&self.broker, "publish").await?);
        if !self.is_declared {
            self.topology.declare(&connection.channel().await?).await?;
            self.is_declared = true;
        }
        let mut senders = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            senders.push(Sender::open(lane, &connection, &self.link, &self.config).await?);
        }
        self.link.up(&connection);
        tracing::info!(queue = self.broker.queue, "connected to the broker, to publish");
        Ok(Session { connection, senders })
    }

    fn lost(&self, error: &SessionError) {
        let reason = chain(error);
        tracing::warn!(reason, "the broker is away; trying again");
        self.link.down(&reason);
    }
}

impl Session {
    /// Publishes until the connection is of no more use; `None`: until `stop`.
    async fn run(self, stop: &CancellationToken) -> Option<SendError> {
        let mut sending = JoinSet::new();
        for sender in self.senders {
            sending.spawn(sender.run());
        }
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            Some(ended) = sending.join_next() => {
                Some(ended.unwrap_or_else(|error| SendError::Broker(std::io::Error::other(error).into())))
            }
        };
        // What they had not confirmed is back in the lanes before anything else is published.
        sending.shutdown().await;
        // One that has ended is closed when dropped, and not waited for: webhooks wait for the next.
        if ended.is_none()
            && let Some(connection) = Arc::into_inner(self.connection)
        {
            connection.close().await;
        }
        ended
    }
}
