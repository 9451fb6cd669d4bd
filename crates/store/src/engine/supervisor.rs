//! Keeps an engine process alive: starts it, watches it, restarts it, ends it.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::reply::PROCESS_HEADER;

/// How often a starting engine is asked whether it is ready.
const READY_LOOK: Duration = Duration::from_millis(50);
/// How often a ready engine is asked whether it still answers.
const ALIVE_LOOK: Duration = Duration::from_secs(5);
/// How long one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Unanswered questions in a row after which the process counts as stuck.
const UNANSWERED_MAX: u32 = 6;
/// Answered questions in a row after which a restart begins at the shortest pause again.
const SETTLED_AFTER: u32 = 12;
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(250);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What to start and how long to wait for it.
#[derive(Debug, Clone)]
pub struct SupervisorConfig {
    /// The program, usually `std::env::current_exe()`.
    pub program: PathBuf,
    /// Its arguments. It must call [`run`](super::run) with [`parent_gone`](super::parent_gone) as (part
    /// of) its shutdown.
    pub arguments: Vec<OsString>,
    /// Where the engine serves.
    pub listen: SocketAddr,
    /// How long a start may take, including recovery after a crash.
    pub ready_max: Duration,
    /// How long the engine may take to end before it is killed. Longer than its `drain_max` twice over.
    pub stop_max: Duration,
}

impl SupervisorConfig {
    /// The defaults: 60 s to become ready, 45 s to stop.
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<OsString>, listen: SocketAddr) -> Self {
        Self {
            program: program.into(),
            arguments,
            listen,
            ready_max: Duration::from_mins(1),
            stop_max: Duration::from_secs(45),
        }
    }
}

/// The engine's state, as the supervisor sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// It answers queries.
    pub ready: bool,
    /// How often it had to be started again.
    pub restarts: u32,
    /// Why it is not ready, once something went wrong.
    pub trouble: Option<String>,
}

/// Why the engine is not there.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It did not become ready in time.
    #[error("the embedded engine did not become ready in {} s{}", waited.as_secs(), trouble_suffix(trouble.as_deref()))]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// What went wrong last.
        trouble: Option<String>,
    },
}

fn trouble_suffix(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| format!(": {trouble}"))
}

/// Supervises one engine process. Make it with [`Supervisor::new`], keep [`Supervisor::health`], and drive
/// it with [`Supervisor::run`] on a task of its own.
#[derive(Debug)]
pub struct Supervisor {
    config: SupervisorConfig,
    health: watch::Sender<Health>,
}

/// How one life of the process ended.
enum Life {
    /// Told to stop.
    Stopped,
    /// Died, or had to be killed.
    Died { reason: String, settled: bool },
}

impl Supervisor {
    /// A supervisor that has not started anything yet.
    pub fn new(config: SupervisorConfig) -> Self {
        Self { config, health: watch::Sender::new(Health::default()) }
    }

    /// The state, now and as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Keeps the engine running until `shutdown` resolves; returns when the process has ended.
    /// Dropped instead, it kills the process.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut pause = RESTART_PAUSE_MIN;
        loop {
            let (reason, settled) = match self.live(shutdown.as_mut()).await {
                Life::Stopped => {
                    self.health.send_modify(|health| health.ready = false);
                    return;
                }
                Life::Died { reason, settled } => (reason, settled),
            };
            if settled {
                pause = RESTART_PAUSE_MIN;
            }
            observe_death(&reason, pause);
            self.health.send_modify(|health| {
                health.ready = false;
                health.restarts += 1;
                health.trouble = Some(reason);
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut shutdown => return,
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
        }
    }

    /// One life of the process, from its start to its end.
    async fn live(&self, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> Life {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Life::Died { reason: format!("cannot be started: {error}"), settled: false };
            }
        };
        // Waiting for the process would close its standard input, and so end it.
        let lifeline = child.stdin.take();
        let child_id = child.id().unwrap_or_default();
        let settled = AtomicBool::new(false);
        let stuck = tokio::select! {
            () = &mut shutdown => {
                drop(lifeline);
                return self.stop(child).await;
            }
            ended = child.wait() => return died(ended, settled.into_inner()),
            stuck = self.watch(child_id, &settled) => stuck,
        };
        // Stuck: it had its chance.
        if let Err(error) = child.kill().await {
            tracing::warn!(%error, "cannot kill the engine process");
        }
        Life::Died { reason: stuck, settled: settled.into_inner() }
    }

