//! One row: its process, the load on it, and what that cost.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use payments::{Provider, Secret};
use runtime::SystemClock;
use simulator::SimulatedSource;
use simulator::http::Target;
use simulator::load::{LoadConfig, Pace};
use testing::rabbitmq::Node;
use testing::{eventually, free_port};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "whsec_measured";
/// So that every lane has its share.
const SOURCES: usize = 8;
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

/// Killed when dropped.
struct Process(Child);

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
        let (lines, counter) = (lines(&mut process.0), Arc::clone(&confirmed));
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
            ours_us: (process.processor_time() - ours).as_secs_f64() * 1e6 / records,
            broker_us: (self.node.processor_time() - broker).as_secs_f64() * 1e6 / records,
            records_per_message: shape.split_once(':').unwrap().0.parse().unwrap(),
            ..Measured::default()
        }
    }

    fn bare(&self, queue: &str) -> (Process, u16) {
        let mut process = self.program(&["--be", "bare"], queue);
        let port = lines(&mut process.0).next().unwrap().parse().unwrap();
        (process, port)
    }

    fn ingest(&self, folder: &Path, env: &[(String, String)], queue: &str, port: u16, admin: u16) -> Process {
        let source = |index| {
            format!(
                "[[sources]]\nname = \"stripe-{index}\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"SECRET\" }}]\n"
            )
        };
        let sources: String = (0..SOURCES).map(source).collect();
        let listen =
            format!("[ingest]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n");
        let queue_of = format!("[queue]\nurl = {{ env = \"AMQP_URL\" }}\nname = \"{queue}\"\n");
        std::fs::write(folder.join("tillwatch.toml"), listen + &queue_of + &sources).unwrap();
        let config = folder.join("tillwatch.toml");
        let data = folder.join("data");
        let arguments =
            ["ingest", "--config", config.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let mut command = Command::new(beside("tillwatch"));
        command.envs(env.iter().map(|(key, value)| (key, value))).args(arguments);
        self.spawn(command, queue)
    }

    fn program(&self, arguments: &[&str], queue: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments);
        self.spawn(command, queue)
    }

    fn spawn(&self, mut command: Command, queue: &str) -> Process {
        command.env("AMQP_URL", self.node.url("guest:guest")).env("QUEUE", queue).env("SECRET", SECRET);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Process(command.spawn().unwrap())
    }

    async fn load(&self, process: &Process, port: u16, admin: Option<u16>, duration: Duration) -> Measured {
        let target = Target::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let sources = (0..SOURCES).map(|index| SimulatedSource {
            name: format!("stripe-{index}"),
            provider: Provider::Stripe,
            secret: Secret::new(SECRET),
            settings: Default::default(),
        });
        let mut load = LoadConfig::new(1, target, sources.collect());
        (load.pace, load.connections, load.duration) = (self.pace, self.connections, duration);
        (load.warm_up, load.server_pid) = (WARM_UP, Some(process.0.id()));
        let broker = self.node.processor_time();
        let report =
            simulator::load::run(load, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
        let answered: u64 = report.answers.values().sum();
        assert_eq!(report.answers.get("200"), Some(&answered), "{report}");
        Measured {
            per_second: report.acknowledged_per_s,
            ours_us: report.server_cpu_us.unwrap_or_default(),
            broker_us: (self.node.processor_time() - broker).as_secs_f64() * 1e6 / answered as f64,
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

impl Process {
    fn processor_time(&self) -> Duration {
        simulator::load::process_cpu(self.0.id()).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A program of the same build.
fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().and_then(Path::parent).unwrap().join(name)
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + Send + use<> {
    std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

async fn metrics(admin: u16) -> Option<String> {
    let client = reqwest::Client::builder().build().unwrap();
    let ready = client.get(format!("http://127.0.0.1:{admin}/ready")).send().await.ok()?;
    let metrics = client.get(format!("http://127.0.0.1:{admin}/metrics")).send().await.ok()?;
    if ready.status() == 200 { metrics.text().await.ok() } else { None }
}

fn records_per_message(metrics: &str) -> f64 {
    let of = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    of("tillwatch_queue_published_records_total") / of("tillwatch_queue_published_messages_total").max(1.0)
}
