//! What is worth observing in ingest: one function per occurrence.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram};
use queue::{Publisher, embedded};
use runtime::telemetry::Telemetry;
use tracing::warn;

use crate::answer::Answer;

/// Seconds: from well under a disk sync to the publish timeout.
const ANSWER_SECONDS_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Ingest's instruments.
#[derive(Debug)]
pub(crate) struct Observations {
    requests: Counter<u64>,
    secret_matches: Counter<u64>,
    answer_seconds: Histogram<f64>,
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
        }
    }

    /// A request was answered. `source` is empty where no configured source was meant.
    pub(crate) fn answered(&self, source: &Arc<str>, answer: &Answer, took: Duration) {
        let source = KeyValue::new("source", Arc::clone(source));
        if let Answer::Accepted(_) = answer {
            self.answer_seconds.record(took.as_secs_f64(), std::slice::from_ref(&source));
        }
        if let Answer::NotDurable(error) = answer {
            warn!(source = source.value.as_str().as_ref(), %error, cause = ?std::error::Error::source(error), "webhook not accepted");
        }
        self.requests.add(1, &[source, KeyValue::new("answer", answer.code())]);
    }

    /// A secret signed a request; `secret` is its reference.
    pub(crate) fn secret_matched(&self, source: &Arc<str>, secret: &Arc<str>) {
        let labels =
            [KeyValue::new("source", Arc::clone(source)), KeyValue::new("secret", Arc::clone(secret))];
        self.secret_matches.add(1, &labels);
    }

    /// Reads the queue's size whenever metrics are read.
    pub(crate) fn watch_queue(telemetry: &Telemetry, publisher: &Publisher) {
        let Publisher::Embedded(log) = publisher;
        let meter = telemetry.meter("queue");
        let bytes = log.clone();
        let _registered = meter
            .u64_observable_gauge("tillwatch_queue_bytes")
            .with_description("Bytes the queue's log takes on disk, preallocated space included")
            .with_callback(move |gauge| observe(gauge, &bytes, |stats| stats.bytes_on_disk))
            .build();
        let waiting = log.clone();
        let _registered = meter
            .u64_observable_gauge("tillwatch_queue_records_waiting")
            .with_description("Durable records the processor has not acknowledged")
            .with_callback(move |gauge| observe(gauge, &waiting, |stats| stats.records_waiting))
            .build();
        let failures = log.clone();
        let _registered = meter
            .u64_observable_counter("tillwatch_queue_write_failures")
            .with_description("Commits and new segments that failed")
            .with_callback(move |gauge| observe(gauge, &failures, |stats| stats.failures))
            .build();
    }
}

fn observe(
    gauge: &dyn AsyncInstrument<u64>,
    log: &embedded::Publisher,
    value: impl Fn(&embedded::PublisherStats) -> u64,
) {
    match log.stats() {
        Ok(stats) => gauge.observe(value(&stats), &[]),
        Err(error) => warn!(%error, "the queue's figures could not be read"),
    }
}
