//! What was sent and answered, in the measured time and over all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::cpu::{own_cpu, process_cpu};
use crate::http::{Answer, is_acknowledged};

/// From when to when is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

impl Window {
    fn contains(&self, at: Instant) -> bool {
        self.from <= at && at < self.to
    }
}

/// Processor times at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuTimes {
    own: Option<Duration>,
    server: Option<Duration>,
}

impl CpuTimes {
    pub(super) fn now(server_pid: Option<u32>) -> Self {
        Self { own: own_cpu(), server: server_pid.and_then(process_cpu) }
    }

    fn since(self, before: Self) -> Self {
        let spent = |after: Option<Duration>, before: Option<Duration>| after?.checked_sub(before?);
        Self { own: spent(self.own, before.own), server: spent(self.server, before.server) }
    }
}

#[derive(Debug)]
pub(super) struct Recorder {
    window: Window,
    /// From due to acknowledged, in microseconds, of requests that were due within the window.
    pub(super) latency_us: Histogram<u64>,
    /// Requests answered within the window, whatever the answer.
    pub(super) answered_in_window: u64,
    /// Of these, acknowledged.
    pub(super) acknowledged_in_window: u64,
    pub(super) request_bytes_in_window: u64,
    pub(super) answers: BTreeMap<Answer, u64>,
    pub(super) events: u64,
    pub(super) acknowledged_events: u64,
    pub(super) requests: u64,
    pub(super) acknowledged_requests: u64,
    pub(super) retries: u64,
    pub(super) duplicates: u64,
    pub(super) facts: BTreeMap<(usize, &'static str, &'static str), u64>,
    cpu_before: CpuTimes,
    /// Length of the window; shorter than planned if the run was stopped.
    pub(super) measured: Duration,
    pub(super) own_cpu: Option<Duration>,
    pub(super) server_cpu: Option<Duration>,
}

/// Longest latency that is told apart; a longer one counts as this one.
const LATENCY_US_MAX: u64 = 600_000_000;

impl Recorder {
    pub(super) fn new(window: Window) -> Self {
        #[expect(clippy::expect_used, reason = "constant bounds: 1 < 2 × the maximum, three digits")]
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("valid bounds");
        Self {
            window,
            latency_us,
            answered_in_window: 0,
            acknowledged_in_window: 0,
            request_bytes_in_window: 0,
            answers: BTreeMap::new(),
            events: 0,
            acknowledged_events: 0,
            requests: 0,
            acknowledged_requests: 0,
            retries: 0,
            duplicates: 0,
            facts: BTreeMap::new(),
            cpu_before: CpuTimes::default(),
            measured: Duration::ZERO,
            own_cpu: None,
            server_cpu: None,
        }
    }

    /// An answer to a request that was due at `due`.
    pub(super) fn answered(&mut self, due: Instant, bytes: usize, answer: Answer) {
        let now = Instant::now();
        let acknowledged = is_acknowledged(answer);
        *self.answers.entry(answer).or_default() += 1;
        self.acknowledged_requests += u64::from(acknowledged);
        if self.window.contains(now) {
            self.answered_in_window += 1;
            self.acknowledged_in_window += u64::from(acknowledged);
            self.request_bytes_in_window += bytes as u64;
        }
        if acknowledged && self.window.contains(due) {
            let latency = now.saturating_duration_since(due).as_micros();
            self.latency_us.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX).max(1));
        }
    }

    /// The first acknowledgement of an event.
    pub(super) fn event_acknowledged(&mut self, source: usize, facts: &[(&'static str, &'static str)]) {
        self.acknowledged_events += 1;
        for (kind, outcome) in facts {
            *self.facts.entry((source, kind, outcome)).or_default() += 1;
        }
    }

    pub(super) fn window_begins(&mut self, times: CpuTimes) {
        self.cpu_before = times;
    }

    pub(super) fn window_ends(&mut self, times: CpuTimes) {
        let spent = times.since(self.cpu_before);
        (self.own_cpu, self.server_cpu) = (spent.own, spent.server);
        self.measured = Instant::now().min(self.window.to).saturating_duration_since(self.window.from);
    }
}
