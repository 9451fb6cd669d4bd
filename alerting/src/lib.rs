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
mod completeness;
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

use runtime::chain;

pub use service::{AlertingError, AlertingService, check, run};
