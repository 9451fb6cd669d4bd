//! Why the tables are not up to date.

use super::STATEMENT_TIMEOUT;
use crate::cluster::DDL_TIMEOUT;
use crate::cluster::inspect::ClusterError;
use crate::cluster::translate::Untranslatable;

/// The tables could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// ClickHouse refused a statement, or did not answer.
    #[error("migration {migration}: ClickHouse refused `{statement}`")]
    Statement {
        /// Which migration.
        migration: &'static str,
        /// The beginning of the statement.
        statement: String,
        /// What it said.
        #[source]
        source: clickhouse::error::Error,
    },
    /// ClickHouse did not answer in time; what it was asked may still be done.
    #[error("migration {migration}: ClickHouse did not answer `{statement}` within {} s", STATEMENT_TIMEOUT.as_secs())]
    TimedOut {
        /// Which migration.
        migration: &'static str,
        /// The beginning of the statement.
        statement: String,
    },
    /// Some server of the cluster did not carry the statement out in time: it is away, or slow.
    #[error(
        "migration {migration}: not every server of cluster `{cluster}` carried out `{statement}` within {} s; one that is \
         away does so when it is back. Bring it back, or take it out of the cluster's configuration, and run \
         `tillwatch migrate` again; system.distributed_ddl_queue tells which it is", DDL_TIMEOUT.as_secs()
    )]
    Unfinished {
        /// Which migration.
        migration: &'static str,
        /// Which cluster.
        cluster: String,
        /// The beginning of the statement.
        statement: String,
        /// What ClickHouse said, with the number of servers.
        #[source]
        source: clickhouse::error::Error,
    },
    /// The cluster is not one that tables can be created on.
    #[error("the tables cannot lie on the cluster")]
    Cluster(#[from] ClusterError),
    /// A statement is of a form that is not known to be right on a cluster.
    #[error("migration {migration}: `{statement}` cannot be written for a cluster")]
    Untranslated {
        /// Which migration.
        migration: &'static str,
        /// The beginning of the statement.
        statement: String,
        /// Why.
        #[source]
        source: Untranslatable,
    },
    /// A migration that was applied is not the one of this build.
    #[error(
        "migration {name} (version {version}) was applied with other contents; run the version that applied it, or \
         restore its file"
    )]
    Changed {
        /// Which.
        version: u32,
        /// Its name.
        name: &'static str,
    },
    /// The database was migrated by a newer Tillwatch.
    #[error("the tables are of version {found}, this build knows up to {known}; run the newer version")]
    Newer {
        /// Version of the tables.
        found: u32,
        /// Newest this build knows.
        known: u32,
    },
}

impl MigrateError {
    /// Whether it lasts, however often it is tried: the tables are those of another version.
    pub fn lasts(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Newer { .. } | Self::Untranslated { .. })
    }
}
