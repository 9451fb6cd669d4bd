//! Soft and hard shutdown, and the tasks that must end before the process may.
//!
//! The first SIGTERM or SIGINT cancels the *leaving* token: whoever is found through a load balancer says that it goes, and
//! works on. After the announcement's time the *soft* token is cancelled: services stop taking new work and finish what
//! they hold.
//! A second one, or the drain deadline, cancels the *hard* token: everything drops what it does. A task that ends
//! by itself before that, with an error or by a panic, stops the whole process with a failing exit code: half a
//! Tillwatch that looks alive is worse than one that is restarted.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Shared by everything that runs in this process.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    leaving: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    last: CancellationToken,
    last_tasks: TaskTracker,
    failed: Arc<AtomicBool>,
}

/// After the hard token was cancelled, tasks and then what they depended on may take this long each.
const HARD_GRACE: Duration = Duration::from_millis(500);

impl Lifecycle {
    /// A process that has just started.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        let soft = hard.child_token();
        Self { leaving: soft.child_token(), soft, hard, ..Self::default() }
    }

    /// Cancelled when others should hear that this process goes; never later than the soft token.
    pub fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Cancelled when new work must no longer be taken.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when work in hand must be dropped.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs a service's main task. It must run until the soft token is cancelled; ending earlier is a failure.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let hard = self.hard.clone();
        let dropped = async move {
            hard.cancelled().await;
            Err(anyhow::anyhow!("dropped: it did not drain in time"))
        };
        let task = async move {
            tokio::select! {
                outcome = task => outcome,
                outcome = dropped => outcome,
            }
        };
        self.spawn_detached(self.guarded(name, self.soft.clone(), task));
    }

    /// Runs a piece of work that shutdown waits for and that may end whenever it is done (one connection, one send).
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns: on the tracker")]
    pub fn spawn_detached(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tasks.track_future(work));
    }

    /// Runs something the tasks depend on: its token is cancelled only when every task has ended, and the process
    /// waits for it. Ending earlier is a failure.
    #[expect(clippy::disallowed_methods, reason = "on a tracker that the end of the process waits for")]
    pub fn spawn_last<F>(&self, name: &'static str, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let guarded = self.guarded(name, self.last.clone(), work(self.last.clone()));
        tokio::spawn(self.last_tasks.track_future(guarded));
    }

    /// `task`, whose end is a failure of the process unless it is a good one and `stop` was cancelled.
    fn guarded(
        &self,
        name: &'static str,
        stop: CancellationToken,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let guard = Guard { name, lifecycle: self.clone(), ended: false };
        async move {
            let mut guard = guard;
            let outcome = task.await;
            guard.ended = true;
            match outcome {
                Ok(()) if stop.is_cancelled() => info!(task = name, "task drained"),
                Ok(()) => {
                    error!(task = name, "task ended although nobody asked it to");
                    guard.lifecycle.fail();
                }
                Err(cause) => {
                    error!(task = name, error = format!("{cause:#}"), "task failed");
                    guard.lifecycle.fail();
                }
            }
        }
    }

    /// Begins a soft shutdown, as the first SIGTERM does.
    pub fn shut_down(&self) {
        self.soft.cancel();
    }

    /// Begins a soft shutdown and makes the exit code a failure.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.soft.cancel();
    }

    /// Whether a task failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Waits for a signal or a failed task, drains, and tells how the process should exit. After a signal it announces
    /// that it goes for `announcement`. From the beginning of draining it takes at most `drain_timeout` and a second; a
    /// second signal at any time leaves it a second.
    pub async fn run(&self, announcement: Duration, drain_timeout: Duration) -> std::io::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        let mut deadline = drain_timeout;
        tokio::select! {
            name = signals.next() => {
                info!("{name}: draining");
                self.leaving.cancel();
                tokio::select! {
                    () = sleep(announcement) => {}
                    () = self.soft.cancelled() => {}
                    name = signals.next() => {
                        warn!("{name} again: dropping what is in hand");
                        deadline = Duration::ZERO;
                    }
                }
            }
            () = self.soft.cancelled() => {}
        }
        self.soft.cancel();
        let deadline = Instant::now() + deadline;
        self.end_of(&self.tasks, &mut signals, deadline).await;
        self.last.cancel();
        self.end_of(&self.last_tasks, &mut signals, deadline).await;
        Ok(if self.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Waits for `tasks`; a signal or the deadline cancels the hard token and leaves them [`HARD_GRACE`].
    async fn end_of(&self, tasks: &TaskTracker, signals: &mut Signals, deadline: Instant) {
        tasks.close();
        tokio::select! {
            biased;
            () = tasks.wait() => return,
            () = self.hard.cancelled() => {}
            name = signals.next() => warn!("{name} again: dropping what is in hand"),
            () = sleep_until(deadline) => warn!("not drained in time: dropping what is in hand"),
        }
        self.failed.store(true, Ordering::SeqCst);
        self.hard.cancel();
        if timeout(HARD_GRACE, tasks.wait()).await.is_err() {
            warn!(tasks = tasks.len(), "tasks did not end, and are left behind");
        }
    }
}

/// Makes the end of a task that did not come to its end (it panicked) a failure of the process.
struct Guard {
    name: &'static str,
    lifecycle: Lifecycle,
    ended: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            error!(task = self.name, "task panicked or was dropped");
            self.lifecycle.fail();
        }
    }
}

/// The signals that end a process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
