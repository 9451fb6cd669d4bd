//! Opens the database, serves it, and closes it properly.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use super::config::EngineConfig;
use super::error::EngineError;
use super::ffi::{Library, LoadError};
use super::http::{Front, handle};
use super::library::LIBRARY_VERSION;
use super::pool::{self, Lane, Pool, Workers};
use super::reply::Facts;
use super::{lock, settings};

/// How long a client may take to send a request's head.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after a failed `accept`, which is mostly about a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs the engine until `shutdown` resolves and all running queries have ended, then closes the
/// database. Serves on `listener` if given, else on `config.listen`.
///
/// A process can run one engine in its life: the library cannot be opened a second time.
///
/// # Abort
/// When queries still run after `config.drain_max`, the process is aborted: the engine can neither
/// interrupt them nor survive the process's ordinary exit while they run. The database is as safe as
/// after a power cut.
pub async fn run(
    mut config: EngineConfig,
    listener: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), EngineError> {
    let data_dir = config.data_dir.clone();
    let data_dir_error = |source| EngineError::DataDir { path: data_dir.clone(), source };
    let lock = lock::take(&config.data_dir, config.lock_wait_max).await.map_err(data_dir_error)?;
    let Some(_lock) = lock else { return Err(EngineError::InUse { path: data_dir }) };
    let listener = match listener {
        Some(listener) => listener,
        None => TcpListener::bind(config.listen)
            .await
            .map_err(|source| EngineError::Listen { address: config.listen, source })?,
    };
    config.listen = listener.local_addr().unwrap_or(config.listen);
    let opening = config.clone();
    let opened = tokio::task::spawn_blocking(move || open(&opening)).await;
    let (library, pool, workers) = opened.map_err(|e| data_dir_error(io::Error::other(e)))??;
    let facts = facts(&pool, library.version()).await;
    tracing::info!(version = facts.version, listen = %config.listen, "engine is open");
    let drain_max = config.drain_max;
    let front = Arc::new(Front { config, facts, pool });
    serve(front, listener, shutdown, drain_max).await;
    close(&library, workers, drain_max).await;
    Ok(())
}

/// Resolves when standard input ends. A supervisor keeps the other end of that pipe open as long as
/// it lives, however it dies; so this is how its child learns that it should go too.
/// Only for a process started with a pipe as standard input. Such a process should ignore SIGTERM: a service
/// manager sends it to parent and child alike, and the parent still needs the engine to finish.
pub async fn parent_gone() {
    let (gone, is_gone) = oneshot::channel();
    // A plain thread: reading standard input cannot be cancelled, and must not hold up the runtime.
    let reader = std::thread::Builder::new().name("parent-watch".to_owned()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    if let Err(error) = reader {
        tracing::warn!(%error, "cannot watch the parent process");
        std::future::pending::<()>().await;
    }
    // The sender is dropped only after sending.
    let _ = is_gone.await;
}

fn open(config: &EngineConfig) -> Result<(Arc<Library>, Pool, Workers), EngineError> {
    let data_dir_error = |source| EngineError::DataDir { path: config.data_dir.clone(), source };
    let arguments = settings::write(config).map_err(data_dir_error)?;
    let library = load(&config.library)?;
    let pool = pool::start(&library, arguments, config).map_err(data_dir_error)?;
    let (pool, workers) =
        pool.ok_or_else(|| EngineError::Open { path: settings::database_path(&config.data_dir) })?;
    Ok((library, pool, workers))
}

/// Loads the library. Its functions are called by the signatures of one version, so it must be of that version.
fn load(path: &Path) -> Result<Arc<Library>, EngineError> {
    let library = Library::load(path.as_os_str()).map_err(|LoadError::Load(source)| {
        EngineError::Library { path: path.to_owned(), source: Box::new(source) }
    })?;
    let found = library.version();
    if is_expected(&found) {
        return Ok(library);
    }
    Err(EngineError::Version { path: path.to_owned(), found })
}

/// The library tells its version without the package's `-stable.1`.
fn is_expected(version: &str) -> bool {
    LIBRARY_VERSION.split('-').next() == version.split('-').next()
}

/// Asks the engine for what the answers' headers tell.
async fn facts(pool: &Pool, library_version: String) -> Facts {
    let (reply, answer) = oneshot::channel();
    let asked = pool
        .run(Lane::Reads, move |session| {
            let sql = b"SELECT displayName(), timezone(), version()";
            let _ = reply.send(session.connection().query(sql, "TSV", &[]));
        })
        .await;
    let output = match asked {
        Ok(()) => answer.await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    let line = output.map(|o| String::from_utf8_lossy(&o.bytes).trim_end().to_owned()).unwrap_or_default();
    let mut fields = line.split('\t').map(str::to_owned);
    Facts {
        display_name: fields.next().unwrap_or_default(),
        timezone: fields.next().unwrap_or_else(|| "UTC".to_owned()),
        version: fields.next().unwrap_or(library_version),
    }
}

/// Accepts clients until `shutdown`, then lets each finish the request it is in.
async fn serve(
    front: Arc<Front>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    drain_max: Duration,
) {
    let places = Arc::new(Semaphore::new(front.config.clients_max));
    let (stop, stopping) = watch::channel(false);
    let mut clients = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = clients.join_next() => {}
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let client = client(Arc::clone(&front), stream, stopping.clone());
                    clients.spawn(async move {
                        client.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // No client may be listening any more.
    let _ = stop.send(true);
    let drained = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_max, drained).await.is_err() {
        tracing::warn!(clients = clients.len(), "clients did not finish in time and are cut off");
        clients.shutdown().await;
    }
}

/// Serves one connection.
async fn client(front: Arc<Front>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    // Answers are small and waited for. Fails only on a connection that is already dead.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| handle(Arc::clone(&front), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "client connection ended");
                }
                return;
            }
            _ = stopping.wait_for(|stop| *stop), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Closes every connection and stops the engine; aborts the process when that takes too long.
async fn close(library: &Library, workers: Workers, drain_max: Duration) {
    let joined = tokio::task::spawn_blocking(|| workers.join());
    if tokio::time::timeout(drain_max, joined).await.is_err() {
        tracing::error!("queries still run after the time to drain: aborting the engine's process");
        std::process::abort();
    }
    if !library.shutdown() {
        tracing::debug!("the engine's idle threads are left to the process's end");
    }
    tracing::info!("engine is closed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_was_built_against_is_expected() {
        assert!(is_expected("26.7.3") && is_expected(LIBRARY_VERSION));
        for other in ["26.7.2", "26.8.3", "", "26.7.30"] {
            assert!(!is_expected(other), "{other}");
        }
    }
}
