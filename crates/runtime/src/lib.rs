//! What every service needs to live: configuration, telemetry, lifecycle, clock, health.
//!
//! A service is a function `run(.., lifecycle)` that takes what it needs from here and knows nothing of the others:
//!
//! - [`config`]: one file of TOML plus environment variables, read once, checked before anything starts.
//! - [`telemetry`]: logs, metrics and traces; each service keeps its observations in one file of its own.
//! - [`lifecycle`]: soft and hard shutdown, and the tasks that must end before the process may.
//! - [`clock`]: the only place that reads the system clock.
//! - [`health`] and [`admin`]: `/live`, `/ready`, `/metrics`.

pub mod admin;
pub mod clock;
pub mod config;
mod error_chain;
pub mod health;
pub mod lifecycle;
pub mod telemetry;
pub mod trace_context;

pub use clock::{Clock, MockClock, SharedClock, SystemClock};
pub use config::Config;
pub use error_chain::chain;
pub use health::{Health, HealthHandle};
pub use lifecycle::Lifecycle;
