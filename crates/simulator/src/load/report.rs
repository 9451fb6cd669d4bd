//! What a load test found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use payments::UnixMillis;
use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use super::{LoadConfig, Pace};
use crate::http::answer_name;

/// A finished load test. Rates, latencies and processor times are of the measured time; counts are of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Of the world.
    pub seed: u64,
    /// When it began.
    pub started_at: UnixMillis,
    /// Where it was posted to.
    pub target: String,
    /// Asked-for requests a second; `None` is flat out (closed loop).
    pub rate_asked_per_s: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// Not measured.
    pub warm_up_s: f64,
    /// Measured.
    pub measured_s: f64,
    /// Acknowledged requests a second.
    pub acknowledged_per_s: f64,
    /// From the instant a request was due (open loop) or sent (closed loop) to its 2xx.
    pub latency: Latencies,
    /// Mean size of a request, head included.
    pub request_bytes_mean: f64,
    /// The generator's processor time per request.
    pub generator_cpu_us: Option<f64>,
    /// The server process's processor time per request, if its process was named.
    pub server_cpu_us: Option<f64>,
    /// Distinct events sent.
    pub events: u64,
    /// Of these, acknowledged.
    pub acknowledged_events: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of these, repeated because an earlier one was not acknowledged.
    pub retries: u64,
    /// Of these, events that were sent a second time on purpose.
    pub duplicates: u64,
    /// Requests that were due and never sent, because every connection was waiting.
    pub unsent: u64,
    /// Requests by answer: status, or why there was none.
    pub answers: BTreeMap<String, u64>,
    /// Facts of acknowledged events.
    pub facts: Vec<SourceFacts>,
}

/// Percentiles of a latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "percentiles, in milliseconds")]
pub struct Latencies {
    pub samples: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub max_ms: f64,
}

/// Facts of one source, kind and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Configured source.
    pub source: String,
    /// Of the facts.
    pub kind: String,
    /// Of the facts.
    pub outcome: String,
    /// How many.
    pub facts: u64,
}

impl LoadReport {
    pub(super) fn new(config: &LoadConfig, started_at: UnixMillis, recorder: &Recorder, unsent: u64) -> Self {
        let measured_s = recorder.measured.as_secs_f64();
        let acknowledged = recorder.acknowledged_in_window as f64;
        let answered = recorder.answered_in_window;
        let per_request = |cpu: Option<Duration>| {
            let cpu = cpu.filter(|_| answered > 0)?;
            Some(cpu.as_secs_f64() * 1e6 / answered as f64)
        };
        let facts = recorder.facts.iter().map(|((source, kind, outcome), facts)| SourceFacts {
            source: config.sources.get(*source).map(|source| source.name.clone()).unwrap_or_default(),
            kind: (*kind).to_owned(),
            outcome: (*outcome).to_owned(),
            facts: *facts,
        });
        Self {
            seed: config.seed,
            started_at,
            target: config.target.to_string(),
            rate_asked_per_s: match config.pace {
                Pace::FlatOut => None,
                Pace::PerSecond(rate) => Some(rate),
            },
            connections: config.connections,
            warm_up_s: config.warm_up.as_secs_f64(),
            measured_s,
            acknowledged_per_s: if measured_s > 0.0 { acknowledged / measured_s } else { 0.0 },
            latency: Latencies::of(&recorder.latency_us),
            request_bytes_mean: recorder.request_bytes_in_window as f64 / answered.max(1) as f64,
            generator_cpu_us: per_request(recorder.own_cpu),
            server_cpu_us: per_request(recorder.server_cpu),
            events: recorder.events,
            acknowledged_events: recorder.acknowledged_events,
            requests: recorder.requests,
            retries: recorder.retries,
            duplicates: recorder.duplicates,
            unsent,
            answers: recorder.answers.iter().map(|(answer, count)| (answer_name(*answer), *count)).collect(),
            facts: facts.collect(),
        }
    }

    /// Requests that got no 2xx.
    pub fn errors(&self) -> u64 {
        self.answers.iter().filter(|(answer, _)| !answer.starts_with('2')).map(|(_, count)| count).sum()
    }
}

impl Latencies {
    fn of(latency_us: &hdrhistogram::Histogram<u64>) -> Self {
        if latency_us.is_empty() {
            return Self::default();
        }
        let at = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            samples: latency_us.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: latency_us.max() as f64 / 1_000.0,
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = match self.rate_asked_per_s {
            None => "flat out (closed loop)".to_owned(),
            Some(rate) => format!("{rate} a second (open loop)"),
        };
        writeln!(f, "{}: {pace}, {} connections, seed {}", self.target, self.connections, self.seed)?;
        writeln!(f, "  measured       {:.1} s, after {:.1} s of warm-up", self.measured_s, self.warm_up_s)?;
        writeln!(
            f,
            "  acknowledged   {:.0} a second, {:.0} bytes each",
            self.acknowledged_per_s, self.request_bytes_mean
        )?;
        let Latencies { samples, p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms } = self.latency;
        writeln!(
            f,
            "  latency        p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  p99.9 {p99_9_ms:.2}  max {max_ms:.2} ms ({samples} samples)"
        )?;
        let cpu = |cpu: Option<f64>| {
            cpu.map_or_else(|| "not known".to_owned(), |us| format!("{us:.1} µs a request"))
        };
        writeln!(f, "  server CPU     {}", cpu(self.server_cpu_us))?;
        writeln!(f, "  generator CPU  {}", cpu(self.generator_cpu_us))?;
        let missing = self.events - self.acknowledged_events;
        writeln!(f, "  events         {} acknowledged, {missing} not", self.acknowledged_events)?;
        writeln!(
            f,
            "  requests       {} ({} retries, {} duplicates), {} due but unsent",
            self.requests, self.retries, self.duplicates, self.unsent
        )?;
        for (answer, count) in &self.answers {
            writeln!(f, "  answered {answer:<13} {count}")?;
        }
        Ok(())
    }
}
