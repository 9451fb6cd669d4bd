//! Connections: how many, how large a request head, how long it may take, and draining.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::Lifecycle;
use runtime::config::IngestConfig;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::{debug, warn};

/// Pause after an accept that failed (out of file descriptors): the cause does not go away at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Accepts connections until the soft token is cancelled; each connection then finishes the request it is at, which is waited
/// for until the hard one. Before, while
/// this process is `leaving`, each connection ends after its next answer, and its client comes back elsewhere.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: &IngestConfig,
    leaving: &Arc<AtomicBool>,
    lifecycle: &Lifecycle,
) {
    let places = Arc::new(Semaphore::new(config.connections_max));
    let connections = Connections {
        http: http1(config),
        router,
        leaving: Arc::clone(leaving),
        hard: lifecycle.hard().clone(),
        answer_timeout: Duration::from_millis(config.body_read_timeout_ms),
    };
    let mut draining = Draining::default();
    loop {
        // The place is taken before accepting, so that connections over the limit wait in the kernel, not in memory.
        let place = tokio::select! {
            () = lifecycle.soft().cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = lifecycle.soft().cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connections.clone().serve(stream, place, draining.announced());
                lifecycle.spawn_detached(connection);
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(draining);
    // Each gives its place back when it has answered: what is counted after this is counted last.
    let all = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
    tokio::select! {
        () = lifecycle.hard().cancelled() => {}
        _ = places.acquire_many(all) => {}
    }
}

/// More than 100 headers are refused with 431: hyper's own limit.
fn http1(config: &IngestConfig) -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_read_timeout_ms))
        .max_buf_size(config.header_bytes_max.max(8_192))
        .keep_alive(true);
    http
}

/// What every connection needs.
#[derive(Clone)]
struct Connections {
    http: hyper::server::conn::http1::Builder,
    router: Router,
    leaving: Arc<AtomicBool>,
    hard: CancellationToken,
    answer_timeout: Duration,
}

impl Connections {
    async fn serve(self, stream: TcpStream, place: OwnedSemaphorePermit, draining: oneshot::Receiver<()>) {
        let _place = place;
        if let Err(error) = prepare(&stream, self.answer_timeout) {
            debug!(%error, "socket options");
        }
        let (router, leaving) = (self.router, self.leaving);
        let service = service_fn(move |request: Request<Incoming>| {
            let answered = router.clone().call(request.map(Body::new));
            let leaving = Arc::clone(&leaving);
            async move {
                let mut answer = answered.await?;
                if leaving.load(Ordering::Relaxed) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = std::pin::pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            _ = draining => {
                connection.as_mut().graceful_shutdown();
                // The hard token never comes before the soft one, so only now is it worth watching.
                tokio::select! {
                    outcome = connection => outcome,
                    () = self.hard.cancelled() => return,
                }
            }
        };
        if let Err(error) = outcome {
            // The client's doing: it hung up, was too slow, or does not speak HTTP.
            debug!(%error, "connection ended");
        }
    }
}

/// Tells every connection that the server drains, by being dropped. A cancellation token would do the same, but all
/// connections that poll one contend for its lock, at every request.
#[derive(Debug, Default)]
struct Draining {
    connections: Vec<oneshot::Sender<()>>,
    /// How many connections there may be before the ended ones are forgotten.
    tidy_at: usize,
}

impl Draining {
    /// Resolves when the server drains.
    fn announced(&mut self) -> oneshot::Receiver<()> {
        if self.connections.len() >= self.tidy_at {
            self.connections.retain(|connection| !connection.is_closed());
            self.tidy_at = (2 * self.connections.len()).max(64);
        }
        let (draining, announced) = oneshot::channel();
        self.connections.push(draining);
        announced
    }
}

/// A client that does not take its answers within the timeout is cut off by the kernel: it would keep its place
/// among the connections for ever. (Linux only; tcp(7), `TCP_USER_TIMEOUT`.)
fn prepare(stream: &TcpStream, answer_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let timeout_ms = u32::try_from(answer_timeout.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(stream, timeout_ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    #[test]
    fn every_open_connection_learns_of_the_draining_and_ended_ones_are_forgotten() {
        let mut draining = Draining::default();
        let mut open: Vec<_> = (0..100).map(|_| draining.announced()).collect();
        for _ in 0..100_000 {
            drop(draining.announced());
            assert!(draining.connections.len() <= 200, "ended connections are forgotten");
        }
        assert!(open.iter_mut().all(|connection| connection.try_recv() == Err(TryRecvError::Empty)));
        drop(draining);
        assert!(open.iter_mut().all(|connection| connection.try_recv() == Err(TryRecvError::Closed)));
    }
}
