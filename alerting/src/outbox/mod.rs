//! Delivery: a page leaves through its channel exactly as often as it must, in order, and never by a call that can be
//! forgotten.
//!
//! The engine queues messages in the same transaction as the state that caused them. One [`Courier`] per channel
//! takes them from there, so a channel that hangs delays no other. [`fn@plan`] decides what of a page's waiting
//! messages is still worth sending, [`fn@backoff`] when to try again.

mod backoff;
mod courier;
mod plan;

#[cfg(test)]
mod tests;

pub use backoff::backoff;
pub use courier::{Courier, Progress};
pub use plan::{Plan, plan};
