//! The floor: the least a server can do for a webhook. Read the body, verify Stripe's signature, answer 200.
//!
//! A rate means little without the machine it was measured on. The floor is measured in the same run, on the same
//! cores, with the same HMAC implementation, so the ratio to it means something anywhere. It runs in a process of its
//! own, as the real server does, so that its processor time can be told.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use payments::Secret;
use payments::signature::{HmacKey, decode_hex};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::http::{Target, TargetError};

/// Stands before the URL in the one line that a floor process prints.
const ANNOUNCEMENT: &str = "floor listens on ";

/// Is the process that [`FloorProcess`] starts: says where it listens, on a port of its own, and serves until `stop`.
pub async fn be(secret: &Secret, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{ANNOUNCEMENT}http://{}", listener.local_addr()?)?;
    serve(listener, secret, stop).await
}

/// Serves the floor on `listener` until `stop` is cancelled. `secret` is a Stripe endpoint's.
pub async fn serve(listener: TcpListener, secret: &Secret, stop: CancellationToken) -> std::io::Result<()> {
    let key = Arc::new(HmacKey::new(secret.expose().as_bytes()));
    let app = Router::new().route("/webhooks/{source}", post(receive)).with_state(key);
    // Nagle's algorithm would hold small answers back; the real server switches it off too.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn receive(State(key): State<Arc<HmacKey>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if verifies(&key, &headers, &body) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

/// Whether Stripe's scheme holds: the least that has to be verified.
pub fn verifies(key: &HmacKey, headers: &HeaderMap, body: &Bytes) -> bool {
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let Some((timestamp, signature)) =
        header.and_then(|header| header.strip_prefix("t=")?.split_once(",v1="))
    else {
        return false;
    };
    decode_hex(signature.as_bytes())
        .is_some_and(|signature| key.verifies(&[timestamp.as_bytes(), b".", body], &signature))
}

/// A floor in a process of its own; it ends with this value.
#[derive(Debug)]
pub struct FloorProcess {
    /// Where it listens.
    pub target: Target,
    /// Its process.
    pub pid: u32,
    _child: Child,
}

/// A floor that did not start.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The program.
    #[error("cannot start the floor's process")]
    Start(#[source] std::io::Error),
    /// It said something else, or nothing.
    #[error("the floor's process did not say where it listens, but `{0}`")]
    Silent(String),
    /// It said it, but it is no URL.
    #[error("the floor's process named an odd address")]
    Target(#[from] TargetError),
}

impl FloorProcess {
    /// Runs `command`, which must do nothing but [`be`] it.
    pub async fn start(mut command: Command) -> Result<Self, FloorError> {
        let mut child = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(FloorError::Start)?;
        let pid = child.id().unwrap_or(0);
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await.map_err(FloorError::Start)?;
        }
        let url = line
            .trim()
            .strip_prefix(ANNOUNCEMENT)
            .ok_or_else(|| FloorError::Silent(line.trim().to_owned()))?;
        Ok(Self { target: Target::parse(url)?, pid, _child: child })
    }
}
