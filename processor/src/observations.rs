//! What is worth observing in the processor: one function per occurrence.

use std::error::Error as _;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use payments::UnixMillis;
use runtime::telemetry::Telemetry;
use store::{InsertError, TablesError};
use tracing::{error, info, warn};

use crate::outcome::Outcome;
use crate::prepare::{Normalized, Prepared};

/// Seconds from arrival to stored: from one linger to an outage.
const LAG_SECONDS_BOUNDS: [f64; 13] =
    [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 60.0, 600.0, 3_600.0];

/// The processor's instruments.
#[derive(Debug)]
pub(crate) struct Observations {
    messages: Counter<u64>,
    facts: Counter<u64>,
    unmapped_declines: Counter<u64>,
    lag_seconds: Histogram<f64>,
    insert_seconds: Histogram<f64>,
    insert_failures: Counter<u64>,
}

impl Observations {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let meter = telemetry.meter("processor");
        Self {
            messages: meter
                .u64_counter("tillwatch_processor_messages")
                .with_description("Messages of the queue by source and the one outcome of each")
                .build(),
            facts: meter
                .u64_counter("tillwatch_processor_facts")
                .with_description("Payment events stored, duplicates included")
                .build(),
            unmapped_declines: meter
                .u64_counter("tillwatch_processor_unmapped_declines")
                .with_description("Declines whose code is in no table: a provider may have added codes")
                .build(),
            lag_seconds: meter
                .f64_histogram("tillwatch_processor_lag_seconds")
                .with_description("From a webhook's arrival to its rows being stored")
                .with_boundaries(LAG_SECONDS_BOUNDS.to_vec())
                .build(),
            insert_seconds: meter
                .f64_histogram("tillwatch_processor_insert_seconds")
                .with_description("One batch into all its tables")
                .with_boundaries(LAG_SECONDS_BOUNDS.to_vec())
                .build(),
            insert_failures: meter
                .u64_counter("tillwatch_processor_insert_failures")
                .with_description("Failed inserts by what was decided and what ClickHouse said")
                .build(),
        }
    }

    /// A whole batch is stored.
    pub(crate) fn batch_stored(&self, prepared: &Prepared, now: UnixMillis, took: Duration) {
        for webhook in &prepared.webhooks {
            self.webhook_stored(webhook, now);
        }
        for _ in &prepared.heartbeats {
            self.ended("", Outcome::Heartbeat);
        }
        for tally in &prepared.tallies {
            self.ended(&tally.source, Outcome::Tally);
        }
        for _ in &prepared.unreadable {
            self.ended("", Outcome::Parked { reason: "unreadable_message" });
        }
        self.insert_seconds.record(took.as_secs_f64(), &[]);
    }

    fn webhook_stored(&self, webhook: &Normalized, now: UnixMillis) {
        let source = webhook.envelope.source.as_str();
        self.ended(source, webhook.outcome());
        let label = [KeyValue::new("source", source.to_owned())];
        self.lag_seconds.record(now.since(webhook.envelope.received_at).as_secs_f64(), &label);
        self.facts.add(webhook.facts.len() as u64, &label);
        let provider = webhook.envelope.provider;
        let unmapped = webhook.facts.iter().filter(|fact| provider.has_unmapped_code(fact)).count();
        if unmapped > 0 {
            self.unmapped_declines.add(unmapped as u64, &label);
        }
    }

    fn ended(&self, source: &str, outcome: Outcome) {
        let labels = [
            KeyValue::new("source", source.to_owned()),
            KeyValue::new("outcome", outcome.name()),
            KeyValue::new("reason", outcome.reason()),
        ];
        self.messages.add(1, &labels);
    }

    /// An insert failed and will be tried again.
    pub(crate) fn insert_retried(&self, table: &str, error: &InsertError, pause: Duration) {
        self.insert_failed("retry", error.name());
        warn!(table, %error, cause = error.source().map(tracing::field::display), pause_ms = pause.as_millis(), "insert failed; trying again");
    }

    /// So many rows are refused together, or one alone.
    pub(crate) fn insert_refused(&self, table: &str, rows: usize, error: &InsertError) {
        self.insert_failed(if rows == 1 { "refuse" } else { "split" }, error.name());
        info!(table, rows, %error, cause = error.source().map(tracing::field::display), "insert refused");
    }

    /// Rows are refused that nothing is wrong with; they are tried again until somebody has mended the table.
    pub(crate) fn table_refuses(&self, table: &str, why: &str, pause: Duration) {
        error!(table, why, pause_ms = pause.as_millis(), "the table refuses what it must take; trying again");
    }

    /// The tables are not those of this build.
    pub(crate) fn tables_differ(&self, error: &TablesError, pause: Duration) {
        error!(%error, cause = error.source().map(tracing::field::display), pause_ms = pause.as_millis(), "the tables are not as they must be; looking again");
    }

    fn insert_failed(&self, decision: &'static str, error: &'static str) {
        self.insert_failures.add(1, &[KeyValue::new("decision", decision), KeyValue::new("error", error)]);
    }

    /// The queue could not be read.
    pub(crate) fn receive_failed(&self, error: &dyn std::error::Error) {
        warn!(error = runtime::chain(error), "the queue could not be read; trying again");
    }
}
