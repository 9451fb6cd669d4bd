//! The operators' HTTP endpoint: `/live`, `/ready`, `/ready/{part}`, `/metrics`, and whatever a service adds (the board
//! at `/`).

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::health::{Health, Readiness};
use crate::telemetry::Telemetry;

/// A client that holds its connection open may not hold the process.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// What the operators' endpoint shows. It is served from the first moment, so that a long start can be watched.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether each part is ready.
    pub health: Health,
    /// The metrics.
    pub telemetry: Telemetry,
    /// What else is served, once it is there.
    pub more: Arc<OnceLock<Router>>,
}

/// Opens `address`; an error names the configuration key to change.
pub async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({key})"))
}

impl Admin {
    /// Serves until `stop`, which comes when every task has ended: they can be watched while they drain.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
        let stopped = stop.clone();
        let served =
            axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned()).into_future();
        let held_open = async {
            stopped.cancelled().await;
            tokio::time::sleep(GOODBYE_MAX).await;
        };
        tokio::select! {
            served = served => served.context("admin endpoint"),
            () = held_open => Ok(()),
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/live", get(async || "live\n"))
            .route("/ready", get(ready))
            .route("/ready/{part}", get(part_ready))
            .route("/metrics", get(metrics))
            .fallback(more)
            .with_state(self)
    }
}

/// 200 when every part is ready, else 503; one line per part either way.
async fn ready(State(admin): State<Admin>) -> Response {
    let lines = admin.health.parts().iter().map(|(part, state)| line(part, state)).collect();
    answer(admin.health.is_ready(), lines)
}

/// The same for one part: a load balancer before ingest asks nothing of ClickHouse.
async fn part_ready(State(admin): State<Admin>, Path(part): Path<String>) -> Response {
    let parts = admin.health.parts();
    let Some(state) = parts.get(part.as_str()) else {
        let known: Vec<&str> = parts.keys().copied().collect();
        return (StatusCode::NOT_FOUND, format!("no such part; one of {}\n", known.join(", ")))
            .into_response();
    };
    answer(state.is_ok(), line(&part, state))
}

fn line(part: &str, state: &Readiness) -> String {
    match state {
        Ok(None) => format!("{part}: ready\n"),
        Ok(Some(note)) => format!("{part}: ready: {note}\n"),
        Err(reason) => format!("{part}: not ready: {reason}\n"),
    }
}

fn answer(is_ready: bool, lines: String) -> Response {
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, lines).into_response()
}

async fn more(State(admin): State<Admin>, request: Request) -> Response {
    match admin.more.get() {
        Some(router) => match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting; /ready says why\n").into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.telemetry.prometheus_text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "metrics could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written; see the log\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};

    async fn ask(admin: &Admin, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = admin.clone().router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_part_can_be_asked_alone() {
        let telemetry = Telemetry::for_tests().unwrap();
        let admin = Admin { health: Health::default(), telemetry, more: Arc::default() };
        assert_eq!(ask(&admin, "/ready").await.0, 503, "nothing is ready before there are parts");
        let (ingest, store) = (admin.health.register("ingest"), admin.health.register("store"));
        ingest.ready();
        store.not_ready("ClickHouse is away");
        let both = "ingest: ready\nstore: not ready: ClickHouse is away\n".to_owned();
        assert_eq!(ask(&admin, "/ready").await, (503, both));
        assert_eq!(ask(&admin, "/ready/ingest").await, (200, "ingest: ready\n".to_owned()));
        ingest.ready_but("the spool holds 3 webhooks");
        let noted = "ingest: ready: the spool holds 3 webhooks\n".to_owned();
        assert_eq!(ask(&admin, "/ready/ingest").await, (200, noted));
        assert_eq!(ask(&admin, "/ready/store").await.0, 503);
        assert_eq!(
            ask(&admin, "/ready/cellar").await,
            (404, "no such part; one of ingest, store\n".to_owned())
        );
    }

    #[tokio::test]
    async fn what_a_service_adds_is_served_once_it_is_there() {
        let telemetry = Telemetry::for_tests().unwrap();
        let admin = Admin { health: Health::default(), telemetry, more: Arc::default() };
        assert_eq!(ask(&admin, "/live").await.0, 200);
        assert_eq!(ask(&admin, "/").await.0, 503);
        admin.more.set(Router::new().route("/", get(async || "the board"))).unwrap();
        assert_eq!(ask(&admin, "/").await, (200, "the board".to_owned()));
        assert_eq!(ask(&admin, "/elsewhere").await.0, 404);
    }
}
