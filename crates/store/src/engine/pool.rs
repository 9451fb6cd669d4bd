//! A few connections, each on a thread of its own, and a bounded queue in front of them.

use std::ffi::CString;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::exception::{Exception, code};
use super::ffi::Library;
use super::session::Session;

/// Work for one connection. It says itself how it ended.
pub(super) type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// The way to the connections. When the last clone is dropped, the [`Workers`] end.
#[derive(Clone)]
pub(super) struct Pool {
    queue: SyncSender<Job>,
    wait_max: Duration,
}

/// The threads behind a [`Pool`].
pub(super) struct Workers(Vec<JoinHandle<()>>);

/// Opens `connections` connections, the first of which boots the engine. `None`: it could not.
pub(super) fn start(
    library: &Arc<Library>,
    arguments: Vec<CString>,
    connections: usize,
    waiting_max: usize,
    wait_max: Duration,
) -> std::io::Result<Option<(Pool, Workers)>> {
    let arguments: Arc<[CString]> = arguments.into();
    let (queue, jobs) = sync_channel::<Job>(waiting_max);
    let jobs = Arc::new(Mutex::new(jobs));
    let mut threads = Vec::new();
    let mut all_open = true;
    for number in 0..connections.max(1) {
        let (opened, is_open) = sync_channel(1);
        let (library, arguments, jobs) = (Arc::clone(library), Arc::clone(&arguments), Arc::clone(&jobs));
        threads.push(std::thread::Builder::new().name(format!("engine-{number}")).spawn(move || {
            let session = Session::open(&library, &arguments);
            // The starter waits for exactly this message.
            let _ = opened.send(session.is_some());
            if let Some(session) = session {
                work(session, &jobs);
            }
        })?);
        all_open = is_open.recv().unwrap_or(false);
        if !all_open {
            break;
        }
    }
    let (pool, workers) = (Pool { queue, wait_max }, Workers(threads));
    if all_open {
        return Ok(Some((pool, workers)));
    }
    drop(pool);
    workers.join();
    Ok(None)
}

/// One thread's life: take a job, do it, leave a clean connection for the next.
fn work(mut session: Session, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Idle threads queue up on the mutex; it is held only while waiting.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job(&mut session);
        if let Err(error) = session.renew() {
            tracing::warn!(error = error.text, "engine connection could not be replaced");
        }
    }
}

impl Pool {
    /// Queues `job` and returns once a connection has taken it up. Fails when the queue is full, or
    /// when no connection became free in time; the job then never runs.
    pub(super) async fn run(&self, job: impl FnOnce(&mut Session) + Send + 'static) -> Result<(), Exception> {
        let (started, is_started) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |session| {
            // Nobody waits any more: the client went away or was told to come back.
            if started.send(()).is_ok() {
                job(session);
            }
        });
        self.queue.try_send(job).map_err(|_| busy("too many queries are waiting"))?;
        match tokio::time::timeout(self.wait_max, is_started).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(busy("the engine is shutting down")),
            Err(_) => Err(busy("no connection became free in time")),
        }
    }
}

impl Workers {
    /// Waits for every thread to finish its job and close its connection.
    pub(super) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("an engine thread has panicked");
            }
        }
    }
}

fn busy(reason: &str) -> Exception {
    let message = format!("Too many simultaneous queries: {reason}");
    Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES", message)
}
