//! `[queue]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::SecretRef;

/// Between ingest and processor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// `embedded` or `rabbitmq`.
    pub kind: QueueKind,
    /// Bytes waiting to become durable at once; more are answered 503.
    pub in_flight_bytes_max: usize,

    /// The log on disk may grow to this; then providers are answered 503 until the processor catches up.
    pub bytes_max: u64,
    /// Size of one file of the log; a consumed file is deleted whole.
    pub segment_bytes: u64,

    /// For kind `rabbitmq`: whether webhooks that the broker does not confirm go onto a log on the local disk, of the
    /// size that `bytes_max` and `segment_bytes` say, and from there to the broker when it confirms again.
    pub spool: bool,
    /// A webhook that the broker has not confirmed after this time goes onto the spool.
    pub spool_after_ms: u64,

    /// One or more `amqp://` or `amqps://` addresses of one cluster's nodes, for kind `rabbitmq`.
    pub url: Option<SecretRef>,
    /// The names of its queues begin with this.
    pub name: String,
    /// Queues that share the load, each for a part of the sources.
    pub lanes: u16,
    /// Whether what is waiting travels together in one message.
    pub framing: bool,
    /// Messages of a lane that the broker delivers to a processor before one is acknowledged.
    pub prefetch: u16,
    /// A node that does not let us in within this time is given up for another.
    pub connect_timeout_ms: u64,
    /// Certificate authorities beside the system's, PEM; a relative path starts at the configuration file's folder.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and those between it and the authority, PEM.
    pub client_certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub client_key: Option<SecretRef>,
}

/// Which queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueKind {
    /// A durable log on the local disk.
    #[default]
    Embedded,
    /// Quorum queues of a RabbitMQ cluster.
    #[serde(rename = "rabbitmq")]
    RabbitMq,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            kind: QueueKind::Embedded,
            in_flight_bytes_max: 64 << 20,
            bytes_max: 8 << 30,
            segment_bytes: 64 << 20,
            spool: false,
            spool_after_ms: 1_000,
            url: None,
            name: "tillwatch.webhooks".to_owned(),
            lanes: 4,
            framing: true,
            prefetch: 500,
            connect_timeout_ms: 10_000,
            ca_file: None,
            client_certificate_file: None,
            client_key: None,
        }
    }
}
