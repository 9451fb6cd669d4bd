//! Rows in, pages out.
//!
//! ```text
//!  ClickHouse ──rows──▶ rules ──samples──▶ state ──moves──▶ page ──messages──▶ outbox ──▶ channels
//!  (reader)             one file           pure            pure               SQLite      one file
//!                       per type           machine         model              in order    per kind
//!                                            └──────── one transaction ────────┘
//! ```
//!
//! [`engine`] ticks: it reads, judges, and writes state, history and messages at once. [`outbox`] delivers. Nothing
//! here writes payments, and nobody depends on this crate for reading: a board reads `alert_transitions`, whose
//! rows [`export`] sends to ClickHouse (see `docs/alerting.md`).

pub mod channels;
pub mod engine;
pub mod export;
pub mod observations;
pub mod outbox;
pub mod page;
pub mod reader;
pub mod rules;
mod service;
pub mod slice;
pub mod state;
pub mod stats;
pub mod storage;

pub use service::{AlertingError, AlertingService, check, run};

/// An error and its sources in one line, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
