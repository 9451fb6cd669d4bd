//! The parts, the load, and the proof.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::SystemClock;
use simulator::ledger::Ledger;
use simulator::load::{LoadConfig, LoadError, LoadReport, Pace, run};
use testing::proxy::Proxy;
use testing::rabbitmq::{Cluster, Node};
use testing::{eventually, free_port};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, Installation, Server};
use crate::nothing_lost::joined;
use crate::truth::{compare_when, number};

/// New events are made for so long in each round; then each is sent until it is acknowledged.
const ROUND: Duration = Duration::from_secs(4);
/// Webhooks acknowledged before something breaks, so that it breaks in the middle.
const BEFORE: u64 = 200;

const LANES: u16 = 2;

/// Every part in a process of its own, and proxies where connections are broken.
pub(crate) struct Parts<Broker = Node> {
    pub(crate) installation: Installation,
    pub(crate) node: Broker,
    /// Between ingest and processors on one side and a broker of one node on the other.
    pub(crate) to_broker: Proxy,
    amqp_url: String,
    /// Between processors and ClickHouse.
    pub(crate) to_store: Proxy,
    pub(crate) engine: Option<Server>,
    pub(crate) ingest: Option<Server>,
    pub(crate) processors: Vec<Server>,
    _board: Server,
    ingest_admin: u16,
    ledgers: Vec<PathBuf>,
}

/// A load that goes on until all of it is acknowledged.
pub(crate) struct Load {
    running: JoinHandle<Result<LoadReport, LoadError>>,
}

/// What the parts need to know of a broker.
pub(crate) trait Broker {
    /// Runs `rabbitmqctl`.
    fn ctl(&self, arguments: &[&str]) -> String;
}

impl Broker for Node {
    fn ctl(&self, arguments: &[&str]) -> String {
        Self::ctl(self, arguments)
    }
}

impl Broker for Cluster {
    fn ctl(&self, arguments: &[&str]) -> String {
        Self::ctl(self, arguments)
    }
}

impl Parts {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with more in `[queue]`.
    pub(crate) async fn start_with(queue: &str) -> Self {
        let node = Node::start();
        let to_broker = Proxy::to(node.port()).await;
        let amqp_url = format!("amqp://guest:guest@127.0.0.1:{}/%2f?heartbeat=2", to_broker.port());
        Self::start_before(node, to_broker, amqp_url, queue).await
    }
}

impl Parts<Cluster> {
    pub(crate) async fn start_on_cluster() -> Self {
        let cluster = Cluster::start();
        let to_broker = Proxy::to(cluster.nodes()[0].port()).await;
        let amqp_url = cluster.urls("guest:guest");
        Self::start_before(cluster, to_broker, amqp_url, "").await
    }
}

impl<B: Broker> Parts<B> {
    async fn start_before(node: B, to_broker: Proxy, amqp_url: String, queue: &str) -> Self {
        let installation = Installation::new(&format!(
            "[queue]\nkind = \"rabbitmq\"\nurl = {{ env = \"AMQP_URL\" }}\nlanes = {LANES}\n{queue}\n\
             [processor]\nlinger_ms = 100\nretry_delay_ms_max = 1000\n"
        ));
        let to_store = Proxy::to(installation.clickhouse).await;
        let engine = installation.start("engine run", &[]);
        let board = installation.start("board", &[]);
        let mut parts = Self {
            installation,
            node,
            to_broker,
            amqp_url,
            to_store,
            engine: Some(engine),
            ingest: None,
            processors: Vec::new(),
            _board: board,
            ingest_admin: free_port(),
            ledgers: Vec::new(),
        };
        parts.start_ingest();
        parts.start_processor();
        parts.start_processor();
        eventually("webhooks can be accepted", async || parts.ingest_is_ready().await).await;
        parts
    }

    pub(crate) fn start_engine(&mut self) {
        self.engine = Some(self.installation.start("engine run", &[]));
    }

