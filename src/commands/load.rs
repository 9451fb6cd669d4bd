//! `tillwatch load`: how fast webhooks are acknowledged, beside a floor in the same run.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use payments::{Provider, Secret};
use runtime::SystemClock;
use simulator::SimulatedSource;
use simulator::load::floor::{self, FloorProcess};
use simulator::load::{Comparison, LoadConfig, Pace};
use tokio_util::sync::CancellationToken;

use super::simulate::{sources, stop_on_signal, target};
use crate::bootstrap::load_config;
use crate::cli::Global;

/// The floor's secret signs nothing but its own load.
const FLOOR_SECRET: &str = "whsec_floor";

/// Measure how fast webhooks are acknowledged.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch load --rate 5000 --connections 200 --duration 30")]
pub(crate) struct LoadArgs {
    /// Requests a second (open loop: lateness counts); without it, flat out
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measured seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    duration: u64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    warm_up: u64,
    /// Share of events sent twice
    #[arg(long, default_value_t = 0.0)]
    duplicates: f64,
    /// Send what is not acknowledged again, until it is; otherwise it is counted as an error
    #[arg(long)]
    retry: bool,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Same seed, same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where ingest listens; from the configuration if not given
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Process id of the server, to tell its CPU time per webhook
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Write the truth about what was posted here, as JSON lines
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Measure in turn with a bare server that reads, verifies and answers (this many rounds each)
    #[arg(long, value_name = "ROUNDS", requires = "server_pid", conflicts_with_all = ["ledger", "retry"])]
    compare_floor: Option<u32>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Be that bare server
    #[arg(long, hide = true)]
    floor: bool,
}

pub(crate) fn run(global: &Global, args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let threads = tokio::runtime::Runtime::new()?;
    if args.floor {
        threads.block_on(async {
            let stop = stop_on_signal()?;
            anyhow::Ok(floor::be(&Secret::new(FLOOR_SECRET), stop).await?)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = load_config(global)?;
    let mut sources = sources(&config)?;
    if let Some(name) = &args.source {
        sources.retain(|source| source.name == *name);
        anyhow::ensure!(
            !sources.is_empty(),
            "--source {name}: no such source in {}",
            global.config.display()
        );
    }
    let load =
        load_config_of(args, LoadConfig::new(args.seed, target(&config, args.target.as_deref())?, sources));
    threads.block_on(async {
        let stop = stop_on_signal()?;
        if let Some(rounds) = args.compare_floor {
            return compare(args, &load, rounds, &stop).await;
        }
        let report = simulator::load::run(load, Arc::new(SystemClock), stop).await?;
        answer(args.json, &report)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn load_config_of(args: &LoadArgs, mut load: LoadConfig) -> LoadConfig {
    load.pace = args.rate.map_or(Pace::FlatOut, Pace::PerSecond);
    load.connections = args.connections;
    load.duration = Duration::from_secs(args.duration);
    load.warm_up = Duration::from_secs(args.warm_up);
    load.duplicate_share = args.duplicates;
    load.retry = args.retry;
    load.ledger.clone_from(&args.ledger);
    load.server_pid = args.server_pid;
    load
}

/// Rounds in turn, so that a noisy minute touches both.
async fn compare(
    args: &LoadArgs,
    load: &LoadConfig,
    rounds: u32,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = tokio::process::Command::new(program);
    command.args(["load", "--floor"]);
    let floor = FloorProcess::start(command).await?;
    let mut floor_load = load.clone();
    floor_load.target = floor.target.clone();
    floor_load.server_pid = Some(floor.pid);
    floor_load.ledger = None;
    // The same bodies on both sides: the floor knows one scheme.
    let mut load = load.clone();
    load.sources.retain(|source| source.provider == Provider::Stripe);
    anyhow::ensure!(!load.sources.is_empty(), "--compare-floor needs a stripe source");
    floor_load.sources = load
        .sources
        .iter()
        .map(|source| SimulatedSource { secret: Secret::new(FLOOR_SECRET), ..source.clone() })
        .collect();
    let mut comparison = Comparison::default();
    for _ in 0..rounds {
        let floor = simulator::load::run(floor_load.clone(), Arc::new(SystemClock), stop.clone()).await?;
        let ingest = simulator::load::run(load.clone(), Arc::new(SystemClock), stop.clone()).await?;
        if stop.is_cancelled() {
            // A round that was cut short is no measurement.
            break;
        }
        comparison.floor.push(floor);
        comparison.ingest.push(ingest);
    }
    answer(args.json, &comparison)
}

fn answer<T: serde::Serialize + std::fmt::Display>(json: bool, report: &T) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(line: &str) -> Result<LoadArgs, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.load)
    }

    #[test]
    fn a_comparison_knows_the_server_and_keeps_no_ledger() {
        assert_eq!(parse("load --compare-floor 3 --server-pid 1").unwrap().compare_floor, Some(3));
        assert!(parse("load --compare-floor 3").is_err());
        assert!(parse("load --compare-floor 3 --server-pid 1 --ledger l.jsonl").is_err());
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_if_asked_for() {
        let target = simulator::Target::parse("http://127.0.0.1:1").unwrap();
        let retry =
            |line| load_config_of(&parse(line).unwrap(), LoadConfig::new(1, target.clone(), vec![])).retry;
        assert_eq!((retry("load"), retry("load --retry")), (false, true));
    }
}
