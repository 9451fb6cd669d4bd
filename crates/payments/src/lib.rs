//! The domain of payments, pure: no I/O, no clock of its own, no async.
//!
//! A webhook's way through this crate:
//!
//! ```text
//! raw request ──Verifier::verify──▶ Verified ──seal──▶ Envelope ──encode/decode──▶ Envelope ──normalize──▶ [PaymentEvent]
//!               └▶ Rejection (4xx)                                                            └▶ ParkReason
//! ```
//!
//! Invariant: an [`Envelope`] exists only because a signature was verified over its exact bytes: it is made by
//! [`Verified::seal`], or decoded from what `seal` made. Everything about one provider (how it signs, what its
//! events mean) is known to one file under [`providers`] and to nothing else.

pub mod decline;
pub mod envelope;
pub mod event;
pub mod money;
pub mod network_codes;
pub mod providers;
pub mod secret;
pub mod signature;
pub mod tally;
mod time;

pub use decline::{Decline, DeclineCategory, DeclineClass, Retry};
pub use envelope::{DecodeError, Envelope, Heartbeat, QueueMessage, Sealed};
pub use event::{Kind, Outcome, PaymentEvent, ThreeDs};
pub use money::{Currency, Money};
pub use providers::{ParkReason, Provider, Rejection, Request, SourceSettings, Verified, Verifier};
pub use secret::Secret;
pub use tally::Tally;
pub use time::{ParseTimeError, UnixMillis};
