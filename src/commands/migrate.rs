//! `tillwatch migrate`: creates or upgrades the tables of a ClickHouse that is running.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::bootstrap::load_config;
use crate::cli::Global;
use crate::{stores, waiting};

/// The command is given by a person who watches: no long wait.
const READY_MAX: Duration = Duration::from_secs(10);

pub(crate) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    let store = stores::open(&config)?;
    let migrated = tokio::runtime::Runtime::new()?.block_on(async {
        store.wait_until_ready(READY_MAX).await?;
        anyhow::Ok(store.migrate(waiting::retention(&config)).await?)
    })?;
    say(&migrated)?;
    Ok(ExitCode::SUCCESS)
}

fn say(migrated: &store::Migrated) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if !migrated.completed.is_empty() {
        writeln!(out, "created where servers of the cluster lacked it: {}", migrated.completed.join(", "))?;
    }
    match migrated.applied.as_slice() {
        [] => writeln!(out, "the tables are up to date ({} migrations)", migrated.already),
        applied => writeln!(out, "applied: {}", applied.join(", ")),
    }
}
