//! One engine for all tests of a process, a database for each, and rows to put into it. Where the test program asks for
//! it, the tables have their form on a cluster, of the engine alone.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{BufMut as _, Bytes, BytesMut};
use payments::{Envelope, Heartbeat, Kind, Outcome, PaymentEvent, Provider, QueueMessage, UnixMillis};
use store::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, WebhookRow};
use store::{Retention, Store};
use tempfile::TempDir;
pub(crate) use testing::DEADLINE;
use uuid::Uuid;

use crate::stand_in::{CLUSTER, StandIn, on_cluster};

pub(crate) const RETENTION: Retention = Retention {
    webhooks_days: 90,
    payment_events_days: 400,
    parked_webhooks_days: 90,
    alert_transitions_days: 400,
    heartbeats_days: 7,
};

/// A Sunday, 03:07 UTC: when the tests' webhooks arrive.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_316_820_123);
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// A running engine, ended when the last test lets go of it.
pub(crate) struct Engine {
    child: Child,
    address: String,
    _directory: TempDir,
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

static ENGINE: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

fn engine() -> Arc<Engine> {
    let mut running = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let engine = Arc::new(start(&[]));
        *running = Arc::downgrade(&engine);
        engine
    })
}

/// An engine of its own, with options beyond those of all.
pub(crate) fn start(more: &[String]) -> Engine {
    let directory = tempfile::tempdir().unwrap();
    let library = store::engine::locate(None).unwrap_or_else(|error| panic!("{error}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_store-engine"))
        .env("TILLWATCH_ENGINE_LIBRARY", library)
        .arg("serve")
        .arg(directory.path())
        .args(["127.0.0.1:0", "memory_bytes_max=2147483648"])
        .args(CLUSTER.map(|name| format!("cluster={name}")))
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Engine { child, address: line.trim().to_owned(), _directory: directory }
}

/// One test's database.
pub(crate) struct Tables {
    pub(crate) store: Store,
    /// Between the store and the engine, where the tables are on a cluster.
    pub(crate) stand_in: Option<StandIn>,
    engine: Arc<Engine>,
}

impl Tables {
    /// A database without tables.
    pub(crate) fn empty() -> Self {
        Self::over(engine())
    }

    /// A database without tables, in this engine.
    pub(crate) fn over(engine: Arc<Engine>) -> Self {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("test").replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let stand_in = CLUSTER.map(|_| StandIn::before(&engine.address));
        let address = stand_in.as_ref().map_or(engine.address.as_str(), |stand_in| &stand_in.address);
        let store = on_cluster(Store::new(&format!("http://{address}"), "default", None, &name));
        Self { store, stand_in, engine }
    }

    /// A database with tables.
    pub(crate) async fn new() -> Self {
        let tables = Self::empty();
        tables.store.migrate(RETENTION).await.unwrap();
        tables
    }

    /// The same database over another connection.
    pub(crate) fn another(&self) -> Store {
        on_cluster(Store::new(&format!("http://{}", self.address()), "default", None, self.store.database()))
    }

    /// `host:port` that the store talks to.
    pub(crate) fn address(&self) -> &str {
        self.stand_in.as_ref().map_or(self.engine.address.as_str(), |stand_in| &stand_in.address)
    }

