//! The command line: what can be asked, and which command answers.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    alert, board, check, dead_letters, engine, events, ingest, load, migrate, process, replay, serve,
    simulate,
};

/// The watchtower over a merchant's payments: verifies the webhooks of payment providers, loses none, keeps one
/// history in ClickHouse, and pages when money stops flowing.
#[derive(Debug, Parser)]
#[command(name = "tillwatch", version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Configuration file
    #[arg(
        long,
        global = true,
        env = "TILLWATCH_CONFIG",
        default_value = "tillwatch.toml",
        value_name = "FILE"
    )]
    pub(crate) config: PathBuf,
    /// Folder for everything that is kept: queue, embedded ClickHouse, alert state
    #[arg(long, global = true, env = "TILLWATCH_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process, with the embedded queue and ClickHouse
    #[command(after_help = "Example: tillwatch serve --config tillwatch.toml --data-dir /var/lib/tillwatch")]
    Serve,
    /// Run the HTTP endpoint that providers post to
    #[command(after_help = "Example: tillwatch ingest --config tillwatch.toml")]
    Ingest,
    /// Run the processor: from the queue into ClickHouse
    #[command(after_help = "Example: tillwatch process --config tillwatch.toml")]
    Process,
    /// Run alerting: rules over ClickHouse, pages to channels
    #[command(after_help = "Example: tillwatch alert --config tillwatch.toml")]
    Alert,
    /// Run the built-in board
    #[command(after_help = "Example: tillwatch board --config tillwatch.toml")]
    Board,
    /// Create or upgrade the tables
    #[command(after_help = "Example: tillwatch migrate --config tillwatch.toml")]
    Migrate,
    /// Check configuration, rules and secrets before a deploy; exits 1 if anything is wrong
    #[command(after_help = "Example: tillwatch check --config tillwatch.toml")]
    Check,
    /// Post simulated, really signed webhooks to the configured sources
    Simulate(simulate::SimulateArgs),
    /// Measure how fast webhooks are acknowledged
    Load(load::LoadArgs),
    /// Find payment events, show the signed bytes, verify them again
    Events(events::EventsArgs),
    /// Look at what no processor survived, send it again, or drop it
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Map stored webhooks again: see what would change, then put it in place
    Replay(replay::ReplayArgs),
    /// Fetch or run the embedded ClickHouse
    Engine(engine::EngineArgs),
}

/// Parses the command line and runs what it asks for. An error is printed once, with its causes.
pub(crate) fn execute() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let outcome = match command {
        Command::Serve => serve::run(&global),
        Command::Ingest => ingest::run(&global),
        Command::Process => process::run(&global),
        Command::Alert => alert::run(&global),
        Command::Board => board::run(&global),
        Command::Migrate => migrate::run(&global),
        Command::Check => check::run(&global),
        Command::Simulate(args) => simulate::run(&global, &args),
        Command::Load(args) => load::run(&global, &args),
        Command::Events(args) => events::run(&global, &args),
        Command::DeadLetters(args) => dead_letters::run(&global, &args),
        Command::Replay(args) => replay::run(&global, &args),
        Command::Engine(args) => engine::run(&global, &args),
    };
    // What is left of an answer without a line's end is not lost unsaid.
    let outcome = outcome.and_then(|status| Ok(std::io::stdout().flush().map(|()| status)?));
    outcome.unwrap_or_else(|error| {
        if is_reader_gone(&error) {
            return ExitCode::from(STATUS_OF_SIGPIPE);
        }
        complain(&error);
        ExitCode::FAILURE
    })
}

/// What a shell says of a program whose reader has gone: 128 + SIGPIPE.
const STATUS_OF_SIGPIPE: u8 = 141;

/// Whoever read the answer had enough of it (`tillwatch events | head`). Standard output is all that fails with this
/// and nothing around it.
fn is_reader_gone(error: &anyhow::Error) -> bool {
    let bare = error.downcast_ref::<std::io::Error>();
    error.chain().len() == 1 && bare.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "the command line's own answer")]
fn complain(error: &anyhow::Error) {
    eprintln!("tillwatch: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_standard_output_that_nobody_reads_is_a_reader_gone() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_reader_gone(&broken().into()));
        assert!(!is_reader_gone(&std::io::Error::from(std::io::ErrorKind::StorageFull).into()));
        assert!(!is_reader_gone(&anyhow::Error::from(broken()).context("asking ClickHouse")));
    }

    #[test]
    fn the_help_of_each_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "`{}` has no example", command.get_name());
        }
    }
}
