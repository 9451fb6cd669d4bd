//! `[ingest]`, `[admin]`, `[processor]`, `[telemetry]`, `[shutdown]`.

use std::net::SocketAddr;

use serde::Deserialize;

/// The HTTP endpoint that providers post to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// Address and port. TLS is the load balancer's.
    pub listen: SocketAddr,
    /// Threads that answer; 0 is half the processors.
    pub threads: usize,
    /// Larger bodies are answered 413.
    pub body_bytes_max: usize,
    /// Larger request heads are answered 431.
    pub header_bytes_max: usize,
    /// A client that takes longer to send its request head is cut off.
    pub header_read_timeout_ms: u64,
    /// A client that takes longer to send its body is answered 408 and cut off; one that does not take its answers for
    /// as long is cut off too (on Linux).
    pub body_read_timeout_ms: u64,
    /// The durable write must answer within this time, else 503.
    pub publish_timeout_ms: u64,
    /// Open connections; the next one waits in the kernel's queue.
    pub connections_max: usize,
    /// Seconds a provider is asked to wait by `Retry-After` on 429 and 503.
    pub retry_after_s: u32,
    /// How often a heartbeat is sent through the pipeline.
    pub heartbeat_interval_ms: u64,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: 0,
            body_bytes_max: 1 << 20,
            header_bytes_max: 32 << 10,
            header_read_timeout_ms: 10_000,
            body_read_timeout_ms: 10_000,
            publish_timeout_ms: 5_000,
            connections_max: 4_096,
            retry_after_s: 5,
            heartbeat_interval_ms: 10_000,
        }
    }
}

/// The HTTP endpoint for operators: `/live`, `/ready`, `/metrics`, and the board at `/`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address and port. It shows payments and has no login: keep it on loopback or behind a proxy that has one.
    pub listen: SocketAddr,
    /// The same of other processes, `HOST:PORT`: the board shows what they say of themselves.
    pub peers: Vec<String>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), peers: Vec::new() }
    }
}

/// From envelopes to rows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessorConfig {
    /// Webhooks in one insert, at most.
    pub batch_webhooks_max: usize,
    /// Bytes of webhooks in one insert, at most.
    pub batch_bytes_max: usize,
    /// How long a webhook may wait for company before it is inserted.
    pub linger_ms: u64,
    /// First pause after a failed insert; doubles each time.
    pub retry_delay_ms: u64,
    /// Longest pause between attempts.
    pub retry_delay_ms_max: u64,
    /// One insert may take this long.
    pub insert_timeout_ms: u64,
}

impl Default for ProcessorConfig {
    fn default() -> Self {
        Self {
            batch_webhooks_max: 20_000,
            batch_bytes_max: 64 << 20,
            linger_ms: 500,
            retry_delay_ms: 200,
            retry_delay_ms_max: 10_000,
            insert_timeout_ms: 60_000,
        }
    }
}

/// Logs, metrics, traces.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `auto` (pretty on a terminal, JSON otherwise), `pretty` or `json`.
    pub log_format: LogFormat,
    /// A `tracing` filter: `info`, `info,ingest=debug`.
    pub log_filter: String,
    /// OTLP over HTTP: `http://127.0.0.1:4318`. Empty exports nothing.
    pub otlp_endpoint: String,
    /// Share of webhooks traced when the sender did not decide (0 to 1).
    pub trace_ratio: f64,
    /// How often metrics are exported by OTLP.
    pub metrics_interval_ms: u64,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Auto,
            log_filter: "info".to_owned(),
            otlp_endpoint: String::new(),
            trace_ratio: 0.01,
            metrics_interval_ms: 15_000,
        }
    }
}

/// Draining.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// After the first SIGTERM, ingest is not ready and takes webhooks all the same for so long: load balancers learn that
    /// it goes.
    pub announce_ms: u64,
    /// After that, everything in the process may take this long together; then it is dropped.
    pub drain_timeout_ms: u64,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { announce_ms: 0, drain_timeout_ms: 25_000 }
    }
}
