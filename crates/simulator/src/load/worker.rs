//! The generator: as many connections as configured, each sending what is due.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runtime::SharedClock;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::pace::Slots;
use super::pool::{Pool, Request};
use super::progress::Progress;
use super::recorder::{CpuTimes, Recorder, Window};
use super::report::LoadReport;
use super::{LoadConfig, LoadError};
use crate::http::{Answer, Connection, is_acknowledged, post};
use crate::ledger::{EndLine, LedgerError, LedgerWriter, Line, RequestLine, RunLine};

/// Everything the connections share; they run on one thread.
struct Generator {
    config: LoadConfig,
    clock: SharedClock,
    stop: CancellationToken,
    slots: Slots,
    /// When retries and waiting end.
    give_up: Instant,
    state: RefCell<State>,
}

struct State {
    pool: Pool,
    recorder: Recorder,
    ledger: Option<LedgerWriter>,
    /// The first error of the ledger ends the run.
    ledger_error: Option<LedgerError>,
    rng: ChaCha8Rng,
}

/// First and longest pause before a request is sent again.
const RETRY_PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

pub(super) async fn generate(
    config: LoadConfig,
    clock: SharedClock,
    stop: CancellationToken,
) -> Result<LoadReport, LoadError> {
    let started_at = clock.now();
    let mut ledger = config.ledger.as_deref().map(LedgerWriter::create).transpose()?;
    if let Some(ledger) = &mut ledger {
        let target = config.target.to_string();
        ledger.write(&Line::Run(RunLine::new("load", config.seed, started_at, target, &config.sources)))?;
    }
    let pool = Pool::new(config.seed, started_at, &config.target, &config.sources, ledger.is_some())?;
    let start = Instant::now();
    let window = Window { from: start + config.warm_up, to: start + config.warm_up + config.duration };
    let length = config.warm_up + config.duration;
    let slots = Slots::new(config.pace, start, length);
    let generator = Rc::new(Generator {
        give_up: window.to + config.drain,
        slots,
        clock,
        stop,
        state: RefCell::new(State {
            pool,
            recorder: Recorder::new(window),
            ledger,
            ledger_error: None,
            rng: ChaCha8Rng::seed_from_u64(config.seed),
        }),
        config,
    });
    LocalSet::new().run_until(drive(&generator, window)).await.map_err(LoadError::Start)?;
    finish(&generator, started_at)
}

/// Runs the connections, and beside them the measuring and the progress bar.
async fn drive(generator: &Rc<Generator>, window: Window) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    for _ in 0..generator.config.connections {
        connections.spawn_local(Rc::clone(generator).connection());
    }
    let measure = async {
        generator.wait_until(window.from).await;
        let times = CpuTimes::now(generator.config.server_pid);
        generator.state.borrow_mut().recorder.window_begins(times);
        generator.wait_until(window.to).await;
        let times = CpuTimes::now(generator.config.server_pid);
        generator.state.borrow_mut().recorder.window_ends(times);
    };
    let show = async {
        let mut progress = Progress::start(&generator.config);
        loop {
            tokio::time::sleep(Progress::EVERY).await;
            let state = generator.state.borrow();
            progress.show(state.recorder.acknowledged_requests, state.recorder.requests);
        }
    };
    let release = generator.slots.release(generator.config.connections, &generator.stop);
    let work = async { tokio::join!(release, connections.join_all(), measure) };
    tokio::select! {
        (released, _, ()) = work => released,
        () = show => Ok(()),
    }
}

fn finish(generator: &Generator, started_at: payments::UnixMillis) -> Result<LoadReport, LoadError> {
    let mut state = generator.state.borrow_mut();
    if let Some(error) = state.ledger_error.take() {
        return Err(error.into());
    }
    let end = EndLine {
        events: state.recorder.events,
        acknowledged_events: state.recorder.acknowledged_events,
        requests: state.recorder.requests,
        acknowledged_requests: state.recorder.acknowledged_requests,
    };
    if let Some(ledger) = &mut state.ledger {
        ledger.write(&Line::End(end))?;
        ledger.flush()?;
    }
    Ok(LoadReport::new(&generator.config, started_at, &state.recorder, generator.slots.left()))
}

impl Generator {
    /// One connection, until nothing is left to send.
    async fn connection(self: Rc<Self>) {
        let mut request = Request::default();
        let mut open: Option<Connection> = None;
        let mut again = false;
        while let Some(due) = self.slots.next().await {
            if self.is_over() {
                break;
            }
            self.prepare(again, &mut request);
            let acknowledged = self.deliver(due, again, &mut request, &mut open).await;
            again = acknowledged && !again && self.duplicates();
        }
    }

    /// Waits for `at`, or for the end of a run that ends early.
    async fn wait_until(&self, at: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn is_over(&self) -> bool {
        let failed = self.state.borrow().ledger_error.is_some();
        failed || self.stop.is_cancelled() || Instant::now() >= self.give_up
    }

    fn duplicates(&self) -> bool {
        let share = self.config.duplicate_share;
        share > 0.0 && self.state.borrow_mut().rng.random::<f64>() < share
    }

    /// Fills `request` with the next event, or signs the one in it `again`.
    fn prepare(&self, again: bool, request: &mut Request) {
        let mut state = self.state.borrow_mut();
        let now = self.clock.now();
        if again {
            state.recorder.duplicates += 1;
            state.pool.sign_again(now, request);
            return;
        }
        state.pool.next(now, request);
        state.recorder.events += 1;
        let State { ledger, ledger_error, .. } = &mut *state;
        if let Some(ledger) = ledger {
            *ledger_error = ledger_error.take().or(ledger.write_raw(&request.line).err());
        }
    }

    /// Sends `request` once, or until it is acknowledged; tells whether it was.
    async fn deliver(
        &self,
        due: Instant,
        duplicate: bool,
        request: &mut Request,
        open: &mut Option<Connection>,
    ) -> bool {
        let [mut pause, pause_max] = RETRY_PAUSE;
        for attempt in 1_u32.. {
            let answer = post(open, &self.config.target, &request.bytes, self.config.request_timeout).await;
            self.record(due, duplicate, attempt, request, answer);
            if is_acknowledged(answer) {
                return true;
            }
            if !self.config.retry || self.is_over() {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(pause_max);
            self.state.borrow().pool.sign_again(self.clock.now(), request);
        }
        false
    }

    fn record(&self, due: Instant, duplicate: bool, attempt: u32, request: &Request, answer: Answer) {
        let mut state = self.state.borrow_mut();
        let State { pool, recorder, ledger, ledger_error, .. } = &mut *state;
        recorder.requests += 1;
        recorder.retries += u64::from(attempt > 1);
        recorder.answered(due, request.bytes.len(), answer);
        if is_acknowledged(answer) && !duplicate {
            recorder.event_acknowledged(request.source, &request.facts);
        }
        if let Some(ledger) = ledger {
            let source = pool.source_name(request.source);
            let line = RequestLine::new(source, &request.event_id, attempt, self.clock.now(), answer);
            let written = ledger.write(&Line::Request(RequestLine { duplicate, ..line }));
            *ledger_error = ledger_error.take().or(written.err());
        }
    }
}
