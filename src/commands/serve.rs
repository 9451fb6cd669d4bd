//! `tillwatch serve`: everything in one process, with the engine as its child.

use std::process::ExitCode;

use axum::Router;

use crate::bootstrap::{self, Process};
use crate::cli::Global;
use crate::services;

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "serve", assemble)
}

/// Ingest first: webhooks are accepted into the log while the engine still starts.
async fn assemble(process: Process) -> anyhow::Result<Router> {
    let (publisher, consumer) = queue::open_embedded(services::log_config(&process.config))?;
    services::start_ingest(&process, publisher).await?;
    services::start_engine(&process).await?;
    let store = services::open_store(&process).await?;
    services::start_processor(&process, consumer, store.clone());
    services::start_alerting(&process, &store);
    Ok(services::board(&process, &store))
}
