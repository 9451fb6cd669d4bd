//! `tillwatch process`: the processor alone. It takes webhooks from RabbitMQ, or from the folder of the log that an ingest
//! on this machine writes.

use std::process::ExitCode;

use axum::Router;

use crate::bootstrap;
use crate::cli::Global;
use crate::waiting::{self, Unusable};
use crate::{queues, services, stores};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "process", async |process| {
        let consumer = queues::consumer(&process).await?;
        let store = stores::open(&process.config)?;
        let tables = waiting::open_store(&process, &store, Unusable::End);
        services::start_processor(&process, consumer, store, tables);
        Ok(Router::new())
    })
}
