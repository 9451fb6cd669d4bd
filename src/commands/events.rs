//! `tillwatch events`: find payment events, show the bytes they came from, verify those again.
pub(crate) use clap::Args;
use std::process::ExitCode;
use crate::cli::Global;
/// Find payment events.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch events --payment pi_123")]
pub(crate) struct EventsArgs {}
pub(crate) fn run(_global: &Global, _args: &EventsArgs) -> anyhow::Result<ExitCode> { Ok(ExitCode::SUCCESS) }
