//! How each service is put together from the configuration. `serve` uses all of these in one process, the other
//! commands one each.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use alerting::AlertingService;
use anyhow::Context as _;
use axum::Router;
use dashboards::{BoardConfig, BoardState};
use ingest::{Ingest, Sources};
use processor::Processor;
use queue::{Consumer, LogConfig, Publisher};
use runtime::admin::bind;
use runtime::config::{Config, QueueKind, StoreKind};
use store::engine::{Supervisor, SupervisorConfig, wait_ready};
use store::{Retention, Store};

use crate::bootstrap::Process;

/// The engine may have to recover a large database after a crash.
const ENGINE_READY_MAX: Duration = Duration::from_secs(300);

/// A ClickHouse server that is being restarted is waited for this long at the start.
const STORE_READY_MAX: Duration = Duration::from_secs(60);

/// How often the store is asked whether it is there, for `/ready`.
const STORE_LOOK: Duration = Duration::from_secs(5);

/// Room in a queue record for what an envelope adds to the body: head, source, trace.
const ENVELOPE_BYTES_MAX: usize = 64 << 10;

/// The embedded log's settings.
pub(crate) fn log_config(config: &Config) -> LogConfig {
    match config.queue.kind {
        QueueKind::Embedded => {}
    }
    let mut log = LogConfig::new(config.queue_dir());
    log.segment_bytes = config.queue.segment_bytes;
    log.bytes_max = config.queue.bytes_max;
    log.in_flight_bytes_max = config.queue.in_flight_bytes_max;
    log.record_bytes_max = config.ingest.body_bytes_max + config.ingest.header_bytes_max + ENVELOPE_BYTES_MAX;
    log
}

/// Starts ingest on its port.
pub(crate) async fn start_ingest(process: &Process, publisher: Publisher) -> anyhow::Result<()> {
    let config = &process.config;
    let sources = Sources::prepare(&config.sources, &config.folder()).context("[[sources]]")?;
    let listener = bind(config.ingest.listen, "ingest.listen").await?;
    let ingest = Ingest {
        config: config.ingest.clone(),
        sources,
        publisher: publisher.clone(),
        instance: process.instance.clone(),
        clock: Arc::clone(&process.clock),
        telemetry: process.telemetry.clone(),
        health: process.health.register("ingest"),
    };
    tracing::info!(address = %config.ingest.listen, sources = config.sources.len(), "ingest listens");
    process.lifecycle.spawn("ingest", ingest::run(ingest, listener, process.lifecycle.clone()));
    // What was admitted to the log is committed before the process ends.
    process.lifecycle.spawn_last(|stop| async move {
        stop.cancelled().await;
        publisher.close().await;
    });
    Ok(())
}

/// Starts the processor.
pub(crate) fn start_processor(process: &Process, consumer: Consumer, store: Store) {
    let settings: HashMap<_, _> =
        process.config.sources.iter().map(|source| (source.name.clone(), source.settings())).collect();
    let processor = Processor {
        config: process.config.processor.clone(),
        settings,
        consumer,
        store,
        clock: Arc::clone(&process.clock),
        telemetry: process.telemetry.clone(),
        health: process.health.register("processor"),
    };
    process.lifecycle.spawn("processor", processor::run(processor, process.lifecycle.clone()));
}

/// Starts alerting.
pub(crate) fn start_alerting(process: &Process, store: &Store) {
    let service = AlertingService {
        config: Config::clone(&process.config),
        client: store.client(),
        clock: Arc::clone(&process.clock),
        meter: process.telemetry.meter("alerting"),
        lifecycle: process.lifecycle.clone(),
        health: process.health.register("alerting"),
        rng: rand::make_rng(),
    };
    process.lifecycle.spawn("alerting", async move { Ok(alerting::run(service).await?) });
}

/// The board's routes, for the admin port.
pub(crate) fn board(process: &Process, store: &Store) -> Router {
    dashboards::board(BoardState {
        client: store.client(),
        clock: Arc::clone(&process.clock),
        config: BoardConfig::from_config(&process.config, env!("CARGO_PKG_VERSION")),
        telemetry: process.telemetry.clone(),
    })
}

/// A connection to the configured ClickHouse; nothing is sent yet.
pub(crate) fn store(config: &Config) -> anyhow::Result<Store> {
    let password = match &config.store.password {
        Some(reference) => Some(reference.resolve(&config.folder()).context("store.password")?),
        None => None,
    };
    let user = config.store.user.as_str();
    Ok(Store::new(&config.store.http_url(), user, password.as_ref(), &config.store.database))
}

/// Waits for ClickHouse, brings the tables up to date, and keeps `/ready` informed from then on.
pub(crate) async fn open_store(process: &Process) -> anyhow::Result<Store> {
    let store = store(&process.config)?;
    let health = process.health.register("store");
    store.wait_until_ready(STORE_READY_MAX).await.with_context(|| {
        format!(
            "ClickHouse at {} is not ready after {} s",
            process.config.store.http_url(),
            STORE_READY_MAX.as_secs()
        )
    })?;
    let migrated = store.migrate(retention(&process.config)).await?;
    tracing::info!(applied = ?migrated.applied, already = migrated.already, "tables are up to date");
    health.ready();
    let (soft, watched) = (process.lifecycle.soft().clone(), store.clone());
    process.lifecycle.spawn("store-health", async move {
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = tokio::time::sleep(STORE_LOOK) => {}
            }
            match watched.ping().await {
                Ok(()) => health.ready(),
                Err(error) => health.not_ready(error.to_string()),
            }
        }
    });
    Ok(store)
}

/// What the configuration says about keeping rows.
pub(crate) fn retention(config: &Config) -> Retention {
    let retention = &config.store.retention;
    Retention {
        webhooks_days: retention.webhooks_days,
        payment_events_days: retention.payment_events_days,
        parked_webhooks_days: retention.parked_webhooks_days,
        alert_transitions_days: retention.alert_transitions_days,
        heartbeats_days: retention.heartbeats_days,
    }
}

/// Starts the embedded engine as a child process, if it is configured, and waits until it answers. It is stopped
/// after every service has drained.
pub(crate) async fn start_engine(process: &Process) -> anyhow::Result<()> {
    let config = &process.config;
    if config.store.kind != StoreKind::Embedded {
        return Ok(());
    }
    // Found here, before a child is started, so that the error is seen where the command was given.
    store::engine::locate(None)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let arguments = ["engine", "run", "--supervised", "--config"].map(OsString::from);
    let arguments = arguments
        .into_iter()
        .chain([
            config.file.clone().into_os_string(),
            "--data-dir".into(),
            config.data_dir.clone().into_os_string(),
        ])
        .collect();
    let mut supervisor_config = SupervisorConfig::new(program, arguments, config.store.listen);
    supervisor_config.ready_max = ENGINE_READY_MAX;
    let supervisor = Supervisor::new(supervisor_config);
    let mut state = supervisor.health();
    process.lifecycle.spawn_last(|stop| supervisor.run(async move { stop.cancelled().await }));
    wait_ready(state.clone(), ENGINE_READY_MAX).await?;
    let health = process.health.register("engine");
    health.ready();
    let soft = process.lifecycle.soft().clone();
    process.lifecycle.spawn("engine-health", async move {
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                changed = state.changed() => changed?,
            }
            let now = state.borrow().clone();
            if now.ready {
                health.ready();
            } else {
                health.not_ready(now.trouble.unwrap_or_else(|| "starting".to_owned()));
            }
        }
    });
    Ok(())
}
