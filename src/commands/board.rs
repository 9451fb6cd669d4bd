//! `tillwatch board`: the built-in board alone.

use std::process::ExitCode;

use crate::bootstrap;
use crate::cli::Global;
use crate::{services, stores, waiting};

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    bootstrap::run(global, "board", async |process| {
        let store = stores::open(&process.config)?;
        waiting::watch_store(&process, &store);
        services::board(&process, &store)
    })
}
