//! From a full queue into ClickHouse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::SystemClock;
use simulator::http::Target;
use simulator::load::{LoadConfig, Pace};
use testing::rabbitmq::Node;
use testing::{eventually_within, free_port};
use tokio_util::sync::CancellationToken;

use crate::process::{Process, figure, metrics, sources, tillwatch, us_since, write_config};

const CONNECTIONS: usize = 256;

/// A queue that would not be emptied in this time is not measured.
const WITHIN: Duration = Duration::from_mins(10);

/// Fills the queue for so long, then lets one processor empty it into the embedded engine, and prints what that cost.
pub(crate) async fn measure(node: &Node, round: usize, filled_for: Duration) {
    let queue = format!("processing{round}");
    let folder = tempfile::tempdir().unwrap();
    let [ingest, admin, clickhouse] = [free_port(), free_port(), free_port()];
    let ports =
        format!("[ingest]\nlisten = \"127.0.0.1:{ingest}\"\n[store]\nlisten = \"127.0.0.1:{clickhouse}\"\n");
    write_config(folder.path(), &ports, admin, &queue);
    let start = |name: &str, env: &[(&str, String)]| {
        let mut command = tillwatch(name, folder.path());
        command.env("TILLWATCH_QUEUE__KIND", "rabbitmq").envs(env.iter().map(|(key, value)| (key, value)));
        Process::spawn(command, node, &queue)
    };
    let accepting = start("ingest", &[]);
    ready(admin).await;
    let target = Target::parse(&format!("http://127.0.0.1:{ingest}")).unwrap();
    let mut load = LoadConfig::new(1, target, sources());
    (load.pace, load.connections, load.duration) = (Pace::FlatOut, CONNECTIONS, filled_for);
    let report = simulator::load::run(load, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
    drop(accepting);

    let engine = start("engine run", &[]);
    let url = format!("http://127.0.0.1:{clickhouse}");
    let store = [("TILLWATCH_STORE__KIND", "clickhouse".to_owned()), ("TILLWATCH_STORE__URL", url)];
    let broker = node.processor_time();
    let begun = Instant::now();
    let processor = start("process", &store);
    let waiting = report.acknowledged_events as f64;
    eventually_within(WITHIN, "the queue is empty", async || {
        figure(&metrics(admin).await.unwrap_or_default(), "tillwatch_processor_messages_total{") >= waiting
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    let facts = figure(&metrics(admin).await.unwrap_or_default(), "tillwatch_processor_facts_total{");
    let us = |before: Duration, now: Duration| us_since(before, now) / waiting;
    let ours = us(Duration::ZERO, processor.processor_time());
    println!(
        "{waiting:.0} webhooks, {facts:.0} facts, in {seconds:.1} s ({:.0}/s); per webhook: ours {:.1} us, broker {:.1} us, \
         engine {:.1} us; of one core of ours {:.0} webhooks/s",
        waiting / seconds,
        ours,
        us(broker, node.processor_time()),
        us(Duration::ZERO, engine.processor_time()),
        1e6 / ours
    );
}

async fn ready(admin: u16) {
    testing::eventually("the process is ready", async || metrics(admin).await.is_some()).await;
}
