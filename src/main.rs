//! `tillwatch`: the one binary. Each command is one file under `commands`.

mod bootstrap;
mod cli;
mod commands;
mod engine;
mod queues;
mod services;
mod stores;
mod waiting;

use std::process::ExitCode;

/// The system's allocator gives freed memory back slowly and takes twice the time per webhook.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::execute()
}
