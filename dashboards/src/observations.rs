//! What is worth observing on the board: one function per occurrence.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use runtime::telemetry::Telemetry;
use tracing::{info, warn};

use crate::queries::QueryError;

/// Seconds: from a cached mark to the query timeout.
const QUERY_SECONDS_BOUNDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0];

/// The board's instruments.
#[derive(Debug)]
pub(crate) struct Observations {
    views: Counter<u64>,
    query_seconds: Histogram<f64>,
    query_failures: Counter<u64>,
}

impl Observations {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let meter = telemetry.meter("board");
        Self {
            views: meter
                .u64_counter("tillwatch_board_views")
                .with_description("Pages, fragments and JSON documents served")
                .build(),
            query_seconds: meter
                .f64_histogram("tillwatch_board_query_seconds")
                .with_description("How long the store took to answer, by panel")
                .with_boundaries(QUERY_SECONDS_BOUNDS.to_vec())
                .build(),
            query_failures: meter
                .u64_counter("tillwatch_board_query_failures")
                .with_description("Questions the store did not answer, by panel")
                .build(),
        }
    }

    /// Something was served: `page`, `fragment` or `json`.
    pub(crate) fn viewed(&self, what: &'static str) {
        self.views.add(1, &[KeyValue::new("what", what)]);
    }

    /// The store was asked for a panel and answered, or not.
    pub(crate) fn asked(&self, panel: &'static str, took: Duration, outcome: Result<(), &QueryError>) {
        let label = [KeyValue::new("panel", panel)];
        self.query_seconds.record(took.as_secs_f64(), &label);
        if outcome.is_err() {
            self.query_failures.add(1, &label);
        }
    }

    /// A panel that was known before could not be asked again. Said once, not at every refresh.
    pub(crate) fn panel_lost(&self, panel: &'static str, error: &QueryError) {
        warn!(panel, %error, cause = ?std::error::Error::source(error), "the board could not ask the store");
    }

    /// A panel that was lost is back.
    pub(crate) fn panel_back(&self, panel: &'static str) {
        info!(panel, "the board can ask the store again");
    }
}