    /// Runs a statement that must succeed; columns by tabs, rows by newlines.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) async fn try_sql(&self, sql: &str) -> Result<String, clickhouse::error::Error> {
        let sql = if CLUSTER.is_some() { to_local_tables(sql) } else { sql.to_owned() };
        let mut lines = self.store.client().query_raw(&sql).fetch_bytes("TSV")?;
        let text = String::from_utf8_lossy(&lines.collect().await?).into_owned();
        Ok(text.trim_end().to_owned())
    }

    /// Stores facts of one webhook each.
    pub(crate) async fn store_facts(&self, facts: &[Fact], stored_at: UnixMillis) {
        let rows: Vec<_> = facts.iter().map(|fact| fact.row(stored_at)).collect();
        self.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    pub(crate) async fn store_webhooks(&self, envelopes: &[Envelope], stored_at: UnixMillis) {
        let rows: Vec<_> = envelopes.iter().map(|one| WebhookRow::new(one, "stored", 1, stored_at)).collect();
        self.store.insert::<WebhookRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    pub(crate) async fn store_parked(&self, envelopes: &[Envelope], stored_at: UnixMillis) {
        let rows: Vec<_> = envelopes
            .iter()
            .map(|one| ParkedWebhookRow::because(one, "invalid_json", "no".to_owned(), stored_at))
            .collect();
        self.store.insert::<ParkedWebhookRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    pub(crate) async fn store_heartbeats(&self, heartbeats: &[Heartbeat], stored_at: UnixMillis) {
        let rows: Vec<_> = heartbeats.iter().map(|one| HeartbeatRow::new(one, stored_at)).collect();
        self.store.insert::<HeartbeatRow<'_>>(&rows, DEADLINE).await.unwrap();
    }
}

/// What is done to parts is done where they are.
fn to_local_tables(sql: &str) -> String {
    let to_parts =
        ["OPTIMIZE TABLE ", "TRUNCATE TABLE ", "SYSTEM "].iter().any(|words| sql.starts_with(words));
    let local = |sql: &str| sql.replace("_stored", "_stored_local").replace("_places", "_places_local");
    if to_parts { local(sql) } else { sql.to_owned() }
}

/// A fact and the webhook that told it.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) envelope: Envelope,
    pub(crate) event: PaymentEvent,
}

impl Fact {
    /// An approved authorization told by `provider`'s webhook number `number`, which arrives a second later.
    pub(crate) fn new(provider: Provider, number: u32, occurred_at: UnixMillis) -> Self {
        let received_at = UnixMillis(occurred_at.0 + 1_000);
        let body = format!("{{\"number\":{number}}}");
        let event_id = format!("evt_{number:08}");
        Self {
            envelope: envelope(provider, u128::from(number), received_at, &[], body.as_bytes()),
            event: PaymentEvent::new(event_id, 0, Kind::Authorization, Outcome::Approved, occurred_at),
        }
    }

    /// The same fact in another webhook, told to have happened at another time.
    pub(crate) fn again(&self, number: u32, occurred_at: UnixMillis) -> Self {
        let mut again = Self::new(self.envelope.provider, number, occurred_at);
        again.event.event_id.clone_from(&self.event.event_id);
        again
    }

    pub(crate) fn row(&self, stored_at: UnixMillis) -> PaymentEventRow<'_> {
        PaymentEventRow::new(&self.envelope, &self.event, stored_at)
    }
}

/// `count` facts of consecutive seconds.
pub(crate) fn facts(provider: Provider, count: u32) -> Vec<Fact> {
    (0..count)
        .map(|number| Fact::new(provider, number, UnixMillis(NOW.0 + i64::from(number) * 1_000)))
        .collect()
}

/// An envelope as it comes out of the queue: decoded from the documented wire format.
pub(crate) fn envelope(
    provider: Provider,
    id: u128,
    received_at: UnixMillis,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Envelope {
    let mut message = BytesMut::new();
    let text16 = |message: &mut BytesMut, text: &str| {
        message.put_u16_le(u16::try_from(text.len()).unwrap());
        message.put_slice(text.as_bytes());
    };
    message.put_slice(&[1, 1]);
    message.put_slice(Uuid::from_u128(id).as_bytes());
    message.put_i64_le(received_at.0);
    message.put_u8(u8::try_from(provider.name().len()).unwrap());
    message.put_slice(provider.name().as_bytes());
    for text in [format!("{provider}-us").as_str(), "env:SECRET", ""] {
        text16(&mut message, text);
    }
    message.put_u16_le(u16::try_from(headers.len()).unwrap());
    for (name, value) in headers {
        text16(&mut message, name);
        message.put_u32_le(u32::try_from(value.len()).unwrap());
        message.put_slice(value);
    }
    message.put_u32_le(u32::try_from(body.len()).unwrap());
    message.put_slice(body);
    match QueueMessage::decode(Bytes::from(message)).unwrap() {
        QueueMessage::Webhook(envelope) => envelope,
        QueueMessage::Heartbeat(_) | QueueMessage::Tally(_) => unreachable!("kind 1 is a webhook"),
    }
}
