//! What is worth observing in ingest: one function per occurrence.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram};
use runtime::telemetry::Telemetry;
use tracing::warn;

use crate::answer::Answer;
use crate::sources::Source;

/// Seconds: from well under a disk sync to the publish timeout.
const ANSWER_SECONDS_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Pause between two lines of the log about the same trouble.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Ingest's instruments.
#[derive(Debug)]
pub(crate) struct Observations {
    requests: Counter<u64>,
    secret_matches: Counter<u64>,
    answer_seconds: Histogram<f64>,
    not_durable_told: Seldom,
}

/// What is observed of one source.
#[derive(Debug)]
pub(crate) struct SourceObservations {
    name: KeyValue,
    requests: Counter<u64>,
    accepted: BoundCounter<u64>,
    answer_seconds: BoundHistogram<f64>,
    /// In the order of the source's secrets.
    secret_matches: Vec<BoundCounter<u64>>,
}

/// A request of a source before its answer is known. Dropped without one (the client went away, or the process had
/// to end), it is counted as `client_gone`: its webhook may be stored all the same.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unanswered<'a> {
    observations: &'a SourceObservations,
    began: Instant,
    answered: bool,
}

impl Observations {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let meter = telemetry.meter("ingest");
        Self {
            requests: meter
                .u64_counter("tillwatch_ingest_requests")
                .with_description("Requests by source and the one answer each got")
                .build(),
            secret_matches: meter
                .u64_counter("tillwatch_ingest_secret_matches")
                .with_description(
                    "Which of a source's secrets signed: an old one that stands still can be dropped",
                )
                .build(),
            answer_seconds: meter
                .f64_histogram("tillwatch_ingest_answer_seconds")
                .with_description("From the request's head to its answer, accepted webhooks")
                .with_boundaries(ANSWER_SECONDS_BOUNDS.to_vec())
                .build(),
            not_durable_told: Seldom::default(),
        }
    }

    /// What is observed of one source, its labels bound ahead: most requests are accepted, and then each count is one
    /// addition.
    pub(crate) fn of_source(&self, source: &Source) -> SourceObservations {
        let name = KeyValue::new("source", source.name.clone());
        let accepted = KeyValue::new("answer", Answer::Accepted(source.provider).code());
        let secrets = source
            .secrets
            .iter()
            .map(|secret| self.secret_matches.bind(&[name.clone(), KeyValue::new("secret", secret.clone())]));
        SourceObservations {
            accepted: self.requests.bind(&[name.clone(), accepted]),
            answer_seconds: self.answer_seconds.bind(std::slice::from_ref(&name)),
            secret_matches: secrets.collect(),
            requests: self.requests.clone(),
            name,
        }
    }

    /// A request that meant no configured source was refused. The name it meant is no label: anybody could fill the
    /// metrics with names.
    pub(crate) fn refused(&self, answer: &Answer) {
        self.requests.add(1, &[KeyValue::new("source", ""), KeyValue::new("answer", answer.code())]);
    }

    /// A genuine webhook was refused because nothing durable could be written. While a disk is full that is every
    /// webhook, so the log tells one in a while and the counters tell them all.
    pub(crate) fn not_durable(&self, source: &str, error: &str) {
        if self.not_durable_told.is_due() {
            warn!(source, error, "webhooks are not accepted: nothing durable can be written");
        }
    }
}

impl SourceObservations {
    /// A request arrived.
    pub(crate) fn arrived(&self) -> Unanswered<'_> {
        Unanswered { observations: self, began: Instant::now(), answered: false }
    }

    /// A secret signed a request: the one at `index` among the source's.
    pub(crate) fn secret_matched(&self, index: usize) {
        if let Some(matches) = self.secret_matches.get(index) {
            matches.add(1);
        }
    }

    fn count(&self, answer: &'static str) {
        self.requests.add(1, &[self.name.clone(), KeyValue::new("answer", answer)]);
    }
}

impl Unanswered<'_> {
    /// Its answer is known.
    pub(crate) fn answered(mut self, answer: &Answer) {
        self.answered = true;
        if let Answer::Accepted(_) = answer {
            self.observations.accepted.add(1);
            self.observations.answer_seconds.record(self.began.elapsed().as_secs_f64());
        } else {
            self.observations.count(answer.code());
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.observations.count("client_gone");
        }
    }
}

/// Lets one of many pass, and the next one only after a while.
#[derive(Debug, Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= TOLD_AGAIN_AFTER);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
