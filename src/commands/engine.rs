//! `tillwatch engine`: fetch the embedded ClickHouse, or run it alone.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use runtime::telemetry::init_logs;
use store::engine::{self, EngineConfig, EngineError, FetchSource};

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

fn fetch(from: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let directory = engine::default_directory()?;
    if from.is_none()
        && let Ok(library) = engine::locate(None)
        && library.parent() != Some(directory.as_path())
    {
        writeln!(std::io::stdout(), "the engine is there: {}", library.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let source = from.map_or(FetchSource::Npm, FetchSource::File);
    let library = engine::fetch(&directory, &source)?;
    writeln!(std::io::stdout(), "the engine is there: {}", library.display())?;
    Ok(ExitCode::SUCCESS)
}

fn serve(global: &Global, supervised: bool) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    init_logs(&config.telemetry)?;
    let mut engine_config = EngineConfig::new(engine::locate(None)?, config.engine_dir());
    engine_config.listen = config.store.listen;
    engine_config.memory_bytes_max = config.store.memory_bytes_max;
    if let Some(password) = &config.store.password {
        engine_config.password =
            Some(password.resolve(&config.folder()).context("store.password")?.expose().to_owned());
    }
    let ran = tokio::runtime::Runtime::new()?.block_on(async {
        let signals = simulate::stop_on_signal()?;
        anyhow::Ok(if supervised {
            // A service manager signals parent and child alike, and the parent still needs the engine.
            engine::run(engine_config, None, engine::parent_gone()).await
        } else {
            engine::run(engine_config, None, signals.cancelled()).await
        })
    })?;
    match ran {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if supervised => Ok(tell_supervisor(error)),
        Err(error) => Err(error.into()),
    }
}

/// The supervisor reads the reason from standard output, and from the exit code whether to try again.
fn tell_supervisor(error: EngineError) -> ExitCode {
    let code = error.exit_code();
    // A supervisor that is gone needs no reason.
    let _ = writeln!(std::io::stdout(), "{:#}", anyhow::Error::from(error));
    ExitCode::from(code)
}
