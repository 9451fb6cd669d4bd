//! `tillwatch serve`: everything in one process, with the engine as its child.

use std::process::ExitCode;

use axum::Router;

use crate::bootstrap::{self, Process};
use crate::cli::Global;
use crate::waiting::{self, Unusable};
use crate::{engine, queues, services, stores};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "serve", assemble)
}

/// Nothing here waits for ClickHouse: webhooks are accepted into the log while the engine starts or cannot, and while
/// its tables are those of another version.
async fn assemble(process: Process) -> anyhow::Result<Router> {
    let (publisher, consumer) = queues::open(&process).await?;
    services::start_ingest(&process, publisher).await?;
    engine::start(&process);
    let store = stores::open(&process.config)?;
    let tables = waiting::open_store(&process, &store, Unusable::Tell);
    services::start_processor(&process, consumer, store.clone(), tables.clone());
    services::start_alerting(&process, &store, tables)?;
    services::board(&process, &store)
}
