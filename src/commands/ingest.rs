//! `tillwatch ingest`: the HTTP endpoint alone.

use std::process::ExitCode;

use queue::Publisher;

use crate::bootstrap;
use crate::cli::Global;
use crate::services;

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "ingest", async |process| {
        let publisher = Publisher::open_embedded(services::published_log_config(&process))?;
        services::start_ingest(&process, publisher).await?;
        Ok(axum::Router::new())
    })
}
