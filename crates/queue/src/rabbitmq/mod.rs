//! RabbitMQ between ingest and processor.
//!
//! | file | what it knows |
//! |---|---|
//! | `topology` | the queues and how they are declared |
//! | `frame` | several records in one message |
//! | `config`, `tls`, `connection`, `backoff` | addresses, certificates, one connection, pauses between attempts |
//! | `publisher`, `lane`, `sender`, `link` | admission and framing, publishing and confirms, what is known of the broker |
//! | `consumer`, `connected`, `session`, `task` | batches, over one connection after the other |
//! | `inbox`, `unacked` | turns between lanes; which messages an acknowledged position completes |
//! | `isolation`, `moves`, `mover` | what comes back too often: alone, at rest, dead; taken there while consuming goes on |
//!
//! The invariants everything rests on:
//!
//! 1. A publish is answered with success only after the broker's confirm of a message that was not returned.
//! 2. A message is acknowledged only after all its records are acknowledged, or after the broker confirmed all of what it
//!    became ([`isolation`]).
//! 3. Whatever is not known is done again: what was not confirmed is published again while somebody waits for it, and
//!    what was not acknowledged is delivered again. Each record carries its identity, so the store counts it once.
//! 4. Everything is bounded: records waiting in each lane, unconfirmed messages of a channel, delivered messages.

mod backoff;
pub mod config;
mod connected;
mod connection;
mod consumer;
pub mod dead_letters;
pub mod frame;
mod inbox;
pub mod isolation;
mod lane;
mod link;
mod mover;
mod moves;
mod publisher;
mod sender;
mod session;
mod task;
pub mod tls;
pub mod topology;
mod unacked;

pub use config::{Addresses, BrokerConfig, ConsumeConfig, PublishConfig};
pub use connection::ConnectError;
pub use consumer::{Consumer, open_consumer, open_consumer_of};
pub use link::BrokerStats;
pub use publisher::{Publisher, open_publisher};
pub use session::BrokerError;
pub use tls::{ClientIdentity, Tls, TlsError};
