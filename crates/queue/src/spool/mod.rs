//! The spool: what keeps ingest accepting while the broker cannot confirm. Records go onto an embedded log, and from
//! there to the broker when it is back.
//!
//! | file | what it knows |
//! |---|---|
//! | `record` | what a record carries on the log besides its payload |
//! | `route` | which way a record takes now, and how the way changes |
//! | `publisher` | takes records, and sees when the broker does not confirm |
//! | `drain` | from the log to the broker, in order |
//!
//! ```text
//!            direct                    to the log                   held for a moment
//!   lane ───────────────▶ broker  ──────────────────▶ log    ──────────────────────────▶ broker
//!            not confirmed in time       little is left on the log     all of it is confirmed
//! ```
//!
//! Invariants:
//!
//! 1. A record is acknowledged when the broker confirmed it or when it is on the disk of the log; it leaves the log only
//!    after the broker confirmed it.
//! 2. While anything acknowledged of a lane is on the log, nothing of that lane passes it by. So a heartbeat still says
//!    that everything accepted before it in its lane is on its way before it.
//! 3. A record whose confirm was not seen goes onto the log and may be in the broker too: twice on its way, under one
//!    identity, and counted once like every other repetition.

mod drain;
mod publisher;
mod record;
mod route;

pub use publisher::{Publisher, SpoolConfig, SpoolStats, left, open};
