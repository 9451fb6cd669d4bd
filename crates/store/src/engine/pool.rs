//! A few connections, each on a thread of its own, in lanes with a bounded queue each: whatever readers ask, rows can be
//! stored and the engine can be looked at.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::config::EngineConfig;
use super::exception::{Exception, code};
use super::ffi::Library;
use super::session::Session;

/// Work for one connection. It says itself how it ended.
type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Which connections a job may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Lane {
    /// Those for whatever is asked.
    #[default]
    Reads,
    /// One that inserts do not share with readers.
    Writes,
}

/// The way to the connections. When the last clone is dropped, the [`Workers`] end.
#[derive(Clone)]
pub(super) struct Pool {
    reads: Queue<Session>,
    writes: Queue<Session>,
    /// One connection that only tells whether the engine answers.
    looks: Queue<Session>,
    /// No connection has been lost.
    whole: Arc<AtomicBool>,
}

/// The threads behind a [`Pool`].
#[derive(Default)]
pub(super) struct Workers(Vec<JoinHandle<()>>);

/// The jobs of one lane.
struct Queue<S> {
    jobs: SyncSender<Job<S>>,
    wait_max: Duration,
}

impl<S> Clone for Queue<S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), wait_max: self.wait_max }
    }
}

/// What it takes to open connections.
struct Opener {
    library: Arc<Library>,
    arguments: Arc<[CString]>,
    waiting_max: usize,
    wait_max: Duration,
    whole: Arc<AtomicBool>,
    workers: Workers,
}

/// Opens the connections, the first of which boots the engine. `None`: it could not.
pub(super) fn start(
    library: &Arc<Library>,
    arguments: Vec<CString>,
    config: &EngineConfig,
) -> std::io::Result<Option<(Pool, Workers)>> {
    let whole = Arc::new(AtomicBool::new(true));
    let mut opener = Opener {
        library: Arc::clone(library),
        arguments: arguments.into(),
        waiting_max: config.waiting_max,
        wait_max: config.queue_wait_max,
        whole: Arc::clone(&whole),
        workers: Workers::default(),
    };
    let reads = opener.lane("engine-reads", config.connections.max(1))?;
    let writes = opener.lane("engine-writes", 1)?;
    let looks = opener.lane("engine-looks", 1)?;
    if let (Some(reads), Some(writes), Some(looks)) = (reads, writes, looks) {
        return Ok(Some((Pool { reads, writes, looks, whole }, opener.workers)));
    }
    opener.workers.join();
    Ok(None)
}

impl Opener {
    /// Opens one lane, unless the engine could not open before.
    fn lane(&mut self, name: &str, connections: usize) -> std::io::Result<Option<Queue<Session>>> {
        let (queue, jobs) = sync_channel::<Job<Session>>(self.waiting_max);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..connections {
            let (opened, is_open) = sync_channel(1);
            let (library, arguments) = (Arc::clone(&self.library), Arc::clone(&self.arguments));
            let (jobs, whole) = (Arc::clone(&jobs), Arc::clone(&self.whole));
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                let session = Session::open(&library, &arguments);
                // The starter waits for exactly this message.
                let _ = opened.send(session.is_some());
                if let Some(session) = session
                    && let Err(error) = work(session, &jobs, Session::renew)
                {
                    tracing::error!(error = error.text, "an engine connection is lost");
                    whole.store(false, Ordering::Relaxed);
                }
            })?;
            self.workers.0.push(thread);
            if !is_open.recv().unwrap_or(false) {
                return Ok(None);
            }
        }
        Ok(Some(Queue { jobs: queue, wait_max: self.wait_max }))
    }
}

/// One thread's life: take a job, do it, leave a clean connection for the next. Where that fails it ends: no request may
/// meet what another one left behind.
fn work<S>(
    mut session: S,
    jobs: &Mutex<Receiver<Job<S>>>,
    renew: impl Fn(&mut S) -> Result<(), Exception>,
) -> Result<(), Exception> {
    loop {
        // Idle threads queue up on the mutex; it is held only while waiting.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return Ok(()) };
        job(&mut session);
        renew(&mut session)?;
    }
}

