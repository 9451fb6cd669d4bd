//! The binary as its users meet it: real processes, real engine, real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "in a test they are the failure"
)]

mod chaos;
mod check;
mod completeness;
mod dead_letters;
mod demo;
mod events;
mod harness;
mod metrics;
mod nothing_lost;
mod pages;
mod replay;
mod rolling_restart;
mod shutdown;
mod store_away;
mod telemetry;
mod truth;
mod whole_way;
