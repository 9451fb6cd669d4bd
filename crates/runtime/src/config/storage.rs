//! `[store]`.

use std::net::SocketAddr;

use serde::Deserialize;

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
    /// ClickHouse server's HTTP or HTTPS address, for kind `clickhouse`.
    pub url: String,
    /// User, for kind `clickhouse`.
    pub user: String,
    /// Password, for kind `clickhouse`.
    pub password: Option<SecretRef>,
    /// Database that holds the tables.
    pub database: String,
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

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            listen: SocketAddr::from(([127, 0, 0, 1], 8123)),
            memory_bytes_max: 4 << 30,
            url: "http://127.0.0.1:8123".to_owned(),
            user: "default".to_owned(),
            password: None,
            database: "tillwatch".to_owned(),
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
