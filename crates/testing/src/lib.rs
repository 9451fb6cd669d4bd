//! Real parts for tests, and what makes them break. For dev-dependencies alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "what goes wrong here fails the test, and says what the part said"
)]

pub mod certificates;
mod group;
mod ports;
pub mod proxy;
pub mod rabbitmq;
mod waiting;

pub use ports::{free_port, free_ports};
pub use waiting::{DEADLINE, eventually, eventually_within, soon};
