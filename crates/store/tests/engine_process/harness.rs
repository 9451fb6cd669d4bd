//! Starts engines and asks them things.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tempfile::TempDir;
pub(crate) use testing::{DEADLINE, eventually};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_store-engine");

/// A running engine. Killed when dropped.
pub(crate) struct Engine {
    pub(crate) child: Child,
    pub(crate) address: String,
    http: reqwest::Client,
}

/// One answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The text of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text()
    }

    /// The code of a failure, which header and text agree on.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, u32) {
        let code = self.header("x-clickhouse-exception-code").parse().unwrap_or_else(|_| panic!("{self:?}"));
        let text = self.text();
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
        assert!(text.ends_with(")\n"), "{text}");
        (self.status, code)
    }
}

/// The library, or the message how to fetch it.
pub(crate) fn library() -> PathBuf {
    store::engine::locate(None).unwrap_or_else(|error| panic!("{error}"))
}

impl Engine {
    pub(crate) fn start(options: &[&str]) -> (Self, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Self::start_in(directory.path(), options), directory)
    }

    pub(crate) fn start_in(directory: &Path, options: &[&str]) -> Self {
        let mut child = command(directory, options).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let http = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
        Self { child, address: line.trim().to_owned(), http }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The official client, as the rest of the project uses it.
    pub(crate) fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default().with_url(self.url())
    }

    pub(crate) fn request(
        &self,
        method: reqwest::Method,
        parameters: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut url = reqwest::Url::parse(&self.url()).unwrap();
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        self.http.request(method, url)
    }

    pub(crate) async fn post(&self, parameters: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(reqwest::Method::POST, parameters).body(body)).await
    }

    pub(crate) async fn get(&self, parameters: &[(&str, &str)]) -> Answer {
        send(self.request(reqwest::Method::GET, parameters)).await
    }

    /// Runs a statement that must succeed.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        self.post(&[], sql.to_owned()).await.ok().trim_end().to_owned()
    }

    /// Ends the engine as its supervisor does, and waits for it.
    pub(crate) fn stop(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.wait()
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        for _ in 0..DEADLINE.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the engine did not end");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(directory: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.env("TILLWATCH_ENGINE_LIBRARY", library()).env("TZ", "UTC");
    command.arg("serve").arg(directory).arg("127.0.0.1:0").args(options).stdin(Stdio::piped());
    command
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}
