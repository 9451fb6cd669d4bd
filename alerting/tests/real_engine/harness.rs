//! An engine, alerting over it, payments to watch, and a receiver of pages.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alerting::channels::{Channel, Sender};
use alerting::engine::{Engine as Evaluator, PageSettings, StepReport};
use alerting::export::Exporter;
use alerting::observations::Observations;
use alerting::outbox::{Courier, Progress};
use alerting::page::{Action, Message, Rates};
use alerting::reader::Reader;
use alerting::rules;
use alerting::storage::Storage;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use payments::decline::Decline;
use payments::{
    Currency, DeclineCategory, Envelope, Heartbeat, Kind, Money, Outcome, PaymentEvent, Provider,
    QueueMessage, Retry, UnixMillis,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use runtime::config::{ChannelConfig, ChannelKind, SecretRef};
use runtime::telemetry::Telemetry;
use store::engine::EngineConfig;
use store::rows::{HeartbeatRow, PaymentEventRow, WebhookRow};
use store::{Retention, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const TICK_MS: i64 = 15_000;
pub(crate) const SECRET: &str = "whsec_dGlsbHdhdGNoLXRlc3Qta2V5LTAxMjM0NTY3ODk=";

/// 2026-11-22, UTC.
pub(crate) fn at(text: &str) -> UnixMillis {
    UnixMillis::from_rfc3339(&format!("2026-11-22T{text}Z")).unwrap()
}

/// The embedded engine, in this process.
pub(crate) struct Engine {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _directory: TempDir,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let library = store::engine::locate(None).unwrap_or_else(|error| panic!("{error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = EngineConfig::new(library, directory.path());
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            store::engine::run(config, Some(listener), stopped).await.unwrap();
        };
        #[expect(clippy::disallowed_methods, reason = "a test's own task, awaited by `stop`")]
        let running = tokio::spawn(serve);
        Self { address, stop, running, _directory: directory }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(DEADLINE, self.running).await.unwrap().unwrap();
    }
}

/// Answers posts with what is queued, then with 200.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) replies: Arc<Mutex<VecDeque<u16>>>,
    pub(crate) got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    #[expect(clippy::unused_async, reason = "a handler is a future")]
    async fn handle(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        receiver.got.lock().unwrap().push((headers, body));
        let status = receiver.replies.lock().unwrap().pop_front().unwrap_or(200);
        StatusCode::from_u16(status).unwrap()
    }

    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/pages", listener.local_addr().unwrap());
        let router = Router::new().route("/pages", post(Self::handle)).with_state(self.clone());
        #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }
}

/// Alerting over one database.
pub(crate) struct Alerting {
    pub(crate) store: Store,
    pub(crate) evaluator: Evaluator,
    pub(crate) courier: Courier,
    pub(crate) exporter: Exporter,
    pub(crate) receiver: Receiver,
    pub(crate) now: UnixMillis,
    pub(crate) telemetry: Telemetry,
    folder: TempDir,
}

fn secret(folder: &Path, name: &str, text: &str) -> SecretRef {
    std::fs::write(folder.join(name), text).unwrap();
    SecretRef { env: None, file: Some(PathBuf::from(name)) }
}

impl Alerting {
    /// The shipped rules over an empty database; the clock stands at `now`.
    pub(crate) async fn new(engine: &Engine, database: &str, now: UnixMillis) -> Self {
        let store = Store::new(&format!("http://{}", engine.address), "default", None, database);
        store.wait_until_ready(DEADLINE).await.unwrap();
        let retention = Retention {
            webhooks_days: 0,
            payment_events_days: 0,
            parked_webhooks_days: 0,
            alert_transitions_days: 0,
            heartbeats_days: 0,
        };
        store.migrate(retention).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::default();
        let config = ChannelConfig {
            name: "pager".to_owned(),
            kind: ChannelKind::Webhook,
            url: Some(secret(folder.path(), "url", &receiver.listen().await)),
            secrets: vec![secret(folder.path(), "key", SECRET)],
            private_address_allowed: true,
        };
        let telemetry = Telemetry::for_tests().unwrap();
        let observations = Arc::new(Observations::new(&telemetry.meter("alerting")));
        let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let evaluator = Evaluator {
            rules: rules::load(&root.join("rules"), &["pager".to_owned()]).unwrap(),
            reader: Reader::new(store.client(), Duration::from_secs(10)),
            storage: storage.clone(),
            observations: Arc::clone(&observations),
            settings: PageSettings { public_url: "https://till.example".to_owned() },
            rates: Rates { reporting: Currency::USD, of: BTreeMap::from([("EUR".to_owned(), 1.1)]) },
            interval: Duration::from_millis(15_000),
            stale_after_ms: 60_000,
            book: Arc::default(),
            ticked_at: None,
        };
        let courier = Courier {
            channel: Channel::new(&config, folder.path()).unwrap(),
            storage: storage.clone(),
            sender: Sender::new().unwrap(),
            observations: Arc::clone(&observations),
            rng: StdRng::seed_from_u64(1),
            not_before: UnixMillis::default(),
        };
        let exporter = Exporter { storage, client: store.client(), observations };
        Self { store, evaluator, courier, exporter, receiver, now, telemetry, folder }
    }

    /// The process dies and is started again.
    pub(crate) async fn restart(&mut self) {
        // The old process lets go of its file before the new one takes it.
        self.hold(&Storage::open(&self.folder.path().join("between.sqlite")).unwrap());
        let storage = Storage::open(&self.folder.path().join("alerting.sqlite")).unwrap();
        self.evaluator.book = Arc::new(storage.load().await.unwrap());
        self.evaluator.ticked_at = None;
        self.hold(&storage);
    }

    fn hold(&mut self, storage: &Storage) {
        self.evaluator.storage = storage.clone();
        self.courier.storage = storage.clone();
        self.exporter.storage = storage.clone();
    }

    /// A heartbeat sent two seconds ago has just been stored.
    pub(crate) async fn heartbeat(&self) {
        self.heartbeat_of("till-1", UnixMillis(self.now.0 - 2_000)).await;
    }

    /// A heartbeat that says `sent_at` has just been stored.
    pub(crate) async fn heartbeat_of(&self, instance: &str, sent_at: UnixMillis) {
        let heartbeat = Heartbeat { instance: instance.to_owned(), sent_at };
        let rows = [HeartbeatRow::new(&heartbeat, self.now)];
        self.store.insert::<HeartbeatRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    /// Stores webhooks and the facts they tell, as the processor does.
    pub(crate) async fn told(&self, told: &[Told]) {
        let webhooks: Vec<_> =
            told.iter().map(|one| WebhookRow::new(&one.envelope, "stored", 1, self.now)).collect();
        self.store.insert::<WebhookRow<'_>>(&webhooks, DEADLINE).await.unwrap();
        let facts: Vec<_> =
            told.iter().map(|one| PaymentEventRow::new(&one.envelope, &one.event, self.now)).collect();
        self.store.insert::<PaymentEventRow<'_>>(&facts, DEADLINE).await.unwrap();
    }

    pub(crate) async fn step(&mut self) -> StepReport {
        let report = self.evaluator.step(self.now).await.unwrap();
        assert_eq!(report.failed, Vec::<String>::new(), "every rule is evaluated");
        report
    }

    /// A tick later: what `traffic` tells of these fifteen seconds, a heartbeat, an evaluation, deliveries.
    pub(crate) async fn tick(&mut self, traffic: &mut impl FnMut(UnixMillis) -> Vec<Told>) -> StepReport {
        let from = self.now;
        self.now = UnixMillis(from.0 + TICK_MS);
        let told = traffic(from);
        if !told.is_empty() {
            self.told(&told).await;
        }
        self.heartbeat().await;
        let report = self.step().await;
        while self.courier.step(self.now).await.unwrap() != Progress::Idle {}
        report
    }

    /// Ticks until `until` is true of a tick's messages, at most `ticks` times; those messages.
    pub(crate) async fn tick_until(
        &mut self,
        action: Action,
        ticks: usize,
        traffic: &mut impl FnMut(UnixMillis) -> Vec<Told>,
    ) -> Message {
        for _ in 0..ticks {
            let report = self.tick(traffic).await;
            let wanted = report.changes.messages.iter().find(|(_, message)| message.action == action);
            if let Some((_, message)) = wanted {
                return message.clone();
            }
        }
        panic!("no {action:?} in {ticks} ticks");
    }

    pub(crate) async fn sql(&self, sql: &str) -> String {
        let mut lines = self.store.client().query_raw(sql).fetch_bytes("TSV").unwrap();
        String::from_utf8_lossy(&lines.collect().await.unwrap()).trim_end().to_owned()
    }
}

/// A webhook and the fact it tells.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) envelope: Envelope,
    pub(crate) event: PaymentEvent,
}

impl Told {
    /// An approved attempt of 12.00 USD through `source`, told a second later.
    pub(crate) fn approved(source: &str, issuer: &str, occurred_at: UnixMillis) -> Self {
        let provider = if source.starts_with("adyen") { Provider::Adyen } else { Provider::Stripe };
        let id = Uuid::new_v4();
        let mut event =
            PaymentEvent::new(format!("evt_{id}"), 0, Kind::Authorization, Outcome::Approved, occurred_at);
        event.money = Some(Money::new(1_200, Currency::USD));
        event.issuer = issuer.to_owned();
        event.latency_ms = Some(600);
        Self { envelope: envelope(provider, source, id, UnixMillis(occurred_at.0 + 1_000)), event }
    }

    /// The same, not approved.
    pub(crate) fn refused(mut self, outcome: Outcome, category: DeclineCategory, code: &str) -> Self {
        self.event.outcome = outcome;
        self.event.decline = Some(Decline {
            code: code.to_owned(),
            category,
            network_code: String::new(),
            retry: Retry::Soft,
        });
        self
    }
}

/// An envelope as it comes out of the queue: decoded from the documented wire format.
fn envelope(provider: Provider, source: &str, id: Uuid, received_at: UnixMillis) -> Envelope {
    let mut message = BytesMut::new();
    message.put_slice(&[1, 1]);
    message.put_slice(id.as_bytes());
    message.put_i64_le(received_at.0);
    message.put_u8(u8::try_from(provider.name().len()).unwrap());
    message.put_slice(provider.name().as_bytes());
    for text in [source, "env:SECRET", ""] {
        message.put_u16_le(u16::try_from(text.len()).unwrap());
        message.put_slice(text.as_bytes());
    }
    message.put_u16_le(0);
    message.put_u32_le(2);
    message.put_slice(b"{}");
    match QueueMessage::decode(Bytes::from(message)).unwrap() {
        QueueMessage::Webhook(envelope) => envelope,
        QueueMessage::Heartbeat(_) | QueueMessage::Tally(_) => unreachable!("kind 1 is a webhook"),
    }
}
