//! `tillwatch process`: the processor alone. It reads the queue's folder, which an ingest on this machine writes.

use std::process::ExitCode;

use axum::Router;
use queue::Consumer;

use crate::bootstrap;
use crate::cli::Global;
use crate::services;
use crate::waiting::{self, Unusable};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "process", async |process| {
        let consumer = Consumer::open_embedded(services::log_config(&process.config))?;
        let store = services::store(&process.config)?;
        let tables = waiting::open_store(&process, &store, Unusable::End);
        services::start_processor(&process, consumer, store, tables);
        Ok(Router::new())
    })
}
