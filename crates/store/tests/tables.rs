//! The tables, on the real engine: migrations, what is counted once, what comes back as it was written, what is read.
//! Each test has a database of its own, named after it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

#[path = "tables/harness.rs"]
mod harness;

#[path = "tables/completeness.rs"]
mod completeness;
#[path = "tables/counted_once.rs"]
mod counted_once;
#[path = "tables/documented.rs"]
mod documented;
#[path = "tables/migrations.rs"]
mod migrations;
#[path = "tables/moved.rs"]
mod moved;
#[path = "tables/pruning.rs"]
mod pruning;
#[path = "tables/refused.rs"]
mod refused;
#[path = "tables/values.rs"]
mod values;
