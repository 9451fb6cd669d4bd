//! What is worth observing of the queue that ingest writes, by its kind.

use opentelemetry::metrics::{AsyncInstrument, BoundHistogram, Meter};
use queue::rabbitmq::BrokerStats;
use queue::{Publisher, embedded, rabbitmq};
use runtime::chain;
use runtime::telemetry::Telemetry;
use tracing::warn;

use crate::spool_observations;

/// Seconds: from a sync of a fast local disk to one of a volume in trouble.
const COMMIT_SECONDS_BOUNDS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Records of one commit, by powers of four.
const COMMIT_RECORDS_BOUNDS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// What is observed of the embedded log's commits; for [`queue::LogConfig::observer`].
#[derive(Debug)]
pub struct CommitObservations {
    seconds: BoundHistogram<f64>,
    records: BoundHistogram<u64>,
}

impl CommitObservations {
    /// Its instruments.
    pub fn new(telemetry: &Telemetry) -> Self {
        let meter = telemetry.meter("queue");
        let seconds = meter
            .f64_histogram("tillwatch_queue_commit_seconds")
            .with_description("One group commit of the log: its write and its sync")
            .with_boundaries(COMMIT_SECONDS_BOUNDS.to_vec())
            .build();
        let records = meter
            .u64_histogram("tillwatch_queue_commit_records")
            .with_description("Records that one commit made durable together")
            .with_boundaries(COMMIT_RECORDS_BOUNDS.to_vec())
            .build();
        Self { seconds: seconds.bind(&[]), records: records.bind(&[]) }
    }
}

impl embedded::CommitObserver for CommitObservations {
    fn committed(&self, commit: &embedded::Commit) {
        self.seconds.record(commit.duration.as_secs_f64());
        self.records.record(commit.records as u64);
    }
}

/// Reads the queue's figures whenever metrics are read.
pub(crate) fn watch_queue(telemetry: &Telemetry, publisher: &Publisher) {
    let meter = telemetry.meter("queue");
    match publisher {
        Publisher::Embedded(log) => watch_log(&meter, log),
        Publisher::RabbitMq(publisher) => watch_broker(&meter, publisher),
        Publisher::Spooled(publisher) => {
            watch_broker(&meter, publisher.broker());
            spool_observations::watch(&meter, publisher);
        }
    }
}

fn watch_log(meter: &Meter, log: &embedded::Publisher) {
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

fn observe(
    gauge: &dyn AsyncInstrument<u64>,
    log: &embedded::Publisher,
    value: impl Fn(&embedded::PublisherStats) -> u64,
) {
    match log.stats() {
        Ok(stats) => gauge.observe(value(&stats), &[]),
        Err(error) => warn!(error = chain(&error), "the queue's figures could not be read"),
    }
}

fn watch_broker(meter: &Meter, publisher: &rabbitmq::Publisher) {
    type Figure = (&'static str, &'static str, fn(&BrokerStats) -> u64);
    let gauges: [Figure; 3] = [
        ("tillwatch_queue_broker_up", "Whether the broker takes messages now: 1 or 0", |stats| {
            u64::from(stats.away.is_none())
        }),
        ("tillwatch_queue_in_flight_records", "Records waiting for the broker's confirm", |stats| {
            stats.in_flight_records as u64
        }),
        ("tillwatch_queue_in_flight_bytes", "Payload bytes waiting for the broker's confirm", |stats| {
            stats.in_flight_bytes as u64
        }),
    ];
    for (name, description, value) in gauges {
        let publisher = publisher.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(description);
        let _registered =
            gauge.with_callback(move |gauge| gauge.observe(value(&publisher.stats()), &[])).build();
    }
    let counters: [Figure; 4] = [
        ("tillwatch_queue_connects", "Connections made to the broker, to publish", |stats| stats.connects),
        ("tillwatch_queue_published_messages", "Messages the broker confirmed", |stats| stats.messages),
        ("tillwatch_queue_published_records", "Records in them", |stats| stats.records),
        ("tillwatch_queue_refused_messages", "Messages the broker refused or returned", |stats| {
            stats.refused
        }),
    ];
    for (name, description, value) in counters {
        let publisher = publisher.clone();
        let counter = meter.u64_observable_counter(name).with_description(description);
        let _registered =
            counter.with_callback(move |counter| counter.observe(value(&publisher.stats()), &[])).build();
    }
}
