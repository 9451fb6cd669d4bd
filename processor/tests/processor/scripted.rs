//! A ClickHouse that answers inserts as its script says, and remembers those it took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::routing::any;
use bytes::{BufMut as _, Bytes, BytesMut};
use store::Store;
use store::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, StoredRow, TallyRow, WebhookRow};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One insert.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    pub(crate) table: String,
    pub(crate) rows: Bytes,
}

impl Insert {
    /// How often `text` stands in its rows.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.rows.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    }
}

/// What is said to an insert.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Taken,
    /// With this text.
    Failed(&'static str),
    /// Nothing, until [`ClickHouse::release`].
    Held,
}

type Script = Box<dyn FnMut(&Insert) -> Reply + Send>;

#[derive(Clone)]
pub(crate) struct ClickHouse {
    pub(crate) address: String,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Insert>>>,
    taken: Arc<Mutex<Vec<Insert>>>,
    released: watch::Sender<bool>,
    /// How often the columns are told yet; then the tables are gone.
    columns_told_max: Arc<AtomicUsize>,
}

impl ClickHouse {
    pub(crate) async fn start(script: impl FnMut(&Insert) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let clickhouse = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(Box::new(script))),
            asked: Arc::default(),
            taken: Arc::default(),
            released: watch::Sender::new(false),
            columns_told_max: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let router = Router::new().route("/", any(Self::handle)).layer(DefaultBodyLimit::disable());
        let router = router.with_state(clickhouse.clone());
        #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        clickhouse
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(&self.address, "default", None, "d")
    }

    /// From now on it says this.
    pub(crate) fn says(&self, script: impl FnMut(&Insert) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// It tells the columns of its tables so often, and then none.
    pub(crate) fn tells_columns_times(&self, times: usize) {
        self.columns_told_max.store(times, Ordering::Relaxed);
    }

    /// Takes what it holds.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Every insert into `table` it was asked for.
    pub(crate) fn asked(&self, table: &str) -> Vec<Insert> {
        self.asked.lock().unwrap().iter().filter(|insert| insert.table == table).cloned().collect()
    }

    /// How often `text` stands in what was taken into `table`.
    pub(crate) fn taken(&self, table: &str, text: &str) -> usize {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|insert| insert.table == table).map(|insert| insert.count(text)).sum()
    }

    async fn handle(
        State(clickhouse): State<Self>,
        Query(parameters): Query<HashMap<String, String>>,
        body: Bytes,
    ) -> (StatusCode, Bytes) {
        let text = parameters.get("query").cloned().unwrap_or_default();
        let Some(rest) = text.strip_prefix("INSERT INTO ") else {
            let is_about_columns =
                text.contains("system.columns") || String::from_utf8_lossy(&body).contains("system.columns");
            let tells = is_about_columns
                && clickhouse
                    .columns_told_max
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok();
            return (StatusCode::OK, if tells { columns() } else { Bytes::new() });
        };
        let table = rest.split(['(', ' ']).next().unwrap_or_default().replace('`', "");
        let insert = Insert { table, rows: body };
        clickhouse.asked.lock().unwrap().push(insert.clone());
        let reply = (clickhouse.script.lock().unwrap())(&insert);
        match reply {
            Reply::Failed(text) => return (StatusCode::INTERNAL_SERVER_ERROR, text.into()),
            Reply::Held => drop(clickhouse.released.subscribe().wait_for(|released| *released).await),
            Reply::Taken => {}
        }
        clickhouse.taken.lock().unwrap().push(insert);
        (StatusCode::OK, Bytes::new())
    }
}

/// The columns of every table, as they must be.
fn columns() -> Bytes {
    let mut rows = BytesMut::new();
    add::<WebhookRow<'_>>(&mut rows);
    add::<PaymentEventRow<'_>>(&mut rows);
    add::<ParkedWebhookRow<'_>>(&mut rows);
    add::<HeartbeatRow<'_>>(&mut rows);
    add::<TallyRow<'_>>(&mut rows);
    add::<store::Place<'_>>(&mut rows);
    row(&mut rows, [PaymentEventRow::TABLE, "is_deleted", "UInt8"]);
    rows.freeze()
}

fn add<T: StoredRow>(rows: &mut BytesMut) {
    for (column, kind) in T::COLUMN_NAMES.iter().zip(T::TYPES) {
        row(rows, [T::TABLE, column, kind]);
    }
}

fn row(rows: &mut BytesMut, texts: [&str; 3]) {
    for text in texts {
        rows.put_u8(u8::try_from(text.len()).unwrap());
        rows.put_slice(text.as_bytes());
    }
}
