//! The binary as its users meet it: real processes, real engine, real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "in a test they are the failure"
)]

mod harness;
mod nothing_lost;
mod telemetry;
mod whole_way;
