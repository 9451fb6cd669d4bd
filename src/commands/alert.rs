//! `tillwatch alert`: alerting alone.

use std::process::ExitCode;

use axum::Router;

use crate::bootstrap;
use crate::cli::Global;
use crate::waiting::{self, Unusable};
use crate::{services, stores};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "alert", async |process| {
        let store = stores::open(&process.config)?;
        let tables = waiting::open_store(&process, &store, Unusable::End);
        services::start_alerting(&process, &store, tables)?;
        Ok(Router::new())
    })
}
