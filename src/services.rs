//! How each service is put together from the configuration. `serve` uses all of these in one process, the other
//! commands one each. What a service waits for (ClickHouse) is [`crate::waiting`]'s.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use alerting::AlertingService;
use anyhow::Context as _;
use axum::Router;
use dashboards::{BoardConfig, BoardState};
use ingest::{Ingest, Sources};
use processor::Processor;
use queue::{Consumer, Publisher};
use runtime::admin::bind;
use runtime::config::Config;
use store::Store;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::bootstrap::Process;
use crate::waiting::Tables;

/// Alerting begins without ClickHouse after this long: it is what pages that nobody is watched over. Before, a start
/// that takes its time is no news.
const ALERTING_PATIENCE: Duration = Duration::from_secs(60);

/// Starts ingest on its port and its own threads.
pub(crate) async fn start_ingest(process: &Process, publisher: Publisher) -> anyhow::Result<()> {
    let config = &process.config;
    let sources = Sources::prepare(&config.sources, &config.folder(), config.ingest.body_bytes_max)
        .context("[[sources]]")?;
    let front = Front::start(config.ingest.threads).context("ingest.threads")?;
    // A socket belongs to the threads it is opened on.
    let listener = front.handle.spawn(bind(config.ingest.listen, "ingest.listen")).await??;
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
    let on_front = front.handle.enter();
    process.lifecycle.spawn("ingest", ingest::run(ingest, listener, process.lifecycle.clone()));
    drop(on_front);
    process.lifecycle.spawn_last("front", |stop| async move {
        stop.cancelled().await;
        drop(front);
        Ok(())
    });
    // What was admitted to the log is committed before the process ends.
    process.lifecycle.spawn_last("queue", |stop| async move {
        stop.cancelled().await;
        publisher.close().await;
        Ok(())
    });
    Ok(())
}

/// The threads that answer providers: a batch being encoded or a page being drawn does not stand between a webhook and
/// its answer, since that happens on other threads.
struct Front {
    handle: Handle,
    threads: Option<Runtime>,
}

impl Front {
    /// `threads` as configured; 0 is half the processors, rounded up. The rest of a webhook's work (the log, the kernel's)
    /// is done elsewhere, and threads that wake each other up for little delay the answers: on two processors, at 5,000 a
    /// second, the p99 was 2 ms with one and 10 ms with two. Where all processors are full, two are better
    /// (docs/performance.md).
    fn start(threads: usize) -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if threads == 0 { processors.div_ceil(2) } else { threads };
        let threads =
            Builder::new_multi_thread().worker_threads(threads).thread_name("front").enable_all().build()?;
        Ok(Self { handle: threads.handle().clone(), threads: Some(threads) })
    }
}

impl Drop for Front {
    /// Where it is dropped, on other threads of tokio's, it must not wait. Everything on it has ended by then.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// Starts the processor; it begins when the tables are there.
pub(crate) fn start_processor(process: &Process, consumer: Consumer, store: Store, tables: Tables) {
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
    let lifecycle = process.lifecycle.clone();
    process.lifecycle.spawn("processor", async move {
        tokio::select! {
            () = lifecycle.soft().cancelled() => return Ok(()),
            () = tables.there() => {}
        }
        processor::run(processor, lifecycle.clone()).await
    });
}

/// Starts alerting, whose rules and channels are read first; it begins when the tables are there, or when they have
/// been missing for [`ALERTING_PATIENCE`].
pub(crate) fn start_alerting(process: &Process, store: &Store, tables: Tables) -> anyhow::Result<()> {
    alerting::check(&process.config)?;
    let service = AlertingService {
        config: Config::clone(&process.config),
        client: store.client(),
        clock: Arc::clone(&process.clock),
        meter: process.telemetry.meter("alerting"),
        lifecycle: process.lifecycle.clone(),
        health: process.health.register("alerting"),
        rng: rand::make_rng(),
    };
    let soft = process.lifecycle.soft().clone();
    process.lifecycle.spawn("alerting", async move {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            _ = tokio::time::timeout(ALERTING_PATIENCE, tables.there()) => {}
        }
        Ok(alerting::run(service).await?)
    });
    Ok(())
}

/// The board's routes, for the admin port.
pub(crate) fn board(process: &Process, store: &Store) -> anyhow::Result<Router> {
    let mut config = BoardConfig::from_config(&process.config, env!("CARGO_PKG_VERSION"));
    // Where ingest runs in the same process, it has something to say too.
    if process.health.parts().contains_key("ingest") {
        config.peers.push(format!("http://{}/ready/ingest", process.config.admin.listen));
    }
    let board = dashboards::board(BoardState {
        client: store.client(),
        clock: Arc::clone(&process.clock),
        config,
        telemetry: process.telemetry.clone(),
    });
    board.context("the board")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_answer_as_configured_or_half_the_processors() {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        for (configured, threads) in [(3, 3), (0, processors.div_ceil(2))] {
            assert_eq!(Front::start(configured).unwrap().handle.metrics().num_workers(), threads);
        }
    }
}
