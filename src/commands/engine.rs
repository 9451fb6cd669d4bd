//! `tillwatch engine`: fetch the embedded ClickHouse, or run it alone.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use runtime::telemetry::init_logs;
use store::engine::{self, EngineConfig, FetchSource};

use super::simulate;
use crate::bootstrap::load_config;
use crate::cli::Global;

/// Fetch or run the embedded ClickHouse.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch engine fetch")]
pub(crate) struct EngineArgs {
    #[command(subcommand)]
    command: EngineCommand,
}

#[derive(Debug, Subcommand)]
enum EngineCommand {
    /// Fetch the engine's library once (about 180 MB by npm); found again offline from then on
    #[command(
        after_help = "Example: tillwatch engine fetch\n         tillwatch engine fetch --from chdb-lib-linux-x64-gnu.tgz"
    )]
    Fetch {
        /// A package or library already at hand, instead of npm
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Serve ClickHouse's HTTP protocol on store.listen; `serve` does this by itself
    #[command(after_help = "Example: tillwatch engine run --config tillwatch.toml")]
    Run {
        /// End when standard input ends: how a supervisor keeps it from outliving itself
        #[arg(long, hide = true)]
        supervised: bool,
    },
}

pub(crate) fn run(global: &Global, args: &EngineArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        EngineCommand::Fetch { from } => fetch(from.clone()),
        EngineCommand::Run { supervised } => serve(global, *supervised),
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn fetch(from: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let directory = engine::default_directory()?;
    if from.is_none()
        && let Ok(library) = engine::locate(None)
    {
        println!("the engine is there: {}", library.display());
        return Ok(ExitCode::SUCCESS);
    }
    let source = from.map_or(FetchSource::Npm, FetchSource::File);
    let library = engine::fetch(&directory, &source)?;
    println!("the engine is there: {}", library.display());
    Ok(ExitCode::SUCCESS)
}

fn serve(global: &Global, supervised: bool) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    init_logs(&config.telemetry)?;
    let mut engine_config = EngineConfig::new(engine::locate(None)?, config.engine_dir());
    engine_config.listen = config.store.listen;
    engine_config.memory_bytes_max = config.store.memory_bytes_max;
    tokio::runtime::Runtime::new()?.block_on(async {
        let signals = simulate::stop_on_signal()?;
        if supervised {
            // A service manager signals parent and child alike, and the parent still needs the engine.
            engine::run(engine_config, None, engine::parent_gone()).await?;
        } else {
            engine::run(engine_config, None, signals.cancelled()).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
