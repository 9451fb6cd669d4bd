//! A real ingest on a free port, with a real log in a temporary folder; talked to over plain sockets, so that a
//! request can be broken in every way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ingest::{Ingest, Sources};
use payments::UnixMillis;
use payments::signature::HmacKey;
use queue::{BatchLimits, Consumer, LogConfig, Publisher};
use runtime::config::{IngestConfig, SourceConfig};
use runtime::telemetry::Telemetry;
use runtime::{Config, Health, Lifecycle, MockClock};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The time of every test's clock: 2026-11-22T03:07:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_316_820_000);

pub(crate) const STRIPE_SECRET: &str = "whsec_test_only_stripe";
pub(crate) const CHECKOUT_SECRET: &str = "test-only-checkout";

/// A running ingest.
pub(crate) struct TestIngest {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) telemetry: Telemetry,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) consumer: Consumer,
    _folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl TestIngest {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}, |_| {}).await
    }

    /// Starts with changed limits.
    pub(crate) async fn start_with(
        change: impl FnOnce(&mut IngestConfig, &mut Vec<SourceConfig>),
        change_log: impl FnOnce(&mut LogConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = sources(folder.path());
        let mut config = IngestConfig {
            body_bytes_max: 64 << 10,
            header_read_timeout_ms: 300,
            body_read_timeout_ms: 300,
            heartbeat_interval_ms: 3_600_000,
            ..IngestConfig::default()
        };
        change(&mut config, &mut sources);
        let mut log = LogConfig::new(folder.path().join("queue"));
        change_log(&mut log);
        let (publisher, consumer) = queue::open_embedded(log).unwrap();
        let mut harness = Self::start_on(config, &sources, folder, publisher, consumer).await;
        harness.skip_first_heartbeat().await;
        harness
    }

    async fn start_on(
        config: IngestConfig,
        sources: &[SourceConfig],
        folder: TempDir,
        publisher: Publisher,
        consumer: Consumer,
    ) -> Self {
        let clock = MockClock::at(NOW);
        let telemetry = Telemetry::for_tests().unwrap();
        let lifecycle = Lifecycle::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ingest = Ingest {
            sources: Sources::prepare(sources, folder.path(), config.body_bytes_max).unwrap(),
            config,
            publisher,
            instance: "test".to_owned(),
            clock: clock.clone(),
            telemetry: telemetry.clone(),
            health: Health::default().register("ingest"),
        };
        lifecycle.spawn("ingest", ingest::run(ingest, listener, lifecycle.clone()));
        Self { address, clock, telemetry, lifecycle, consumer, _folder: folder }
    }

    async fn skip_first_heartbeat(&mut self) {
        let bodies = self.received(1).await;
        assert!(bodies.is_empty(), "the first message is a heartbeat");
    }

    /// Sends raw bytes, and reads until the server closes or has answered once.
    pub(crate) async fn send(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_reply(&mut stream).await
    }

    /// Posts `body` with these headers and a right `Content-Length`.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&request("POST", path, headers, body)).await
    }

    /// Bodies of the next `messages` messages of the queue, heartbeats left out.
    pub(crate) async fn received(&mut self, messages: usize) -> Vec<Vec<u8>> {
        let limits =
            BatchLimits { records_max: 10_000, bytes_max: 64 << 20, linger: Duration::from_millis(1) };
        let mut bodies = Vec::new();
        let mut seen = 0;
        while seen < messages {
            let batch =
                tokio::time::timeout(DEADLINE, self.consumer.receive(&limits)).await.unwrap().unwrap();
            for delivery in batch.deliveries() {
                seen += 1;
                if let payments::QueueMessage::Webhook(envelope) =
                    payments::QueueMessage::decode(delivery.payload.clone()).unwrap()
                {
                    bodies.push(envelope.body.to_vec());
                }
            }
            self.consumer.ack(batch.through()).await.unwrap();
        }
        bodies
    }

    /// One value of `/metrics`, 0 if it is not there yet.
    pub(crate) fn metric(&self, line_start: &str) -> u64 {
        let text = String::from_utf8(self.telemetry.prometheus_text().unwrap()).unwrap();
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

impl Reply {
    /// Whether the body is our answer of this code, with a message for people; for an empty code, whether it is empty.
    pub(crate) fn answers(&self, code: &str) -> bool {
        if code.is_empty() {
            return self.body.is_empty();
        }
        serde_json::from_str::<serde_json::Value>(&self.body).is_ok_and(|answer| {
            answer["error"] == code && answer["message"].as_str().is_some_and(|message| message.len() > 20)
        })
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A genuine `Stripe-Signature` for `body` at `t` seconds.
pub(crate) fn stripe_signature(secret: &str, t: i64, body: &[u8]) -> String {
    let signature = HmacKey::new(secret.as_bytes()).sign(&[t.to_string().as_bytes(), b".", body]);
    format!("t={t},v1={}", payments::signature::encode_hex(&signature))
}

pub(crate) async fn read_reply(stream: &mut TcpStream) -> Reply {
    tokio::time::timeout(DEADLINE, try_read_reply(stream)).await.expect("an answer before the deadline")
}

async fn try_read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    loop {
        if let Some(reply) = parse_reply(&bytes) {
            return reply;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => {
                return parse_reply(&bytes).unwrap_or(Reply {
                    status: 0,
                    head: String::new(),
                    body: String::new(),
                });
            }
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

fn parse_reply(bytes: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |value| value.parse().unwrap());
    (body.len() >= length).then(|| Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

fn sources(folder: &Path) -> Vec<SourceConfig> {
    let secret = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        format!("secrets = [{{ file = \"{name}\" }}]")
    };
    let adyen = secret("adyen", &"0f".repeat(32));
    let canonical = secret("shop", "whsec_dGVzdCBvbmx5IHNlY3JldCBvZiB0aGUgc2hvcA==");
    let text = format!(
        "[[sources]]\nname = \"stripe-us\"\nprovider = \"stripe\"\n{}\n\
         [[sources]]\nname = \"adyen-eu\"\nprovider = \"adyen\"\n{adyen}\n\
         [[sources]]\nname = \"checkout-uk\"\nprovider = \"checkout\"\n{}\n\
         [[sources]]\nname = \"shop\"\nprovider = \"canonical\"\n{canonical}\n",
        secret("stripe", STRIPE_SECRET),
        secret("checkout", CHECKOUT_SECRET),
    );
    Config::parse(&text, Path::new("test.toml")).unwrap().sources
}
