//! A new version is rolled out while webhooks come: every service is ended by SIGTERM and started again, one after the
//! other, behind a real load balancer that sends no request twice. No request fails, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use runtime::SystemClock;
use simulator::http::Target;
use simulator::load::{LoadConfig, Pace, run};
use testing::load_balancer::{Backend, LoadBalancer};
use testing::rabbitmq::Node;
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, Installation, Server, free_port, until};
use crate::nothing_lost::joined;
use crate::truth::compare_when;

const CONFIG: &str = "[queue]\nkind = \"rabbitmq\"\nurl = { env = \"AMQP_URL\" }\nlanes = 2\n\n\
                      [processor]\nlinger_ms = 100\nretry_delay_ms_max = 1000\n\n\
                      [shutdown]\nannounce_ms = 1000\n";
const PER_SECOND: f64 = 200.0;

/// A service, and how it is started again.
struct Service<'a> {
    installation: &'a Installation,
    command: &'static str,
    admin: u16,
    env: Vec<(&'static str, String)>,
    running: Option<Server>,
}

impl<'a> Service<'a> {
    fn new(
        installation: &'a Installation,
        command: &'static str,
        admin: u16,
        env: &[(&'static str, &str)],
    ) -> Self {
        let mut env: Vec<_> = env.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        env.push(("TILLWATCH_ADMIN__LISTEN", format!("127.0.0.1:{admin}")));
        let mut service = Self { installation, command, admin, env, running: None };
        service.start();
        service
    }

    fn start(&mut self) {
        let env: Vec<_> = self.env.iter().map(|(key, value)| (*key, &**value)).collect();
        self.running = Some(self.installation.start(self.command, &env));
    }

    async fn until_ready(&mut self) {
        until(&format!("{} is ready", self.command), async || {
            self.running.as_mut().unwrap().assert_alive();
            let ready = reqwest::get(format!("http://127.0.0.1:{}/ready", self.admin)).await;
            ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    async fn restart(&mut self) {
        assert_eq!(self.running.take().unwrap().terminate().await, 0, "{}", self.command);
        self.start();
        self.until_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_rolled_out_and_no_webhook_is_refused_or_lost() {
    let installation = Installation::new(CONFIG);
    let node = Node::start();
    let amqp = node.url("guest:guest");
    let store = format!("http://127.0.0.1:{}", installation.clickhouse);
    let elsewhere = [("TILLWATCH_STORE__KIND", "clickhouse"), ("TILLWATCH_STORE__URL", &store)];
    let _engine = installation.start("engine run", &[]);
    let broker = ("AMQP_URL", amqp.as_str());

    let backends = [(); 2].map(|()| Backend { port: free_port(), admin: free_port() });
    let mut services: Vec<_> = backends
        .iter()
        .map(|backend| {
            let listen = format!("127.0.0.1:{}", backend.port);
            let env = [broker, ("TILLWATCH_INGEST__LISTEN", &listen)];
            Service::new(&installation, "ingest", backend.admin, &env)
        })
        .collect();
    for (command, admin) in [
        ("process", free_port()),
        ("process", free_port()),
        ("alert", free_port()),
        ("board", installation.admin),
    ] {
        services.push(Service::new(
            &installation,
            command,
            admin,
            &[&[broker], elsewhere.as_slice()].concat(),
        ));
    }
    for service in &mut services {
        service.until_ready().await;
    }
    let balancer = LoadBalancer::before(&backends);

    let ledger = installation.path("ledger-0.jsonl");
    let target = Target::parse(&format!("http://127.0.0.1:{}", balancer.port())).unwrap();
    let mut load = LoadConfig::new(7, target, installation.sources());
    (load.pace, load.connections, load.warm_up) = (Pace::PerSecond(PER_SECOND), 16, Duration::ZERO);
    (load.duration, load.drain, load.ledger) = (DEADLINE, DEADLINE, Some(ledger.clone()));
    let enough = CancellationToken::new();
    let sending = tokio::spawn(run(load, Arc::new(SystemClock), enough.clone()));
    for service in &mut services {
        service.restart().await;
        // As a roll-out does: the next one goes when this one is sent to again.
        until("the load balancer sends to both", async || {
            let statistics = reqwest::get(balancer.statistics()).await.unwrap().text().await.unwrap();
            let servers = statistics.lines().filter(|line| line.starts_with("webhooks,ingest"));
            servers.filter(|line| line.contains(",UP,")).count() == backends.len()
        })
        .await;
    }
    enough.cancel();
    let report = sending.await.unwrap().unwrap();
    let answered: u64 = report.answers.values().sum();
    assert_eq!(report.answers.get("200"), Some(&answered), "{report}");
    assert!(answered > 0 && report.events == report.acknowledged_events, "{report}");
    // The broker counts what waits every few seconds, and signs of life come every few seconds: their steps may agree.
    for mut ingest in services.drain(..backends.len()) {
        assert_eq!(ingest.running.take().unwrap().terminate().await, 0);
    }

    let queues_are_empty = async || {
        let queues = node.ctl(&["list_queues", "messages", "--no-table-headers"]);
        queues.lines().all(|messages| messages.trim() == "0")
    };
    compare_when(&installation, &joined(&installation, &[ledger]), queues_are_empty).await;
    // The last of each minute is told after the last answer of each process.
    let surely = "SELECT sum(missing) + sum(unaccounted) + countIf(exact = 0) FROM tillwatch.completeness";
    assert_eq!(installation.ask(surely).await.unwrap(), "0");
}
