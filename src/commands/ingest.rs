//! `tillwatch ingest`: the HTTP endpoint alone.

use std::process::ExitCode;

use crate::bootstrap;
use crate::cli::Global;
use crate::{queues, services};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "ingest", async |process| {
        let publisher = queues::publisher(&process).await?;
        services::start_ingest(&process, publisher).await?;
        Ok(axum::Router::new())
    })
}
