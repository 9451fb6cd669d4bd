//! `tillwatch alert`: alerting alone.

use std::process::ExitCode;

use axum::Router;

use crate::bootstrap;
use crate::cli::Global;
use crate::services;

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "alert", async |process| {
        let store = services::open_store(&process).await?;
        services::start_alerting(&process, &store);
        Ok(Router::new())
    })
}
