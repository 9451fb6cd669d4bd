//! A connection to one node of the broker. It is not kept alive behind anybody's back: when it ends, whoever uses it
//! knows what of his was not confirmed, and makes another.

use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionBuilder, ConnectionProperties, ErrorKind, runtime};
use rand::seq::SliceRandom as _;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

use super::config::{BrokerConfig, node};

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
    /// One of the two does not trust the other.
    #[error("the broker at {node} cannot be reached: {advice}")]
    Untrusted {
        /// Host and port.
        node: String,
        /// What to look at.
        advice: &'static str,
        /// What went wrong.
        #[source]
        source: lapin::Error,
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

/// Connects to the first node, in random order, that lets us in; the error is the last one's. `purpose` is part of the
/// connection's name: publishing and consuming each have their own, since a broker in need blocks those that publish.
pub(super) async fn connect(config: &BrokerConfig, purpose: &str) -> Result<Connection, ConnectError> {
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
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(source)) => failed(address, node, source),
            Err(_) => ConnectError::TimedOut { node, within: config.connect_timeout },
        });
    }
    // `Addresses` holds at least one.
    Err(last
        .unwrap_or_else(|| ConnectError::TimedOut { node: String::new(), within: config.connect_timeout }))
}

/// What the TLS library says is for who knows certificates; the advice is for who has a configuration.
fn failed(address: &AMQPUri, node: String, source: lapin::Error) -> ConnectError {
    let said = source.to_string();
    // The alert that says why may be overtaken by the end of the connection.
    let is_cut = address.scheme == AMQPScheme::AMQPS
        && matches!(source.kind(), ErrorKind::IOError(error) if error.kind() == io::ErrorKind::ConnectionReset);
    let advice = if said.contains("invalid peer certificate") {
        "its certificate is not trusted, or not for this host: queue.ca_file names authorities beside the system's"
    } else if is_cut || said.contains("fatal alert") {
        "it does not accept our certificate, or demands one: queue.client_certificate_file and queue.client_key"
    } else {
        return ConnectError::Broker { node, source };
    };
    ConnectError::Untrusted { node, advice, source }
}

/// Takes leave of the broker; what goes wrong is of no consequence, since nothing is left to be sent.
pub(super) async fn close(connection: &Connection) {
    match timeout(FAREWELL_MAX, connection.close(200, ShortString::from("done"))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the broker did not hear that the connection is closed"),
        Err(_) => tracing::debug!("the broker did not answer that the connection is closed"),
    }
}
