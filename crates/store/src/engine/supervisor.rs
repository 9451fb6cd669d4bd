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
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use super::error::PERMANENT_EXIT_CODE;
use super::reply::PROCESS_HEADER;

/// How often a starting engine is asked whether it is ready.
const READY_LOOK: Duration = Duration::from_millis(50);
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
    /// of) its shutdown, say on standard output why it failed, and exit with [`EngineError::exit_code`](super::EngineError::exit_code).
    pub arguments: Vec<OsString>,
    /// Where the engine serves.
    pub listen: SocketAddr,
    /// How long a start may take, including recovery after a crash.
    pub ready_max: Duration,
    /// How often a ready engine is asked whether it still answers.
    pub look_every: Duration,
    /// How long one answer may take.
    pub answer_max: Duration,
    /// How long the engine may take to end before it is killed. Longer than its `drain_max` twice over.
    pub stop_max: Duration,
}

impl SupervisorConfig {
    /// The defaults: 60 s to become ready, a look every 5 s that may take 3 s, 45 s to stop.
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<OsString>, listen: SocketAddr) -> Self {
        Self {
            program: program.into(),
            arguments,
            listen,
            ready_max: Duration::from_mins(1),
            look_every: Duration::from_secs(5),
            answer_max: Duration::from_secs(3),
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
    /// Why it is not ready; nothing while it starts for the first time.
    pub trouble: Option<String>,
    /// It would never become ready and is not started again.
    pub given_up: bool,
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
    Died(Death),
}

struct Death {
    reason: String,
    /// It had been answering for a while.
    settled: bool,
    /// It would end the same way if it were started again.
    permanent: bool,
}

/// How much of what a process says is kept: its last words are its error.
const LAST_WORDS_BYTES: usize = 4 << 10;

impl Supervisor {
    /// A supervisor that has not started anything yet.
    pub fn new(config: SupervisorConfig) -> Self {
        Self { config, health: watch::Sender::new(Health::default()) }
    }

    /// The state, now and as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Keeps the engine running until `shutdown` resolves; returns when the process has ended. Returns at once when
    /// the engine has never been ready and says that it never will be.
    /// Dropped instead, it kills the process.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut pause = RESTART_PAUSE_MIN;
        let mut was_ready = false;
        loop {
            let death = match self.live(shutdown.as_mut()).await {
                Life::Stopped => return,
                Life::Died(death) => death,
            };
            was_ready |= self.health.borrow().ready;
            let given_up = death.permanent && !was_ready;
            if death.settled {
                pause = RESTART_PAUSE_MIN;
            }
            self.health.send_modify(|health| {
                health.ready = false;
                health.restarts += u32::from(!given_up);
                health.trouble = Some(death.reason.clone());
                health.given_up = given_up;
            });
            if given_up {
                return;
            }
            observe_death(&death.reason, pause);
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
                let reason = format!("cannot be started: {error}");
                return Life::Died(Death { reason, settled: false, permanent: false });
            }
        };
        // Waiting for the process would close its standard input, and so end it.
        let lifeline = child.stdin.take();
        let (child_id, said) = (child.id().unwrap_or_default(), child.stdout.take());
        let settled = AtomicBool::new(false);
        let ends = async { tokio::join!(child.wait(), last_words(said)) };
        let stuck = tokio::select! {
            () = &mut shutdown => {
                self.health.send_modify(|health| {
                    health.ready = false;
                    health.trouble = Some("stopping".to_owned());
                });
                drop(lifeline);
                return self.stop(child).await;
            }
            (ended, last_words) = ends => return Life::Died(death(ended, &last_words, settled.into_inner())),
            stuck = self.watch(child_id, &settled) => stuck,
        };
        // Stuck: it had its chance.
        if let Err(error) = child.kill().await {
            tracing::warn!(%error, "cannot kill the engine process");
        }
        Life::Died(Death { reason: stuck, settled: settled.into_inner(), permanent: false })
    }

    /// Its standard input is a pipe we hold: when we go, however we go, it ends, and so does the engine.
    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.config.program)
            .args(&self.config.arguments)
            // The engine takes its own time zone from here.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal is for us: the engine goes last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Waits until the engine is ready, then until it no longer answers; says what is wrong.
    async fn watch(&self, child_id: u32, settled: &AtomicBool) -> String {
        let becomes_ready = async {
            while !self.answers(child_id).await {
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
            tokio::time::sleep(self.config.look_every).await;
            if self.answers(child_id).await {
                (answered, unanswered) = (answered.saturating_add(1), 0);
            } else {
                (answered, unanswered) = (0, unanswered + 1);
            }
            settled.fetch_or(answered >= SETTLED_AFTER, Ordering::Relaxed);
            self.health.send_if_modified(|health| {
                let ready = unanswered == 0;
                health.trouble = (!ready).then(|| "does not answer".to_owned());
                std::mem::replace(&mut health.ready, ready) != ready
            });
        }
        "does not answer any more".to_owned()
    }

    /// Whether our process answers, and not another server on the same address; and not only its front: the engine
    /// itself is asked something before `/ping` is answered.
    async fn answers(&self, child_id: u32) -> bool {
        let line = format!("{PROCESS_HEADER}: {child_id}\r\n");
        let answer = tokio::time::timeout(self.config.answer_max, ask(self.config.listen, "/ping")).await;
        answer.ok().flatten().is_some_and(|answer| answer.contains(" 200 OK\r\n") && answer.contains(&line))
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

fn death(ended: std::io::Result<ExitStatus>, last_words: &str, settled: bool) -> Death {
    let permanent = ended.as_ref().is_ok_and(|ended| ended.code() == Some(PERMANENT_EXIT_CODE.into()));
    let reason = match ended {
        Ok(status) if last_words.is_empty() => format!("ended with {status}"),
        Ok(status) => format!("{last_words} ({status})"),
        Err(error) => format!("cannot be waited for: {error}"),
    };
    Death { reason, settled, permanent }
}

/// Reads what the process says to its end, and keeps the last line.
async fn last_words(said: Option<ChildStdout>) -> String {
    let Some(mut said) = said else { return String::new() };
    let (mut kept, mut piece) = (Vec::new(), [0; LAST_WORDS_BYTES]);
    while let Ok(length @ 1..) = said.read(&mut piece).await {
        kept.extend_from_slice(&piece[..length]);
        let superfluous = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..superfluous);
    }
    String::from_utf8_lossy(&kept)
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// The engine process died and will be started again after `pause`.
fn observe_death(reason: &str, pause: Duration) {
    tracing::error!(reason, pause_ms = pause.as_millis(), "the engine process died and will be restarted");
}

/// One HTTP GET on a connection of its own; the whole answer as text, or nothing.
async fn ask(address: SocketAddr, target: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await.ok()?;
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}
