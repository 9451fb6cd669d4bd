//! The tables in their form on a cluster, on the real engine as far as it goes.
//!
//! The engine is a cluster of itself: `Distributed` tables, their inserts, tokens, views and `FINAL` are the real ones, and
//! the tests of single tables run over them once more. It replicates nothing and carries out no statement `ON CLUSTER`;
//! [`stand_in`] takes that away on the way to it, and gives the answers that only a cluster gives.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with it")]

#[path = "tables/harness.rs"]
mod harness;
#[path = "cluster/stand_in.rs"]
mod stand_in;

#[path = "cluster/answers.rs"]
mod answers;
#[path = "tables/counted_once.rs"]
mod counted_once;
#[path = "tables/moved.rs"]
mod moved;
#[path = "cluster/shards.rs"]
mod shards;
#[path = "cluster/statements.rs"]
mod statements;
#[path = "tables/values.rs"]
mod values;
