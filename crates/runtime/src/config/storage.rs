//! `[store]`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use super::SecretRef;

/// ClickHouse.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `embedded` or `clickhouse`.
    pub kind: StoreKind,
    /// The embedded engine's ClickHouse HTTP address.
    pub listen: SocketAddr,
    /// The embedded engine's memory limit.
    pub memory_bytes_max: u64,
    /// ClickHouse server's HTTP or HTTPS address, for kind `clickhouse`; of a cluster several, separated by commas.
    pub url: String,
    /// User, for kind `clickhouse`.
    pub user: String,
    /// Password, for kind `clickhouse`.
    pub password: Option<SecretRef>,
    /// Certificate authorities beside the system's, PEM; a relative path starts at the configuration file's folder.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and those between it and the authority, PEM.
    pub client_certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub client_key: Option<SecretRef>,
    /// Database that holds the tables.
    pub database: String,
    /// Cluster that the tables are on, as the servers' `remote_servers` call it, for kind `clickhouse`.
    pub cluster: Option<String>,
    /// How many replicas of a shard must have an insert, on a cluster; more than half of them unless it is said.
    pub insert_quorum: Option<InsertQuorum>,
    /// How long rows are kept.
    pub retention: RetentionConfig,
}

/// Which ClickHouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In-process engine, run as a supervised child process.
    #[default]
    Embedded,
    /// A ClickHouse server.
    #[serde(rename = "clickhouse")]
    ClickHouse,
}

/// How many replicas of a shard must have an insert before it has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InsertQuorum {
    /// `"auto"`: more than half of them.
    #[default]
    Auto,
    /// So many; 0 or 1 is the one that took it.
    Replicas(u32),
}

impl<'de> Deserialize<'de> for InsertQuorum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = InsertQuorum;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number of replicas")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<InsertQuorum, E> {
                match text {
                    "auto" => Ok(InsertQuorum::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<InsertQuorum, E> {
                u32::try_from(number)
                    .map(InsertQuorum::Replicas)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            listen: SocketAddr::from(([127, 0, 0, 1], 8123)),
            memory_bytes_max: 4 << 30,
            url: "http://127.0.0.1:8123".to_owned(),
            user: "default".to_owned(),
            password: None,
            ca_file: None,
            client_certificate_file: None,
            client_key: None,
            database: "tillwatch".to_owned(),
            cluster: None,
            insert_quorum: None,
            retention: RetentionConfig::default(),
        }
    }
}

impl StoreConfig {
    /// Where ClickHouse answers, whichever kind.
    pub fn http_url(&self) -> String {
        match self.kind {
            StoreKind::Embedded => format!("http://{}", self.listen),
            StoreKind::ClickHouse => self.url.clone(),
        }
    }
}

/// How long rows are kept, in days; 0 keeps them for ever. Changing it takes effect at the next `migrate`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Raw requests: the bulk of the bytes, needed for replays and disputes.
    pub webhooks_days: u32,
    /// Facts.
    pub payment_events_days: u32,
    /// Requests that could not be parsed.
    pub parked_webhooks_days: u32,
    /// Alert history.
    pub alert_transitions_days: u32,
    /// Signs of life.
    pub heartbeats_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            webhooks_days: 90,
            payment_events_days: 400,
            parked_webhooks_days: 90,
            alert_transitions_days: 400,
            heartbeats_days: 7,
        }
    }
}
