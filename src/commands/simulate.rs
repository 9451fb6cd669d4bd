//! `tillwatch simulate`: a seeded world of payments posts really signed webhooks to the configured sources.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use runtime::telemetry::init_logs;
use runtime::{Config, SystemClock};
use simulator::scenario::{ScenarioConfig, ScenarioKind};
use simulator::simulate::SimulateConfig;
use simulator::{SimulatedSource, Target};
use tokio_util::sync::CancellationToken;

use crate::bootstrap::load_config;
use crate::cli::Global;

/// Post simulated webhooks.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch simulate --scenario issuer-outage --rate 70")]
pub(crate) struct SimulateArgs {
    /// What goes wrong: steady, issuer-outage, provider-timeouts, dead-source
    #[arg(long, default_value = "steady")]
    scenario: ScenarioKind,
    /// Webhooks a second, on average
    #[arg(long, default_value_t = 70.0, value_name = "PER_SECOND")]
    rate: f64,
    /// Let the rate follow the hours of the day and the days of the week; otherwise it is the same around the clock
    #[arg(long)]
    daily_curve: bool,
    /// Stop after this many seconds; without it, until stopped
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Seconds of steady traffic before the trouble begins
    #[arg(long, value_name = "SECONDS")]
    onset: Option<u64>,
    /// Same seed, same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of webhooks delivered twice
    #[arg(long, default_value_t = 0.005)]
    duplicates: f64,
    /// Begin with the payments of this many minutes before now, so that charts are not empty
    #[arg(long, default_value_t = 0, value_name = "MINUTES")]
    backfill: u64,
    /// Where ingest listens; from the configuration if not given
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Write the truth about what was posted here, as JSON lines
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    init_logs(&config.telemetry)?;
    let mut simulate =
        SimulateConfig::new(args.seed, target(&config, args.target.as_deref())?, sources(&config)?);
    simulate.rate_per_s = args.rate;
    simulate.daily_curve = args.daily_curve;
    simulate.duration = args.duration.map(Duration::from_secs);
    simulate.scenario = ScenarioConfig::new(args.scenario);
    if let Some(onset) = args.onset {
        simulate.scenario.onset = Duration::from_secs(onset);
    }
    simulate.schedule.duplicate_share = args.duplicates;
    simulate.backfill = Duration::from_secs(args.backfill * 60);
    simulate.ledger.clone_from(&args.ledger);
    let report = tokio::runtime::Runtime::new()?.block_on(async {
        let stop = stop_on_signal()?;
        anyhow::Ok(simulator::simulate::run(simulate, Arc::new(SystemClock), stop).await?)
    })?;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(ExitCode::SUCCESS)
}

/// The configured sources with the newest secret of each.
pub(super) fn sources(config: &Config) -> anyhow::Result<Vec<SimulatedSource>> {
    let folder = config.folder();
    let mut sources = Vec::new();
    for source in &config.sources {
        let Some(reference) = source.secrets.first() else { continue };
        sources.push(SimulatedSource {
            name: source.name.clone(),
            provider: source.provider,
            secret: reference.resolve(&folder)?,
            settings: source.settings(),
        });
    }
    Ok(sources)
}

/// Where to post: the given URL, or the configured ingest on this machine.
pub(super) fn target(config: &Config, url: Option<&str>) -> anyhow::Result<Target> {
    let configured = format!("http://{}", config.ingest.listen);
    Ok(Target::parse(url.unwrap_or(&configured))?)
}

/// Cancelled by Ctrl-C or SIGTERM.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "ends with the command's own runtime")]
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(stop)
}
