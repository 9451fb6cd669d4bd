//! ClickHouse: migrations, rows, inserts, and the embedded engine.
//!
//! - [`Store`] is a connection; readers (alerting, the board) keep their own SQL and row types and take
//!   [`Store::client`].
//! - [`migrate`](Store::migrate) creates and upgrades the tables (`migrations/*.sql`).
//! - [`rows`] are what is written, [`insert`] how, and what to do when ClickHouse refuses.
//! - [`replay`] maps what is stored again, compares, and puts it in its place.
//! - [`Cluster`] says that the tables are on many servers; the rest stays as it is.
//! - [`engine`] is the embedded ClickHouse.

mod client;
mod cluster;
mod connect;
pub mod engine;
pub mod insert;
mod migrate;
mod places;
mod refusal;
pub mod replay;
pub mod rows;
mod tables;

pub use clickhouse::error::Error as ClickHouseError;
pub use client::{Store, StoreError};
pub use cluster::inspect::ClusterError;
pub use cluster::translate::Untranslatable;
pub use cluster::{Cluster, InsertQuorum};
pub use connect::{ClientIdentity, ConnectError, Tls};
pub use insert::{Decision, InsertError};
pub use migrate::{MigrateError, Migrated, Retention};
pub use places::Place;
pub use tables::TablesError;

/// Columns by which payments may be filtered and grouped: those of `payment_minutes` that are not sums.
pub const DIMENSIONS: &[&str] = &[
    "source",
    "provider",
    "account",
    "live",
    "kind",
    "outcome",
    "currency",
    "method",
    "wallet",
    "network",
    "funding",
    "bin",
    "issuer",
    "issuer_country",
    "decline_code",
    "decline_category",
    "decline_class",
    "network_code",
    "retry",
    "three_ds",
    "experiment",
    "variant",
];