    pub(crate) fn start_ingest(&mut self) {
        self.ingest = Some(self.with_ingest_env(|env| self.installation.start("ingest", env)));
    }

    /// What an ingest says that is started without the spool, and must not.
    pub(crate) fn refusal_without_spool(&self) -> String {
        let mut command = self.installation.command(&["ingest"]);
        command.env("AMQP_URL", &self.amqp_url).env("TILLWATCH_QUEUE__SPOOL", "false");
        command.env("TILLWATCH_ADMIN__LISTEN", format!("127.0.0.1:{}", self.ingest_admin));
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned()
    }

    /// In place of the one there is, with a disk that holds two segments of 1 MiB until it is lightened.
    pub(crate) fn restart_ingest_on_small_disk(&mut self) {
        self.ingest.take().unwrap().kill();
        let small =
            [("TILLWATCH_INGEST__BODY_BYTES_MAX", "65536"), ("TILLWATCH_QUEUE__SEGMENT_BYTES", "1048576")];
        self.ingest = Some(self.with_ingest_env(|env| {
            self.installation.start_on_small_disk("ingest", &[env, &small].concat(), 10 << 20)
        }));
    }

    fn with_ingest_env(&self, start: impl FnOnce(&[(&str, &str)]) -> Server) -> Server {
        start(&[
            ("AMQP_URL", &self.amqp_url),
            ("TILLWATCH_ADMIN__LISTEN", &format!("127.0.0.1:{}", self.ingest_admin)),
            ("TILLWATCH_INGEST__PUBLISH_TIMEOUT_MS", "2000"),
            // Between two heartbeats the queues are empty.
            ("TILLWATCH_INGEST__HEARTBEAT_INTERVAL_MS", "4000"),
        ])
    }

    pub(crate) fn start_processor(&mut self) {
        let admin = format!("127.0.0.1:{}", free_port());
        let store = format!("http://127.0.0.1:{}", self.to_store.port());
        let env = [
            ("AMQP_URL", &*self.amqp_url),
            ("TILLWATCH_ADMIN__LISTEN", &admin),
            ("TILLWATCH_STORE__KIND", "clickhouse"),
            ("TILLWATCH_STORE__URL", &store),
        ];
        self.processors.push(self.installation.start("process", &env));
    }

    /// Starts a load and returns when it is well under way.
    pub(crate) async fn load(&mut self) -> Load {
        let ledger = self.installation.path(&format!("ledger-{}.jsonl", self.ledgers.len()));
        let target = self.installation.target();
        let mut load = LoadConfig::new(self.ledgers.len() as u64, target, self.installation.sources());
        load.pace = Pace::FlatOut;
        load.connections = 16;
        load.warm_up = Duration::ZERO;
        load.duration = ROUND;
        load.duplicate_share = 0.05;
        load.retry = true;
        load.drain = 3 * DEADLINE;
        load.request_timeout = Duration::from_secs(5);
        load.ledger = Some(ledger.clone());
        self.ledgers.push(ledger);
        let before = self.accepted().await;
        let running = tokio::spawn(run(load, Arc::new(SystemClock), CancellationToken::new()));
        eventually("webhooks are accepted", async || self.accepted().await > before + BEFORE).await;
        Load { running }
    }

    /// Waits until the broker confirms again what is published, webhooks or heartbeats, and says how long that took.
    pub(crate) async fn recovers(&self, what: &str) {
        let (mended, before) = (Instant::now(), self.confirmed().await);
        eventually(what, async || self.confirmed().await > before).await;
        eprintln!("{what}: the broker confirms again after {} ms", mended.elapsed().as_millis());
    }

    /// Waits until webhooks are refused and none is accepted, for a while.
    pub(crate) async fn refuses(&self, what: &str) {
        let before = self.refused().await;
        eventually(what, async || self.refused().await > before).await;
        let (refused, accepted) = (self.refused().await, self.accepted().await);
        eventually(what, async || self.refused().await > refused + 2).await;
        assert_eq!(self.accepted().await, accepted, "{what}: a webhook was acknowledged");
    }

