//! `tillwatch`: the one binary. Each command is one file under `commands`.

mod bootstrap;
mod cli;
mod commands;
mod services;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::execute()
}
