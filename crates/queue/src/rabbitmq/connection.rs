//! A connection to one node of the broker. It is not kept alive behind anybody's back: when it ends, whoever uses it
//! knows what of his was not confirmed, and makes another.

use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{
    Channel, Connection, ConnectionBuilder, ConnectionProperties, ConnectionState, ConnectionStatus,
    ErrorKind, runtime,
};
use rand::seq::SliceRandom as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::config::{BrokerConfig, node};
use super::tls;

/// A broker that does not say farewell is left without.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// No node lets us in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The network, the protocol or the credentials.
    #[error("the broker at {node} cannot be reached")]
    Broker {
        /// Host and port.
        node: String,
        /// What went wrong.
        #[source]
        source: lapin::Error,
    },
    /// Certificates: one side does not accept the other's, or one side does not speak TLS.
    #[error("the broker at {node} is not reached over TLS: {problem}")]
    Tls {
        /// Host and port.
        node: String,
        /// What is wrong, and how to mend it.
        problem: &'static str,
        /// What went wrong.
        #[source]
        source: Arc<io::Error>,
    },
    /// No answer.
    #[error("the broker at {node} did not answer within {} ms", .within.as_millis())]
    TimedOut {
        /// Host and port.
        node: String,
        /// How long was waited.
        within: Duration,
    },
}

/// A connection, closed when dropped. The client would close it when the last of its channels is closed, and a channel that
/// waits for a queue without a majority never is: each attempt to publish to it would leave a connection for good.
#[derive(Debug)]
pub(super) struct Open(Option<Connection>);

impl Open {
    pub(super) async fn channel(&self) -> Result<Channel, lapin::Error> {
        match &self.0 {
            Some(connection) => connection.create_channel().await,
            None => Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()),
        }
    }

    /// Whether the broker said that it takes nothing from publishers for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    pub(super) fn status(&self) -> Option<&ConnectionStatus> {
        self.0.as_ref().map(Connection::status)
    }

    /// Takes leave of the broker; what goes wrong is of no consequence, since nothing is left to be sent.
    pub(super) async fn close(mut self) {
        if let Some(connection) = self.0.take() {
            close(&connection).await;
        }
    }
}

impl Drop for Open {
    // It ends by itself, soon, and nobody needs what comes of it.
    fn drop(&mut self) {
        if let Some(connection) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { close(&connection).await });
        }
    }
}

/// Connects to the first node, in random order, that lets us in; the error is the last one's. `purpose` is part of the
/// connection's name: publishing and consuming each have their own, since a broker in need blocks those that publish.
pub(super) async fn connect(config: &BrokerConfig, purpose: &str) -> Result<Open, ConnectError> {
    let mut nodes: Vec<_> = config.addresses.as_slice().iter().collect();
    nodes.shuffle(&mut rand::rng());
    let mut last = None;
    for address in nodes {
        let name = format!("{} {purpose}", config.connection_name);
        let node = node(address);
        let connecting = async {
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            ConnectionBuilder::new_with_runtime(runtime::default_runtime()?)
                .with_uri(address.clone())
                .with_properties(properties)
                .with_tls_config(config.tls.to_lapin())
                .connect()
                .await
        };
        last = Some(match timeout(config.connect_timeout, connecting).await {
            Ok(Ok(connection)) => return Ok(Open(Some(connection))),
            Ok(Err(source)) => match tls::problem(&source).filter(|_| is_tls(address)) {
                Some((problem, source)) => ConnectError::Tls { node, problem, source },
                None => ConnectError::Broker { node, source },
            },
            Err(_) => ConnectError::TimedOut { node, within: config.connect_timeout },
        });
    }
    // `Addresses` holds at least one.
    Err(last
        .unwrap_or_else(|| ConnectError::TimedOut { node: String::new(), within: config.connect_timeout }))
}

fn is_tls(address: &AMQPUri) -> bool {
    address.scheme == AMQPScheme::AMQPS
}

async fn close(connection: &Connection) {
    match timeout(FAREWELL_MAX, connection.close(200, ShortString::from("done"))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the broker did not hear that the connection is closed"),
        Err(_) => tracing::debug!("the broker did not answer that the connection is closed"),
    }
}
