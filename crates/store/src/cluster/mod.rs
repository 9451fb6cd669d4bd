//! The tables on a cluster of ClickHouse servers.
//!
//! Each physical table `x` becomes two: `x_local`, which every server keeps a replica of its shard's part of, and `x`,
//! `Distributed` over them. So views, readers and inserts stay as they are. [`translate`] rewrites the migrations,
//! [`inspect`] looks at the cluster before anything is created, [`join`] gives a server that joined later what it lacks.
//!
//! Invariant: all copies of a row, and whatever retracts it, lie on one shard, however many times it is stored: the
//! sharding key is the row's identity without its times. Only so is `FINAL` right through `Distributed`.

pub(crate) mod inspect;
pub(crate) mod join;
pub(crate) mod translate;

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;

use crate::refusal;

/// Which cluster, and when a row counts as stored on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the servers' `remote_servers`: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// How many replicas of a shard must have an insert.
    pub insert_quorum: InsertQuorum,
}

/// How many replicas of a shard must have an insert before it has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InsertQuorum {
    /// More than half of them.
    #[default]
    Majority,
    /// So many; with 0 or 1 the one that took the insert.
    Replicas(u32),
}

impl InsertQuorum {
    /// As ClickHouse's setting `insert_quorum` wants it.
    fn setting(self) -> String {
        match self {
            Self::Majority => "auto".to_owned(),
            Self::Replicas(replicas) => replicas.to_string(),
        }
    }
}

/// How long an insert waits for its quorum: well within the limit for all of an insert.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a statement `ON CLUSTER` waits for all servers: within the migrations' own limit.
pub(crate) const DDL_TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// The settings of every request that reads or writes rows.
    ///
    /// - An insert returns when its rows are on their shards, not when they are written down to be sent there or gathered
    ///   with others; the deduplication token goes with them.
    /// - All ask the same replica of a shard, the first in the cluster's configuration that lives: what is stored is
    ///   read at once, and a heartbeat is never seen before the rows that it speaks for.
    /// - What is selected into a table goes to the shards of its own key, not to those it came from.
    /// - A view that joins two tables, or asks one about the other, sends the inner answer to the shards.
    pub(crate) fn for_rows(&self, client: Client) -> Client {
        client
            .with_setting("distributed_foreground_insert", "1")
            .with_setting("async_insert", "0")
            .with_setting("insert_quorum", self.insert_quorum.setting())
            .with_setting("insert_quorum_timeout", QUORUM_TIMEOUT.as_millis().to_string())
            .with_setting("load_balancing", "in_order")
            .with_setting("prefer_localhost_replica", "0")
            .with_setting("distributed_product_mode", "global")
            .with_setting("parallel_distributed_insert_select", "0")
    }

    /// The settings for what must be seen by everybody once it is written: of two that write and then look, one at least
    /// sees both, whichever replicas they talk to.
    ///
    /// An insert has its quorum, and is the only one at its time; a replica that lacks it refuses to be read. That is
    /// what ClickHouse calls sequential consistency, and it is dear: only for places and records of migrations. Without
    /// a quorum there is no such thing, and the first replica that lives answers for itself.
    pub(crate) fn in_sequence(&self, client: Client) -> Client {
        if matches!(self.insert_quorum, InsertQuorum::Replicas(0 | 1)) {
            return client;
        }
        client.with_setting("insert_quorum_parallel", "0").with_setting("select_sequential_consistency", "1")
    }

    /// The settings for statements `ON CLUSTER`: a server that does not carry one out is an error.
    pub(crate) fn for_statements(&self, client: Client) -> Client {
        client
            .with_setting("distributed_ddl_task_timeout", DDL_TIMEOUT.as_secs().to_string())
            .with_setting("distributed_ddl_output_mode", "throw")
    }
}

/// Another insert waits for its quorum; this replica is about to get what it lacks.
const NOT_YET: [u32; 2] = [286, 289];

/// Pauses between attempts: the first, doubled each time. Together some three seconds.
const TURN_PAUSE: Duration = Duration::from_millis(25);
const TURNS_MAX: u32 = 8;

/// Asks again for as long as it is somebody else's turn, within bounds; then the whole insert is tried again later.
pub(crate) async fn in_turn<T, F>(mut ask: impl FnMut() -> F) -> Result<T, ClickHouseError>
where
    F: Future<Output = Result<T, ClickHouseError>>,
{
    let mut turn = 1;
    loop {
        match ask().await {
            Err(error) if turn < TURNS_MAX && is_not_yet(&error) => {
                tokio::time::sleep(TURN_PAUSE * 2_u32.pow(turn - 1)).await;
                turn += 1;
            }
            done => return done,
        }
    }
}

fn is_not_yet(error: &ClickHouseError) -> bool {
    refusal::code(&error.to_string()).is_some_and(|code| NOT_YET.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32) -> ClickHouseError {
        ClickHouseError::BadResponse(format!("Code: {code}. DB::Exception: …"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_another_is_waited_for_within_bounds() {
        for code in NOT_YET {
            let mut asked = 0;
            let third = in_turn(|| {
                asked += 1;
                std::future::ready(if asked < 3 { Err(refused(code)) } else { Ok(asked) })
            });
            assert_eq!(third.await.unwrap(), 3);
            let mut asked = 0;
            let never = in_turn(|| {
                asked += 1;
                std::future::ready(Err::<(), _>(refused(code)))
            });
            assert!(never.await.is_err());
            assert_eq!(asked, TURNS_MAX);
        }
    }

    #[tokio::test]
    async fn everything_else_is_said_at_once() {
        let mut asked = 0;
        let other = in_turn(|| {
            asked += 1;
            std::future::ready(Err::<(), _>(refused(242)))
        });
        assert!(other.await.is_err());
        assert_eq!(asked, 1);
    }
}
