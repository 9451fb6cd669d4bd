//! The embedded engine beside the services: a child process that may fail as it likes without taking ingest down.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use runtime::config::StoreKind;
use runtime::{Config, HealthHandle};
use store::engine::{Health, Supervisor, SupervisorConfig, locate};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::Process;

/// The engine may have to recover a large database after a crash; one that takes longer counts as stuck.
const READY_MAX: Duration = Duration::from_secs(300);

/// Pause before an engine that its supervisor gave up is tried again: somebody may have mended it.
const GIVEN_UP_PAUSE: Duration = Duration::from_secs(10);

/// Starts the embedded engine as a child process, if it is configured. It is started again whenever it ends, and
/// stopped after every service has drained.
pub(crate) fn start(process: &Process) {
    let config = Arc::clone(&process.config);
    if config.store.kind != StoreKind::Embedded {
        return;
    }
    let health = process.health.register("engine");
    process.lifecycle.spawn_last("engine", |stop| async move {
        keep(&config, &health, stop).await;
        Ok(())
    });
}

/// How the engine is started. Without a library no child is: the error says where it is looked for.
fn supervisor_config(config: &Config) -> anyhow::Result<SupervisorConfig> {
    locate(None)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut supervisor = SupervisorConfig::new(program, arguments(config), config.store.listen);
    supervisor.ready_max = READY_MAX;
    Ok(supervisor)
}

/// `engine run`, with the configuration and the data of this process.
fn arguments(config: &Config) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["engine", "run", "--supervised", "--config"].map(OsString::from).into();
    arguments.push(config.file.clone().into());
    arguments.push("--data-dir".into());
    arguments.push(config.data_dir.clone().into());
    arguments
}

/// Supervises until `stop`.
async fn keep(config: &Config, health: &HealthHandle, stop: CancellationToken) {
    let mut told = String::new();
    loop {
        let trouble = match supervisor_config(config) {
            Ok(config) => supervise(config, health, &stop).await,
            Err(error) => format!("{error:#}"),
        };
        if stop.is_cancelled() {
            return;
        }
        if trouble != told {
            tracing::error!(
                trouble,
                pause_s = GIVEN_UP_PAUSE.as_secs(),
                "the engine cannot run; trying again and again"
            );
        }
        health.not_ready(&trouble);
        told = trouble;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GIVEN_UP_PAUSE) => {}
        }
    }
}

/// Supervises until `stop`, or until the supervisor gives up; says why it did.
async fn supervise(config: SupervisorConfig, health: &HealthHandle, stop: &CancellationToken) -> String {
    let supervisor = Supervisor::new(config);
    let state = supervisor.health();
    tokio::select! {
        () = supervisor.run(stop.clone().cancelled_owned()) => {}
        () = tell(state.clone(), health) => {}
    }
    let ended = state.borrow().clone();
    trouble(&ended)
}

/// Keeps `/ready` informed for as long as there is a supervisor.
async fn tell(mut state: watch::Receiver<Health>, health: &HealthHandle) {
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().clone();
        if now.ready {
            health.ready();
        } else {
            health.not_ready(trouble(&now));
        }
    }
}

fn trouble(state: &Health) -> String {
    state.trouble.clone().unwrap_or_else(|| "starting".to_owned())
}
