//! Stands between the store and an engine that is a cluster of itself: what needs other servers is taken out of statements,
//! and answers that only other servers cause are given.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use store::{Cluster, InsertQuorum, Store};

/// The engine's cluster, of itself.
pub(crate) const CLUSTER: Option<&str> = Some("tillwatch");

pub(crate) fn on_cluster(store: Store) -> Store {
    let name = CLUSTER.unwrap_or_default().to_owned();
    store.on_cluster(Cluster { name, insert_quorum: InsertQuorum::Majority })
}

/// What is said instead of the engine's answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This error, and nothing is done.
    Refusal(u32, &'static str),
    /// Done, and the connection ends before anybody hears of it.
    Lost,
    /// The answer to another question.
    To(&'static str),
}

/// What is done about one request of those that contain some text.
#[derive(Debug)]
struct Script {
    contains: &'static str,
    after: u32,
    answer: Answer,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) sql: String,
    settings: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Memory {
    asked: Vec<Asked>,
    scripts: Vec<Script>,
}

#[derive(Clone)]
struct Front {
    engine: String,
    memory: Arc<Mutex<Memory>>,
    http: reqwest::Client,
}

pub(crate) struct StandIn {
    pub(crate) address: String,
    engine: String,
    memory: Arc<Mutex<Memory>>,
}

impl StandIn {
    /// Before the engine at `address`; it ends with the test.
    pub(crate) fn before(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let own_address = listener.local_addr().unwrap().to_string();
        let memory = Arc::<Mutex<Memory>>::default();
        let front =
            Front { engine: address.to_owned(), memory: Arc::clone(&memory), http: reqwest::Client::new() };
        let routes = Router::new().fallback(answer).with_state(front);
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address: own_address, engine: address.to_owned(), memory }
    }

    /// Asks the engine itself, past what stands in for it.
    pub(crate) async fn engine(&self, database: &str, sql: &str) -> Result<String, clickhouse::error::Error> {
        let store = Store::new(&format!("http://{}", self.engine), "default", None, database);
        let mut lines = store.client().query_raw(sql).fetch_bytes("TSV")?;
        Ok(String::from_utf8_lossy(&lines.collect().await?).trim_end().to_owned())
    }

    /// Answers so to the request that comes after `after` others that contain the same text.
    pub(crate) fn answers(&self, contains: &'static str, after: u32, answer: Answer) {
        lock(&self.memory).scripts.push(Script { contains, after, answer });
    }

    /// Every request so far that contains `text`, as it came.
    pub(crate) fn asked(&self, text: &str) -> Vec<Asked> {
        lock(&self.memory).asked.iter().filter(|asked| asked.sql.contains(text)).cloned().collect()
    }

    /// Whether every answer has been given.
    pub(crate) fn has_said_all(&self) -> bool {
        lock(&self.memory).scripts.is_empty()
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn answer_to(&mut self, sql: &str) -> Option<Answer> {
        let index = self.scripts.iter().position(|script| sql.contains(script.contains))?;
        if self.scripts[index].after > 0 {
            self.scripts[index].after -= 1;
            return None;
        }
        Some(self.scripts.remove(index).answer)
    }
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let mut settings: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let insert = settings.iter().find(|(name, _)| name == "query").map(|(_, sql)| sql.clone());
    let is_insert = insert.is_some();
    let mut sql = insert.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    let scripted = {
        let mut memory = lock(&front.memory);
        memory.asked.push(Asked { sql: sql.clone(), settings: settings.clone() });
        memory.answer_to(&sql)
    };
    match &scripted {
        Some(Answer::Refusal(code, text)) => return refusal(*code, text),
        Some(Answer::To(other)) => (*other).clone_into(&mut sql),
        Some(Answer::Lost) | None => {}
    }
    // Nobody listens on the cluster's port: the engine asks itself only by the short way.
    settings.retain(|(name, _)| name != "prefer_localhost_replica");
    let body = if is_insert { body } else { for_one_server(&sql).into() };
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&settings).finish();
    let url = format!("http://{}/?{query}", front.engine);
    let mut forwarded = front.http.request(parts.method, url).body(body);
    for (name, value) in &parts.headers {
        if name.as_str().starts_with("x-") || name.as_str() == "authorization" {
            forwarded = forwarded.header(name, value);
        }
    }
    let done = forwarded.send().await.unwrap();
    let (status, headers) = (done.status(), done.headers().clone());
    let bytes = done.bytes().await.unwrap();
    if matches!(scripted, Some(Answer::Lost)) {
        assert!(status.is_success(), "{}", String::from_utf8_lossy(&bytes));
        let cut = futures_util::stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("cut"))]);
        return Response::new(Body::from_stream(cut));
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-clickhouse")) {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn refusal(code: u32, text: &str) -> Response {
    let mut response = Response::new(Body::from(format!("Code: {code}. DB::Exception: {text}")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert("x-clickhouse-exception-code", code.into());
    response
}

/// Without the other servers, and without Keeper.
pub(crate) fn for_one_server(sql: &str) -> String {
    let sql = sql.replace(" ON CLUSTER `tillwatch`", "");
    let sql = sql.replace(" replicated_deduplication_window", " non_replicated_deduplication_window");
    let Some((before, after)) = sql.split_once("ENGINE = Replicated") else { return sql };
    let (family, arguments) = after.split_once("('").unwrap();
    let (_path, arguments) = arguments.split_once("', '").unwrap();
    let (_replica, arguments) = arguments.split_once('\'').unwrap();
    format!("{before}ENGINE = {family}({}", arguments.trim_start_matches(", "))
}
