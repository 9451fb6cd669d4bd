//! One TOML file plus environment variables, read once at the start.
//!
//! Every key has a default where one makes sense; an unknown key is an error that names it, its file and its line.
//! `TILLWATCH_INGEST__LISTEN` overrides `[ingest] listen`. Units are in the names. `config/tillwatch.sample.toml` shows every
//! key with its default, and a test parses it.

mod alerting;
mod check;
mod load;
mod queue;
mod secret_ref;
pub mod services;
mod sources;
mod storage;

use std::path::PathBuf;

use payments::Secret;
use serde::Deserialize;

pub use alerting::{AlertingConfig, ChannelConfig, ChannelKind};
pub use check::Problem;
pub use load::ConfigError;
pub use queue::{QueueConfig, QueueKind};
pub use secret_ref::{SecretRef, SecretRefError};
pub use services::{AdminConfig, IngestConfig, ProcessorConfig, ShutdownConfig, TelemetryConfig};
pub use sources::SourceConfig;
pub use storage::{InsertQuorum, RetentionConfig, StoreConfig, StoreKind};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where webhooks come from.
    pub sources: Vec<SourceConfig>,
    /// The HTTP endpoint for providers.
    pub ingest: IngestConfig,
    /// The HTTP endpoint for operators.
    pub admin: AdminConfig,
    /// Between ingest and processor.
    pub queue: QueueConfig,
    /// From envelopes to rows.
    pub processor: ProcessorConfig,
    /// ClickHouse.
    pub store: StoreConfig,
    /// Rules and pages.
    pub alerting: AlertingConfig,
    /// Where pages go.
    pub channels: Vec<ChannelConfig>,
    /// Logs, metrics, traces.
    pub telemetry: TelemetryConfig,
    /// How long draining may take.
    pub shutdown: ShutdownConfig,

    /// The file it was read from; empty if there was none.
    #[serde(skip)]
    pub file: PathBuf,
    /// Where state is kept (`--data-dir`).
    #[serde(skip)]
    pub data_dir: PathBuf,
}

/// Room in a queue record for what an envelope adds to the body and the head: source, trace.
const ENVELOPE_BYTES_MAX: usize = 64 << 10;

impl Config {
    /// The largest record that ingest gives to the queue.
    pub fn record_bytes_max(&self) -> usize {
        let webhook = self.ingest.body_bytes_max.saturating_add(self.ingest.header_bytes_max);
        webhook.saturating_add(ENVELOPE_BYTES_MAX)
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self) -> PathBuf {
        self.file.parent().map(PathBuf::from).unwrap_or_default()
    }

    /// Where the broker may be reached, with user and password.
    pub fn queue_url(&self) -> Result<Secret, SecretRefError> {
        self.queue.url.as_ref().ok_or(SecretRefError::NotOne)?.resolve(&self.folder())
    }

    /// Where the embedded queue keeps its log.
    pub fn queue_dir(&self) -> PathBuf {
        self.data_dir.join("queue")
    }

    /// Where webhooks are kept that the broker has not confirmed.
    pub fn spool_dir(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    /// Where the embedded ClickHouse keeps its data.
    pub fn engine_dir(&self) -> PathBuf {
        self.data_dir.join("clickhouse")
    }

    /// Where alerting keeps its state.
    pub fn alerting_state_file(&self) -> PathBuf {
        self.data_dir.join("alerting.sqlite")
    }

    /// The folder of rule files.
    pub fn rules_dir(&self) -> PathBuf {
        self.folder().join(&self.alerting.rules)
    }
}
