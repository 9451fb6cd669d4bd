//! The built-in board: one page that answers, at three in the morning and on a phone, whether money flows.
//!
//! ```text
//! GET /                  the page, rendered here; works without script
//! GET /board/fragment    its main part, which the page fetches every five seconds
//! GET /board/data.json   the same numbers
//! ```
//!
//! [`board`] gives the routes. `collect` asks the store through `queries` and remembers the answers, so that many
//! viewers cost one; `model` is what it knows; `page` and `chart` write it. How to read the page: `docs/board.md`.
//!
//! Invariant: a number that is not fresh is never shown without its age.

mod chart;
mod collect;
mod freshness;
mod http;
mod model;
mod number;
mod observations;
mod page;
mod queries;
mod window;
mod words;

#[cfg(test)]
mod browser;

use std::sync::Arc;

use axum::Router;
use runtime::telemetry::Telemetry;
use runtime::{Config, SharedClock};

use collect::peers::Peers;
use collect::{Collector, ConfiguredSource, Memory};
use observations::Observations;
use page::Context;
use queries::Queries;

/// What the board needs to run.
pub struct BoardState {
    /// ClickHouse, its database set.
    pub client: clickhouse::Client,
    /// The time.
    pub clock: SharedClock,
    /// What it needs of the configuration.
    pub config: BoardConfig,
    /// Metrics.
    pub telemetry: Telemetry,
}

impl std::fmt::Debug for BoardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client holds the password.
        f.debug_struct("BoardState").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the board needs of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoardConfig {
    /// Name and provider of each configured source, in their order.
    pub sources: Vec<(String, String)>,
    /// Data older than this are stale, in milliseconds.
    pub stale_after_ms: u64,
    /// Where ingest listens, for the hint on an empty page: `http://127.0.0.1:8080`.
    pub ingest_url: String,
    /// Where other processes say whether they are ready: `http://10.0.0.5:9090/ready`.
    pub peers: Vec<String>,
    /// Version of Tillwatch.
    pub version: String,
}

impl BoardConfig {
    /// From the whole configuration.
    pub fn from_config(config: &Config, version: &str) -> Self {
        let source =
            |source: &runtime::config::SourceConfig| (source.name.clone(), source.provider.name().to_owned());
        Self {
            sources: config.sources.iter().map(source).collect(),
            stale_after_ms: config.alerting.stale_after_ms,
            ingest_url: format!("http://{}", config.ingest.listen),
            peers: config.admin.peers.iter().map(|peer| format!("http://{peer}/ready")).collect(),
            version: version.to_owned(),
        }
    }
}

/// The board's routes: `/`, `/board/fragment` and `/board/data.json`. Nothing is asked of the store until somebody looks. An
/// error is that no HTTP client can be made, to ask other processes.
pub fn board(state: BoardState) -> Result<Router, reqwest::Error> {
    let BoardState { client, clock, config, telemetry } = state;
    let source = |(name, provider)| ConfiguredSource { name, provider };
    let collector = Collector {
        queries: Queries::new(client),
        clock,
        sources: config.sources.into_iter().map(source).collect(),
        stale_after_ms: i64::try_from(config.stale_after_ms).unwrap_or(i64::MAX),
        observations: Observations::new(&telemetry),
        peers: Peers::new(config.peers)?,
        memory: Memory::default(),
    };
    let context = Context { version: config.version, ingest_url: config.ingest_url };
    Ok(http::router(Arc::new(http::Board { collector, context })))
}