impl Pool {
    /// Queues `job` and returns once a connection has taken it up. Fails when the queue is full, or
    /// when no connection became free in time; the job then never runs.
    pub(super) async fn run(
        &self,
        lane: Lane,
        job: impl FnOnce(&mut Session) + Send + 'static,
    ) -> Result<(), Exception> {
        match lane {
            Lane::Reads => self.reads.run(job).await,
            Lane::Writes => self.writes.run(job).await,
        }
    }

    /// Whether every connection is there and the engine answers the simplest of questions in time.
    pub(super) async fn answers(&self, within: Duration) -> bool {
        let question = |session: &mut Session| {
            let answered = session.connection().query(b"SELECT 1", "TSV", &[]).is_ok();
            if !answered {
                session.use_up();
            }
            answered
        };
        self.whole.load(Ordering::Relaxed) && self.looks.answers(question, within).await
    }
}

impl<S: 'static> Queue<S> {
    async fn run(&self, job: impl FnOnce(&mut S) + Send + 'static) -> Result<(), Exception> {
        let (started, is_started) = oneshot::channel();
        let job: Job<S> = Box::new(move |session| {
            // Nobody waits any more: the client went away or was told to come back.
            if started.send(()).is_ok() {
                job(session);
            }
        });
        self.jobs.try_send(job).map_err(|_| busy("too many queries are waiting"))?;
        match tokio::time::timeout(self.wait_max, is_started).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(busy("the engine is shutting down")),
            Err(_) => Err(busy("no connection became free in time")),
        }
    }

    /// Whether `question` is answered with yes, and in time.
    async fn answers(
        &self,
        question: impl FnOnce(&mut S) -> bool + Send + 'static,
        within: Duration,
    ) -> bool {
        let (reply, answer) = oneshot::channel();
        let ask = self.run(move |session| {
            // Whoever asked may have given up.
            let _ = reply.send(question(session));
        });
        let answered = async { ask.await.is_ok() && answer.await == Ok(true) };
        tokio::time::timeout(within, answered).await == Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_cannot_be_renewed_serves_nobody_else() {
        let (queue, jobs) = sync_channel::<Job<u32>>(2);
        let (served, who) = sync_channel(2);
        for number in [1, 2] {
            let served = served.clone();
            queue.send(Box::new(move |_| served.send(number).unwrap())).unwrap();
        }
        let jobs = Mutex::new(jobs);
        let ended = work(0, &jobs, |_| Err(busy("no further connection")));
        assert!(ended.unwrap_err().text.contains("no further connection"));
        assert_eq!(who.try_iter().collect::<Vec<_>>(), [1]);
    }

    #[tokio::test]
    async fn only_an_answer_in_time_says_that_the_engine_lives() {
        let (jobs, waiting) = sync_channel::<Job<u32>>(4);
        let queue = Queue { jobs, wait_max: Duration::from_mins(1) };
        let (hang, hanging) = sync_channel::<()>(0);
        let worker = std::thread::spawn(move || work(1, &Mutex::new(waiting), |_| Ok(())));
        let within = Duration::from_mins(1);
        assert!(queue.answers(|session| *session == 1, within).await);
        assert!(!queue.answers(|_| false, within).await, "an error");
        let stuck = queue.answers(move |_| hanging.recv().is_err(), Duration::from_millis(10));
        assert!(!stuck.await, "a query that never ends");
        assert!(!queue.answers(|_| true, Duration::from_millis(10)).await, "nor those behind it");
        drop((hang, queue));
        worker.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_job_for_a_stuck_connection_is_given_up_and_never_runs() {
        let (jobs, waiting) = sync_channel::<Job<u32>>(1);
        let queue = Queue { jobs, wait_max: Duration::from_millis(10) };
        let error = queue.run(|_| unreachable!("nobody waits for it")).await.unwrap_err();
        assert_eq!(error.code, code::TOO_MANY_SIMULTANEOUS_QUERIES);
        waiting.recv().unwrap()(&mut 0);
    }
}
