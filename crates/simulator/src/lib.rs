//! A seeded world of payments that posts signed webhooks: demo, load and detection benchmark.
//!
//! ```text
//! world ──Payment──▶ providers ──Webhook──▶ schedule ──HTTP──▶ ingest
//! (seed)            (as each one           (late, twice,          │
//!    ▲               really posts)          again)                ▼
//! scenario                   └──expected facts──▶ ledger ◀──acknowledged or not
//! ```
//!
//! - [`world`] makes payments: a function of seed and index.
//! - [`providers`] turns a payment into the webhooks of its provider, signed, and into the facts they must become.
//! - [`simulate`] lives in real time, with delays, duplicates, retries and incidents ([`scenario`]).
//! - [`load`] posts as fast as it can, or at a fixed rate, and measures.
//! - [`ledger`] is the truth about either, for tests to compare with.

pub mod http;
pub mod ledger;
pub mod load;
pub mod providers;
pub mod scenario;
pub mod schedule;
pub mod simulate;
pub mod world;

#[cfg(test)]
mod testing;

pub use http::{Target, TargetError};
pub use providers::SimulatedSource;