    /// Webhooks answered otherwise than 200 since ingest started.
    pub(crate) async fn refused(&self) -> u64 {
        let is_refusal = |line: &str| !line.contains("answer=\"accepted\"");
        self.sum_where("tillwatch_ingest_requests_total{", is_refusal).await
    }

    /// The load ends, and all that was ever acknowledged is stored once.
    pub(crate) async fn all_is_stored(&self, what: &str, load: Load) {
        let report = load.running.await.unwrap().unwrap();
        assert_eq!(report.events, report.acknowledged_events, "{what}: not all was acknowledged: {report}");
        let ended = Instant::now();
        let ledger: Ledger = joined(&self.installation, &self.ledgers);
        compare_when(&self.installation, &ledger, async || self.queues_are_empty()).await;
        eprintln!(
            "{what}: {} events stored and counted once, {} ms after the last was acknowledged",
            ledger.events.len(),
            ended.elapsed().as_millis()
        );
    }

    /// No ingest was killed: every webhook that is stored was counted, and the proof is exact, whatever was published twice or
    /// refused.
    pub(crate) async fn completeness_is_proven(&self) {
        let sql = "SELECT sum(missing), sum(unaccounted), min(exact), sum(acknowledged) > 1000 FROM tillwatch.completeness";
        let mut found = String::new();
        let proven = eventually("everything acknowledged is proven to be stored", async || {
            found = self.installation.ask(sql).await.unwrap_or_else(|error| error);
            found == "0\t0\t1\t1"
        });
        proven.await;
        let uncertain = number(&self.installation, "SELECT sum(uncertain) FROM tillwatch.completeness").await;
        eprintln!("completeness: {found}, {uncertain} uncertain");
    }

    /// Webhooks answered 200 since ingest started; 0 while it is away.
    async fn accepted(&self) -> u64 {
        self.answered("accepted").await
    }

    /// Records that the broker confirmed since ingest started; 0 while it is away.
    async fn confirmed(&self) -> u64 {
        self.sum("tillwatch_queue_published_records_total", "").await
    }

    /// Records on the spool.
    pub(crate) async fn spooled(&self) -> u64 {
        self.sum("tillwatch_spool_records", "").await
    }

    /// Webhooks answered with this code since ingest started.
    pub(crate) async fn answered(&self, code: &str) -> u64 {
        self.sum("tillwatch_ingest_requests_total{", &format!("answer=\"{code}\"")).await
    }

    /// Records that wait for the broker's confirm.
    pub(crate) async fn unconfirmed(&self) -> u64 {
        self.sum("tillwatch_queue_in_flight_records", "").await
    }

    async fn sum(&self, metric: &str, with: &str) -> u64 {
        self.sum_where(metric, |line| line.contains(with)).await
    }

    async fn sum_where(&self, metric: &str, counts: impl Fn(&str) -> bool) -> u64 {
        let Some(text) = self.ingest_admin("/metrics").await else { return 0 };
        let lines = text.lines().filter(|line| line.starts_with(metric) && counts(line));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    pub(crate) async fn ingest_is_ready(&self) -> bool {
        self.ingest_admin("/ready").await.is_some()
    }

    /// What ingest's admin port answers, if that is 200.
    pub(crate) async fn ingest_admin(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.ingest_admin);
        let reply = reqwest::Client::builder().build().unwrap().get(url).send().await.ok()?;
        if reply.status() == 200 { reply.text().await.ok() } else { None }
    }

    /// Whether nothing lies in any queue, processors' hands included.
    fn queues_are_empty(&self) -> bool {
        let queues = self.node.ctl(&["list_queues", "messages", "--no-table-headers"]);
        queues.lines().all(|messages| messages.trim() == "0")
    }
}
