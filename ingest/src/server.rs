//! Connections: how many, how large a request head, how long it may take, and draining.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::Lifecycle;
use runtime::config::IngestConfig;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::{debug, warn};

/// Most headers of one request.
const HEADERS_MAX: usize = 100;

/// Pause after an accept that failed (out of file descriptors): the cause does not go away at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Accepts connections until the soft token is cancelled; each connection then finishes the request it is at.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: &IngestConfig,
    lifecycle: &Lifecycle,
) {
    let places = Arc::new(Semaphore::new(config.connections_max));
    let http = http1(config);
    loop {
        // The place is taken before accepting, so that connections over the limit wait in the kernel, not in memory.
        let place = tokio::select! {
            () = lifecycle.soft().cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            () = lifecycle.soft().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection =
                    serve_connection(stream, place, http.clone(), router.clone(), lifecycle.soft().clone());
                lifecycle.spawn_detached(or_hard_stop(connection, lifecycle.hard().clone()));
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

fn http1(config: &IngestConfig) -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_read_timeout_ms))
        .max_headers(HEADERS_MAX)
        .max_buf_size(config.header_bytes_max.max(8_192))
        .keep_alive(true);
    http
}

async fn serve_connection(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    http: hyper::server::conn::http1::Builder,
    router: Router,
    soft: CancellationToken,
) {
    let _place = place;
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request.map(Body::new)));
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // The client's doing: it hung up, was too slow, or does not speak HTTP.
        debug!(%error, "connection ended");
    }
}

async fn or_hard_stop(work: impl Future<Output = ()>, hard: CancellationToken) {
    tokio::select! {
        () = work => {}
        () = hard.cancelled() => {}
    }
}
