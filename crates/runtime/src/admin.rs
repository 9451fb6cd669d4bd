//! The operators' HTTP endpoint: `/live`, `/ready`, `/metrics`, and whatever a service adds (the board at `/`).

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::lifecycle::Lifecycle;
use crate::telemetry::Telemetry;

#[derive(Clone)]
struct AdminState {
    health: Health,
    telemetry: Telemetry,
}

/// Opens `address`; an error names the configuration key to change.
pub async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({key})"))
}

/// Serves until the process has drained: `/live` and `/metrics` stay readable while others finish.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    telemetry: Telemetry,
    more: Router,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let state = AdminState { health, telemetry };
    let router = Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
        .merge(more);
    let soft = lifecycle.soft().clone();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { soft.cancelled().await })
        .await
        .context("admin endpoint")
}

/// 200 when every part is ready, else 503; one line per part either way.
async fn ready(State(state): State<AdminState>) -> Response {
    let parts = state.health.parts();
    let status =
        if parts.values().all(Result::is_ok) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines: String = parts
        .iter()
        .map(|(part, state)| match state {
            Ok(()) => format!("{part}: ready\n"),
            Err(reason) => format!("{part}: not ready: {reason}\n"),
        })
        .collect();
    (status, lines).into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    match state.telemetry.prometheus_text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "metrics could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written; see the log\n").into_response()
        }
    }
}
