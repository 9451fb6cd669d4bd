//! One row: its process, the load on it, and what that cost.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtime::SystemClock;
use simulator::http::Target;
use simulator::load::{LoadConfig, Pace};
use testing::rabbitmq::Node;
use testing::{eventually, free_port};
use tokio_util::sync::CancellationToken;

use crate::process::{Process, figure, metrics, sources, tillwatch, us_since, write_config};

const WARM_UP: Duration = Duration::from_secs(1);

/// How webhooks become durable.
pub(crate) enum Way {
    /// The client alone: records of a message, and records at once.
    Raw(String),
    Bare,
    /// Ours, with these environment variables.
    Ingest(Vec<(String, String)>),
}

pub(crate) struct Candidate<'a> {
    pub(crate) node: &'a Node,
    pub(crate) way: &'a Way,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

/// What a round, or the median of several, came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Measured {
    per_second: f64,
    ours_us: f64,
    broker_us: f64,
    p50_ms: f64,
    p99_ms: f64,
    records_per_message: f64,
}

impl Candidate<'_> {
    /// A fresh process, a fresh queue.
    pub(crate) async fn measure(&self, duration: Duration) -> Measured {
        static ROUND: AtomicU32 = AtomicU32::new(0);
        let queue = format!("round{}", ROUND.fetch_add(1, Ordering::Relaxed));
        let measured = match self.way {
            Way::Raw(shape) => self.raw(shape, &queue, duration).await,
            Way::Bare => {
                let (process, port) = self.bare(&queue);
                self.load(&process, port, None, duration).await
            }
            Way::Ingest(env) => {
                let folder = tempfile::tempdir().unwrap();
                let (port, admin) = (free_port(), free_port());
                let process = self.ingest(folder.path(), env, &queue, port, admin);
                eventually("ingest is ready", async || metrics(admin).await.is_some()).await;
                self.load(&process, port, Some(admin), duration).await
            }
        };
        let queues = self.node.ctl(&["list_queues", "name", "--no-table-headers"]);
        for queue in queues.lines().map(str::trim).filter(|name| name.starts_with(&queue)) {
            self.node.ctl(&["delete_queue", queue]);
        }
        measured
    }

    async fn raw(&self, shape: &str, queue: &str, duration: Duration) -> Measured {
        let mut process = self.program(&["--be", shape], queue);
        let confirmed = Arc::new(AtomicU64::new(0));
        let (lines, counter) = (process.lines(), Arc::clone(&confirmed));
        std::thread::spawn(move || {
            lines.for_each(|line| counter.store(line.parse().unwrap(), Ordering::Relaxed));
        });
        eventually("the first confirm", async || confirmed.load(Ordering::Relaxed) > 0).await;
        tokio::time::sleep(WARM_UP).await;
        let (begun, ours, broker) = (Instant::now(), process.processor_time(), self.node.processor_time());
        let before = confirmed.load(Ordering::Relaxed);
        tokio::time::sleep(duration).await;
        let records = (confirmed.load(Ordering::Relaxed) - before) as f64;
        Measured {
            per_second: records / begun.elapsed().as_secs_f64(),
            ours_us: us_since(ours, process.processor_time()) / records,
            broker_us: us_since(broker, self.node.processor_time()) / records,
            records_per_message: shape.split_once(':').unwrap().0.parse().unwrap(),
            ..Measured::default()
        }
    }

    fn bare(&self, queue: &str) -> (Process, u16) {
        let mut process = self.program(&["--be", "bare"], queue);
        let port = process.lines().next().unwrap().parse().unwrap();
        (process, port)
    }

    fn ingest(&self, folder: &Path, env: &[(String, String)], queue: &str, port: u16, admin: u16) -> Process {
        write_config(folder, &format!("[ingest]\nlisten = \"127.0.0.1:{port}\"\n"), admin, queue);
        let mut command = tillwatch("ingest", folder);
        command.envs(env.iter().map(|(key, value)| (key, value)));
        Process::spawn(command, self.node, queue)
    }

    fn program(&self, arguments: &[&str], queue: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments);
        Process::spawn(command, self.node, queue)
    }

    async fn load(&self, process: &Process, port: u16, admin: Option<u16>, duration: Duration) -> Measured {
        let target = Target::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let mut load = LoadConfig::new(1, target, sources());
        (load.pace, load.connections, load.duration) = (self.pace, self.connections, duration);
        (load.warm_up, load.server_pid) = (WARM_UP, Some(process.id()));
        let broker = self.node.processor_time();
        let report =
            simulator::load::run(load, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
        let answered: u64 = report.answers.values().sum();
        assert_eq!(report.answers.get("200"), Some(&answered), "{report}");
        Measured {
            per_second: report.acknowledged_per_s,
            ours_us: report.server_cpu_us.unwrap_or_default(),
            broker_us: us_since(broker, self.node.processor_time()) / answered as f64,
            p50_ms: report.latency.p50_ms,
            p99_ms: report.latency.p99_ms,
            records_per_message: match admin {
                Some(admin) => records_per_message(&metrics(admin).await.unwrap_or_default()),
                None => 1.0,
            },
        }
    }
}

impl Measured {
    pub(crate) fn heading() -> String {
        format!("{:26} webhooks/s  ours us  broker us  p50 ms  p99 ms  webhooks/message", "")
    }

    pub(crate) fn line(&self, name: &str) -> String {
        format!(
            "{name:26} {:10.0}  {:7.1}  {:9.1}  {:6.1}  {:6.1}  {:16.1}",
            self.per_second, self.ours_us, self.broker_us, self.p50_ms, self.p99_ms, self.records_per_message
        )
    }

    /// Of each figure by itself.
    pub(crate) fn median(mut rounds: Vec<Self>) -> Self {
        let mut of = |figure: fn(&Self) -> f64| {
            rounds.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
            figure(&rounds[rounds.len() / 2])
        };
        Self {
            per_second: of(|round| round.per_second),
            ours_us: of(|round| round.ours_us),
            broker_us: of(|round| round.broker_us),
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            records_per_message: of(|round| round.records_per_message),
        }
    }
}

fn records_per_message(metrics: &str) -> f64 {
    figure(metrics, "tillwatch_queue_published_records_total")
        / figure(metrics, "tillwatch_queue_published_messages_total").max(1.0)
}
