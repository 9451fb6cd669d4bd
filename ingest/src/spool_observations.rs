//! What is worth observing of the spool.

use opentelemetry::metrics::Meter;
use queue::spool::{Publisher, SpoolStats};
use runtime::chain;
use tracing::warn;

type Figure = (&'static str, &'static str, fn(&SpoolStats) -> u64);

const GAUGES: [Figure; 4] = [
    ("tillwatch_spool_active", "Whether webhooks go onto the spool now: 1 or 0", |stats| {
        u64::from(stats.is_spooling)
    }),
    ("tillwatch_spool_records", "Webhooks and heartbeats on the spool", |stats| stats.records),
    ("tillwatch_spool_bytes", "Bytes the spool takes on disk, preallocated space included", |stats| {
        stats.bytes_on_disk
    }),
    ("tillwatch_spool_oldest_age_seconds", "How long the oldest of them has been there", |stats| {
        stats.oldest_age.unwrap_or_default().as_secs()
    }),
];

const COUNTERS: [Figure; 2] = [
    ("tillwatch_spool_spooled_records", "Webhooks and heartbeats put on the spool", |stats| stats.spooled),
    ("tillwatch_spool_drained_records", "Those that the broker confirmed since", |stats| stats.drained),
];

/// Reads the figures whenever metrics are read.
pub(crate) fn watch(meter: &Meter, publisher: &Publisher) {
    for (name, description, value) in GAUGES {
        let publisher = publisher.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(description);
        let _registered = gauge
            .with_callback(move |gauge| observe(&publisher, |stats| gauge.observe(value(stats), &[])))
            .build();
    }
    for (name, description, value) in COUNTERS {
        let publisher = publisher.clone();
        let counter = meter.u64_observable_counter(name).with_description(description);
        let _registered = counter
            .with_callback(move |counter| observe(&publisher, |stats| counter.observe(value(stats), &[])))
            .build();
    }
}

fn observe(publisher: &Publisher, tell: impl Fn(&SpoolStats)) {
    match publisher.stats() {
        Ok(stats) => tell(&stats),
        Err(error) => warn!(error = chain(&error), "the spool's figures could not be read"),
    }
}
