//! One way to start for every service: configuration, logs, telemetry, clock, health endpoint, signals. Then the
//! command says which services run in this process.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use runtime::admin::{self, Admin};
use runtime::config::{ConfigError, Problem};
use runtime::telemetry::{Telemetry, init_logs};
use runtime::{Config, Health, Lifecycle, SharedClock, SystemClock};
use tracing::info;

use crate::cli::Global;

/// How long the last telemetry and blocking work are waited for, in a hurry and otherwise.
const IMPATIENT: Duration = Duration::from_millis(250);
const PATIENT: Duration = Duration::from_millis(1_500);

/// What a service finds when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: SharedClock,
    pub(crate) telemetry: Telemetry,
    pub(crate) health: Health,
    pub(crate) lifecycle: Lifecycle,
    /// Name of this process among others of its kind.
    pub(crate) instance: String,
}

/// Reads the configuration; the error of a missing file says what to do about it.
pub(crate) fn load_config(global: &Global) -> anyhow::Result<Config> {
    let (config, problems) = read_config(global)?;
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems).into()) }
}

/// Reads a configuration that may have problems.
pub(crate) fn read_config(global: &Global) -> anyhow::Result<(Config, Vec<Problem>)> {
    let config = Config::read(&global.config, &global.data_dir, std::env::vars_os());
    if !global.config.exists() {
        return config.context(
            "no configuration: copy config/tillwatch.sample.toml to tillwatch.toml, or name one with --config FILE",
        );
    }
    Ok(config?)
}

/// Runs `assemble` in a fresh runtime and waits for a signal or a failure; then drains.
///
/// `assemble` spawns services on the process's lifecycle and returns what the admin port serves beside `/live`,
/// `/ready` and `/metrics`.
pub(crate) fn run<F>(
    global: &Global,
    service: &'static str,
    assemble: impl FnOnce(Process) -> F + Send + 'static,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Router>> + Send,
{
    let config = load_config(global)?;
    init_logs(&config.telemetry)?;
    std::fs::create_dir_all(&config.data_dir).with_context(|| {
        format!("cannot create the data folder {} (--data-dir)", config.data_dir.display())
    })?;
    let telemetry = Telemetry::start(&config.telemetry, service)?;
    let instance = instance_name(&config.data_dir)?;
    let process = Process {
        config: Arc::new(config),
        clock: Arc::new(SystemClock),
        telemetry,
        health: Health::default(),
        lifecycle: Lifecycle::new(),
        instance,
    };
    info!(
        service,
        version = env!("CARGO_PKG_VERSION"),
        config = %global.config.display(),
        data_dir = %process.config.data_dir.display(),
        instance = process.instance,
        "starting"
    );
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = threads.block_on(drive(process.clone(), assemble));
    let patience = if process.lifecycle.hard().is_cancelled() { IMPATIENT } else { PATIENT };
    process.telemetry.shut_down(patience);
    // Blocking work that ignores cancellation (a disk that hangs) must not keep the process alive.
    threads.shutdown_timeout(patience);
    code
}

async fn drive<F>(
    process: Process,
    assemble: impl FnOnce(Process) -> F + Send + 'static,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Router>> + Send,
{
    let lifecycle = process.lifecycle.clone();
    let announcement = Duration::from_millis(process.config.shutdown.announce_ms);
    let drain_timeout = Duration::from_millis(process.config.shutdown.drain_timeout_ms);
    let listener = admin::bind(process.config.admin.listen, "admin.listen").await?;
    let admin = Admin {
        health: process.health.clone(),
        telemetry: process.telemetry.clone(),
        more: Arc::new(OnceLock::new()),
    };
    let more = Arc::clone(&admin.more);
    // Until every part has said that it is there, what is ready is not all there is.
    let start = process.health.register("start");
    lifecycle.spawn_last("admin", |stop| admin.serve(listener, stop));
    match assemble(process).await {
        Ok(router) => {
            let _ = more.set(router);
            start.remove();
        }
        Err(error) => {
            // What has been started drains; the error is told once, where the command was given.
            lifecycle.fail();
            lifecycle.run(Duration::ZERO, drain_timeout).await?;
            return Err(error);
        }
    }
    let code = lifecycle.run(announcement, drain_timeout).await?;
    info!("stopped");
    Ok(code)
}

/// Name of this machine.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if host.trim().is_empty() { "localhost".to_owned() } else { host.trim().to_owned() }
}

/// Name of this installation in heartbeats: kept beside the data, so that a restarted process is the same one.
fn instance_name(data_dir: &Path) -> anyhow::Result<String> {
    let file = data_dir.join("instance");
    if let Ok(name) = std::fs::read_to_string(&file)
        && !name.trim().is_empty()
    {
        return Ok(name.trim().to_owned());
    }
    let name = format!("{}-{:08x}", host(), rand::random::<u32>());
    std::fs::write(&file, format!("{name}\n"))
        .with_context(|| format!("cannot write {} (--data-dir)", file.display()))?;
    Ok(name)
}
