//! Why a replay cannot go on.

use clickhouse::error::Error as ClickHouseError;

/// A replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not made for a cluster's tables.
    #[error("the tables are on cluster {cluster}: a replay attaches partitions of one server's tables only")]
    Cluster {
        /// Which cluster.
        cluster: String,
    },
    /// Another one shows signs of life.
    #[error("another replay is under way, on {instance}: its last sign of life is {seconds} s old")]
    UnderWay {
        /// Who runs it.
        instance: String,
        /// Age of its last sign of life, seconds.
        seconds: i64,
    },
    /// Another one was begun and neither applied nor abandoned.
    #[error(
        "a replay of something else was begun and not finished ({parameters}): finish it, or `tillwatch replay --abandon`"
    )]
    Another {
        /// What it replays.
        parameters: String,
    },
    /// It was being put in place when it ended.
    #[error(
        "some of the replay may be in place ({parameters}): finish it by its own command, with --apply and the version that began it"
    )]
    HalfInPlace {
        /// What it replays.
        parameters: String,
    },
    /// This one was silent for so long that another went on with it.
    #[error("{instance} has taken this replay over")]
    TakenOver {
        /// Who runs it now.
        instance: String,
    },
    /// ClickHouse did not do it.
    #[error("ClickHouse cannot {action}")]
    Query {
        /// What it was asked.
        action: &'static str,
        /// What it said.
        #[source]
        source: ClickHouseError,
    },
}
