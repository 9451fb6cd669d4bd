//! The embedded engine as its users meet it: a process that speaks ClickHouse's HTTP protocol.
//! Every test runs the real library in a process of its own, on a directory of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

#[path = "engine_process/harness.rs"]
mod harness;

#[path = "engine_process/crash.rs"]
mod crash;
#[path = "engine_process/fetch.rs"]
mod fetch;
#[path = "engine_process/insert.rs"]
mod insert;
#[path = "engine_process/limits.rs"]
mod limits;
#[path = "engine_process/protocol.rs"]
mod protocol;
