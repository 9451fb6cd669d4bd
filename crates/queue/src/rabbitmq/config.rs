//! Settings of publisher and consumer, and the checks that need no broker.

use lapin::uri::{AMQPScheme, AMQPUri};
use std::fmt;
use std::time::Duration;

use super::tls::Tls;

/// How often a dead peer is looked for where the address does not say (`?heartbeat=`): half-open connections are
/// found after twice this.
const HEARTBEAT_SECONDS: u16 = 10;

/// Which broker, and which queues in it.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// One address per node of the cluster.
    pub addresses: Addresses,
    /// Certificates, for `amqps`.
    pub tls: Tls,
    /// Names of the queues begin with it; see [`topology`](super::topology).
    pub queue: String,
    /// So many queues share the load; a flood in one leaves the others alone.
    pub lanes: u16,
    /// What RabbitMQ shows as the connection's name.
    pub connection_name: String,
    /// A node that has not let us in after this time is given up.
    pub connect_timeout: Duration,
}

/// How messages are published.
#[derive(Clone, Debug)]
pub struct PublishConfig {
    /// Whether what is waiting travels together in one message; otherwise each record is a message.
    pub framing: bool,
    /// Records of a frame, at most.
    pub frame_records_max: usize,
    /// Bytes of a frame; a longer record travels alone.
    pub frame_bytes_max: usize,
    /// Messages of a lane that may be unconfirmed.
    pub unconfirmed_max: usize,
    /// Records that may wait for their confirm, over all lanes; each lane has an equal share.
    pub in_flight_records_max: usize,
    /// Their payload bytes, likewise.
    pub in_flight_bytes_max: usize,
    /// Bytes a record may have.
    pub record_bytes_max: usize,
    /// Who publishes has an answer after this time, whatever the broker does.
    pub answer_timeout: Duration,
}

impl Default for PublishConfig {
    /// Frames of up to 64 records or 256 KiB, 4 of them unconfirmed in each lane; records up to 8 MiB, 64 MiB or 16,384
    /// records in flight, answers within 5 s.
    fn default() -> Self {
        Self {
            framing: true,
            frame_records_max: 64,
            frame_bytes_max: 256 << 10,
            unconfirmed_max: 4,
            in_flight_records_max: 16_384,
            in_flight_bytes_max: 64 << 20,
            record_bytes_max: 8 << 20,
            answer_timeout: Duration::from_secs(5),
        }
    }
}

/// How messages are consumed.
#[derive(Clone, Debug)]
pub struct ConsumeConfig {
    /// Messages of a lane that the broker delivers before one of them is acknowledged.
    pub prefetch: u16,
}

impl Default for ConsumeConfig {
    /// 500: with full frames 32,000 records of a lane.
    fn default() -> Self {
        Self { prefetch: 500 }
    }
}

/// Addresses of the broker's nodes, which hold a password: never shown.
#[derive(Clone)]
pub struct Addresses(Vec<AMQPUri>);

/// An address that is none.
#[derive(Debug, thiserror::Error)]
#[error("address {index} of the broker is none: {reason}; write it as amqps://USER:PASSWORD@HOST:PORT/VHOST")]
pub struct AddressError {
    /// Which one, counted from 1.
    index: usize,
    reason: String,
}

impl Addresses {
    /// One or more addresses, separated by commas or white space.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let separated = text.split(|char: char| char == ',' || char.is_whitespace());
        let mut addresses = Vec::new();
        for address in separated.filter(|address| !address.is_empty()) {
            let index = addresses.len() + 1;
            let mut address: AMQPUri = address.parse().map_err(|reason| AddressError { index, reason })?;
            address.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(AddressError { index: 1, reason: "it is empty".to_owned() });
        }
        Ok(Self(addresses))
    }

    /// Whether one of them is `amqps`.
    pub fn use_tls(&self) -> bool {
        self.0.iter().any(|address| address.scheme == AMQPScheme::AMQPS)
    }

    pub(super) fn as_slice(&self) -> &[AMQPUri] {
        &self.0
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(node)).finish()
    }
}

/// Host and port: what of an address may be shown.
pub(super) fn node(address: &AMQPUri) -> String {
    format!("{}:{}", address.authority.host, address.authority.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_separated_by_commas_or_white_space_and_show_no_password() {
        let addresses =
            Addresses::parse("amqp://u:s3cret@one:5672/%2f, amqps://two/v?heartbeat=3\n").unwrap();
        assert_eq!(format!("{addresses:?}"), r#"["one:5672", "two:5671"]"#);
        let heartbeats: Vec<_> = addresses.as_slice().iter().map(|address| address.query.heartbeat).collect();
        assert_eq!(heartbeats, [Some(HEARTBEAT_SECONDS), Some(3)]);
    }

    #[test]
    fn what_is_no_address_is_an_error_that_shows_no_password() {
        for (text, index) in
            [("", 1), (" , ", 1), ("http://u:s3cret@h", 1), ("amqp://a amqp://u:s3cret@:x", 2)]
        {
            let error = Addresses::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("address {index} ")) && !error.contains("s3cret"), "{error}");
        }
    }
}