    /// Its standard input is a pipe we hold: when we go, however we go, it ends, and so does the engine.
    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.config.program)
            .args(&self.config.arguments)
            // The engine takes its own time zone from here.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            // Ctrl-C at the terminal is for us: the engine goes last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Waits until the engine is ready, then until it no longer answers; says what is wrong.
    async fn watch(&self, child_id: u32, settled: &AtomicBool) -> String {
        let becomes_ready = async {
            while !(self.answers_ping(child_id).await && self.answers_query().await) {
                tokio::time::sleep(READY_LOOK).await;
            }
        };
        if tokio::time::timeout(self.config.ready_max, becomes_ready).await.is_err() {
            return format!("did not answer a query within {} s", self.config.ready_max.as_secs());
        }
        self.health.send_modify(|health| {
            health.ready = true;
            health.trouble = None;
        });
        let (mut answered, mut unanswered) = (0_u32, 0_u32);
        while unanswered < UNANSWERED_MAX {
            tokio::time::sleep(ALIVE_LOOK).await;
            if self.answers_ping(child_id).await {
                (answered, unanswered) = (answered.saturating_add(1), 0);
            } else {
                (answered, unanswered) = (0, unanswered + 1);
            }
            settled.fetch_or(answered >= SETTLED_AFTER, Ordering::Relaxed);
            self.health.send_if_modified(|health| {
                let ready = unanswered == 0;
                std::mem::replace(&mut health.ready, ready) != ready
            });
        }
        "does not answer any more".to_owned()
    }

    /// Whether our process answers, and not another server on the same address.
    async fn answers_ping(&self, child_id: u32) -> bool {
        let line = format!("{PROCESS_HEADER}: {child_id}\r\n");
        ask(self.config.listen, "/ping").await.is_some_and(|answer| answer.contains(&line))
    }

    /// A refusal is an answer too: with a password, or when busy, the engine is there.
    async fn answers_query(&self) -> bool {
        ask(self.config.listen, "/?query=SELECT%201").await.is_some()
    }

    /// Waits for the process, whose lifeline is cut, and kills it when it takes too long.
    async fn stop(&self, mut child: Child) -> Life {
        match tokio::time::timeout(self.config.stop_max, child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(ended) => tracing::warn!(?ended, "the engine process ended badly"),
            Err(_) => {
                tracing::warn!("the engine process did not stop in time and is killed");
                // Already gone is as good.
                let _ = child.kill().await;
            }
        }
        Life::Stopped
    }
}

/// Waits until the engine is ready, or gives up after `wait_max` with what is known.
pub async fn wait_ready(
    mut health: watch::Receiver<Health>,
    wait_max: Duration,
) -> Result<(), SupervisorError> {
    let is_ready = health.wait_for(|health| health.ready);
    let ready = tokio::time::timeout(wait_max, is_ready).await.is_ok_and(|ready| ready.is_ok());
    if ready {
        return Ok(());
    }
    let trouble = health.borrow().trouble.clone();
    Err(SupervisorError::NotReady { waited: wait_max, trouble })
}

fn died(ended: std::io::Result<ExitStatus>, settled: bool) -> Life {
    let reason = match ended {
        Ok(status) => format!("ended with {status}"),
        Err(error) => format!("cannot be waited for: {error}"),
    };
    Life::Died { reason, settled }
}

/// The engine process died and will be started again after `pause`.
fn observe_death(reason: &str, pause: Duration) {
    tracing::error!(reason, pause_ms = pause.as_millis(), "the engine process died and will be restarted");
}

/// One HTTP GET on a connection of its own; the whole answer as text, or nothing.
async fn ask(address: SocketAddr, target: &str) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer).await.ok()?;
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(ANSWER_MAX, exchange).await.ok().flatten()
}
