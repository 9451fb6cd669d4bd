//! Soft and hard shutdown, and the tasks that must end before the process may.
//!
//! The first SIGTERM or SIGINT cancels the *soft* token: services stop taking new work and finish what they hold.
//! A second one, or the drain deadline, cancels the *hard* token: everything drops what it does. A task that ends
//! by itself before that, or with an error, stops the whole process with a failing exit code: half a Tillwatch that
//! looks alive is worse than one that is restarted.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Shared by everything that runs in this process.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    last: CancellationToken,
    last_tasks: TaskTracker,
    failed: Arc<AtomicBool>,
}

/// After the tasks have ended, what they depended on (the embedded engine) may take this long to end too.
const LAST_TIMEOUT: Duration = Duration::from_mins(1);

impl Lifecycle {
    /// A process that has just started.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self { soft: hard.child_token(), hard, ..Self::default() }
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
        let lifecycle = self.clone();
        let guarded = async move {
            let outcome = tokio::select! {
                outcome = task => outcome,
                () = lifecycle.hard.cancelled() => {
                    warn!(task = name, "task dropped: it did not drain in time");
                    lifecycle.fail();
                    return;
                }
            };
            match outcome {
                Ok(()) if lifecycle.soft.is_cancelled() => info!(task = name, "task drained"),
                Ok(()) => {
                    error!(task = name, "task ended although nobody asked it to");
                    lifecycle.fail();
                }
                Err(cause) => {
                    error!(task = name, error = format!("{cause:#}"), "task failed");
                    lifecycle.fail();
                }
            }
        };
        self.spawn_detached(guarded);
    }

    /// Runs a piece of work that shutdown waits for and that may end whenever it is done (one connection, one send).
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns: on the tracker")]
    pub fn spawn_detached(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tasks.track_future(work));
    }

    /// Runs something the tasks depend on: its token is cancelled only when every task has ended, and the process
    /// waits for it.
    #[expect(clippy::disallowed_methods, reason = "on a tracker that the end of the process waits for")]
    pub fn spawn_last<F>(&self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.last_tasks.track_future(work(self.last.clone())));
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

    /// Waits for a signal or a failed task, drains, and tells how the process should exit.
    pub async fn run(&self, drain_timeout: Duration) -> std::io::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: draining"),
            _ = interrupt.recv() => info!("SIGINT: draining"),
            () = self.soft.cancelled() => {}
        }
        self.soft.cancel();
        self.tasks.close();
        let drained = tokio::select! {
            () = self.tasks.wait() => true,
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
            () = tokio::time::sleep(drain_timeout) => false,
        };
        if !drained {
            warn!("not drained: second signal or deadline; dropping what is in hand");
            self.failed.store(true, Ordering::SeqCst);
            self.hard.cancel();
            self.tasks.wait().await;
        }
        self.last.cancel();
        self.last_tasks.close();
        if tokio::time::timeout(LAST_TIMEOUT, self.last_tasks.wait()).await.is_err() {
            warn!("not everything ended in time");
            self.failed.store(true, Ordering::SeqCst);
        }
        Ok(if self.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_drains_ends_the_process_well() {
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft().clone();
        lifecycle.spawn("service", async move {
            soft.cancelled().await;
            Ok(())
        });
        lifecycle.shut_down();
        assert_eq!(lifecycle.run(Duration::from_secs(5)).await.unwrap(), ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_the_process_badly() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("service", async { Ok(()) });
        assert_eq!(lifecycle.run(Duration::from_secs(5)).await.unwrap(), ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn what_tasks_depend_on_ends_after_them() {
        let lifecycle = Lifecycle::new();
        let (soft, drained) = (lifecycle.soft().clone(), Arc::new(AtomicBool::new(false)));
        let (in_task, in_last) = (Arc::clone(&drained), Arc::clone(&drained));
        lifecycle.spawn("service", async move {
            soft.cancelled().await;
            in_task.store(true, Ordering::SeqCst);
            Ok(())
        });
        let (ended, was_drained) = tokio::sync::oneshot::channel();
        lifecycle.spawn_last(|stop| async move {
            stop.cancelled().await;
            ended.send(in_last.load(Ordering::SeqCst)).unwrap();
        });
        lifecycle.shut_down();
        assert_eq!(lifecycle.run(Duration::from_secs(5)).await.unwrap(), ExitCode::SUCCESS);
        assert!(was_drained.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_drain_is_dropped_at_the_deadline() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("stuck", std::future::pending());
        lifecycle.shut_down();
        assert_eq!(lifecycle.run(Duration::from_secs(5)).await.unwrap(), ExitCode::FAILURE);
    }
}
