//! An engine, a board over it, and rows to put into it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use dashboards::{BoardConfig, BoardState, board};
use payments::decline::Decline;
use payments::{
    Currency, DeclineCategory, Envelope, Heartbeat, Kind, Money, Outcome, PaymentEvent, Provider,
    QueueMessage, Retry, UnixMillis,
};
use runtime::telemetry::Telemetry;
use runtime::{Lifecycle, MockClock};
use serde_json::json;
use store::engine::EngineConfig;
use store::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, WebhookRow};
use store::{Retention, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(60);

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

    pub(crate) fn store(&self, database: &str) -> Store {
        Store::new(&format!("http://{}", self.address), "default", None, database)
    }
}

/// A board over one database, and a clock that stands at 03:07:14.
pub(crate) struct Board {
    pub(crate) store: Store,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) telemetry: Telemetry,
    url: String,
    http: reqwest::Client,
    lifecycle: Lifecycle,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.lifecycle.shut_down();
    }
}

impl Board {
    /// With tables.
    pub(crate) async fn new(engine: &Engine, database: &str) -> Self {
        let board = Self::without_tables(engine, database).await;
        let retention = Retention {
            webhooks_days: 400,
            payment_events_days: 400,
            parked_webhooks_days: 400,
            alert_transitions_days: 400,
            heartbeats_days: 400,
        };
        board.store.migrate(retention).await.unwrap();
        board
    }

    pub(crate) async fn without_tables(engine: &Engine, database: &str) -> Self {
        let store = engine.store(database);
        store.wait_until_ready(DEADLINE).await.unwrap();
        let clock = MockClock::at(at("03:07:14"));
        let telemetry = Telemetry::for_tests().unwrap();
        let router = board(BoardState {
            client: store.client(),
            clock: clock.clone(),
            config: BoardConfig {
                sources: vec![
                    ("stripe-us".to_owned(), "stripe".to_owned()),
                    ("adyen-eu".to_owned(), "adyen".to_owned()),
                ],
                stale_after_ms: 60_000,
                ingest_url: "http://127.0.0.1:8080".to_owned(),
                peers: Vec::new(),
                version: "0.1.0".to_owned(),
            },
            telemetry: telemetry.clone(),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft().clone();
        lifecycle.spawn_detached(async move {
            let stopped = async move { soft.cancelled().await };
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap();
        });
        let http = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
        Self { store, clock, telemetry, url, http, lifecycle }
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    pub(crate) async fn data(&self, query: &str) -> serde_json::Value {
        serde_json::from_str(&self.get(&format!("/board/data.json{query}")).await).unwrap()
    }

    pub(crate) async fn heartbeat(&self, text: &str) {
        self.heartbeat_stored(text, text).await;
    }

    pub(crate) async fn heartbeat_stored(&self, sent_at: &str, stored_at: &str) {
        let heartbeat = Heartbeat { instance: "till-1".to_owned(), sent_at: at(sent_at) };
        let rows = [HeartbeatRow::new(&heartbeat, at(stored_at))];
        self.store.insert::<HeartbeatRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    /// Alerting gives a sign of life, as its exporter writes it.
    pub(crate) async fn alerting_lives(&self, alive_at: &str, judged_to: &str) {
        let (details, hour) = (json!({ "event_time": at(judged_to).to_string() }), &alive_at[..2]);
        self.sql(&format!(
            "INSERT INTO alert_transitions_stored VALUES ('evaluation', 'alerting-degraded', \
             '{{\"alerting\":\"evaluation\"}}', '', 'inactive', 'inactive', \
             toDateTime64('2026-11-22 {hour}:00:00', 3, 'UTC'), '', '{details}', \
             toDateTime64('2026-11-22 {alive_at}', 3, 'UTC'))"
        ))
        .await;
    }

    /// Stores webhooks and the facts they tell, as the processor does.
    pub(crate) async fn store(&self, told: &[Told], stored_at: UnixMillis) {
        let webhooks: Vec<_> =
            told.iter().map(|one| WebhookRow::new(&one.envelope, "stored", 1, stored_at)).collect();
        self.store.insert::<WebhookRow<'_>>(&webhooks, DEADLINE).await.unwrap();
        let facts: Vec<_> =
            told.iter().map(|one| PaymentEventRow::new(&one.envelope, &one.event, stored_at)).collect();
        self.store.insert::<PaymentEventRow<'_>>(&facts, DEADLINE).await.unwrap();
    }

    pub(crate) async fn park(&self, told: &Told, stored_at: UnixMillis) {
        let row = ParkedWebhookRow::because(&told.envelope, "invalid_json", "no".to_owned(), stored_at);
        self.store.insert::<ParkedWebhookRow<'_>>(&[row], DEADLINE).await.unwrap();
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.store.client().query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A webhook and the fact it tells.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) envelope: Envelope,
    pub(crate) event: PaymentEvent,
}

impl Told {
    /// Attempt `number` of `source`, approved, 10.00 USD at Harbour Bank, 200 ms, told a second later.
    pub(crate) fn approved(source: &str, number: u32, occurred_at: UnixMillis) -> Self {
        let provider = if source.starts_with("adyen") { Provider::Adyen } else { Provider::Stripe };
        let event_id = format!("evt_{source}_{number}");
        let mut event = PaymentEvent::new(event_id, 0, Kind::Authorization, Outcome::Approved, occurred_at);
        event.money = Some(Money::new(1_000, Currency::USD));
        event.issuer = "Harbour Bank".to_owned();
        event.issuer_country = "BR".to_owned();
        event.latency_ms = Some(200);
        let webhook = Uuid::new_v4();
        Self { envelope: envelope(provider, source, webhook, UnixMillis(occurred_at.0 + 1_000)), event }
    }

    pub(crate) fn declined(source: &str, number: u32, occurred_at: UnixMillis, code: &str) -> Self {
        let mut told = Self::approved(source, number, occurred_at);
        told.event.outcome = Outcome::Declined;
        told.event.decline = Some(Decline {
            code: code.to_owned(),
            category: DeclineCategory::DoNotHonor,
            network_code: String::new(),
            retry: Retry::Soft,
        });
        told
    }

    /// The provider sends it once more, in a webhook of its own.
    pub(crate) fn again(&self) -> Self {
        let received_at = UnixMillis(self.envelope.received_at.0 + 2_000);
        let envelope = envelope(self.envelope.provider, &self.envelope.source, Uuid::new_v4(), received_at);
        Self { envelope, event: self.event.clone() }
    }
}

/// An envelope as it comes out of the queue: decoded from the documented wire format.
fn envelope(provider: Provider, source: &str, id: Uuid, received_at: UnixMillis) -> Envelope {
    let body = b"{}";
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
    message.put_u32_le(u32::try_from(body.len()).unwrap());
    message.put_slice(body);
    match QueueMessage::decode(Bytes::from(message)).unwrap() {
        QueueMessage::Webhook(envelope) => envelope,
        QueueMessage::Heartbeat(_) | QueueMessage::Tally(_) => unreachable!("kind 1 is a webhook"),
    }
}
