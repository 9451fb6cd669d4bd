//! `tillwatch board`: the built-in board alone.

use std::process::ExitCode;

use crate::bootstrap;
use crate::cli::Global;
use crate::{services, waiting};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "board", async |process| {
        let store = services::store(&process.config)?;
        waiting::watch_store(&process, &store);
        services::board(&process, &store)
    })
}
