//! Whether the cluster is one that the tables can lie on, asked before anything is created there.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::error::Error as ClickHouseError;
use clickhouse::{Client, Row};
use serde::Deserialize;

use super::Cluster;

/// The cluster is not fit for the tables; an operator mends the servers' configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The server could not be asked about it.
    #[error("ClickHouse did not tell about its cluster")]
    Query(#[from] ClickHouseError),
    /// It was asked, and did not answer in time.
    #[error(
        "ClickHouse did not tell about its cluster in time: a server of it takes connections and does not answer"
    )]
    TimedOut,
    /// The server has no such cluster.
    #[error(
        "ClickHouse knows no cluster `{name}` (it knows: {known}): name one of its `remote_servers` in store.cluster"
    )]
    Unknown {
        /// The one that is configured.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// An insert would be sent to each replica, which they do among themselves already.
    #[error(
        "shard {shard} of cluster `{name}` has replicas without `internal_replication`: set it to true in \
         `remote_servers`, as replicated tables need it"
    )]
    NotReplicating {
        /// The cluster.
        name: String,
        /// Number of the shard.
        shard: u32,
    },
    /// Nothing tells a server which part of the rows is its own.
    #[error(
        "{node} has no macro `{name}`: set `shard` and `replica` in the `macros` of each server's configuration"
    )]
    NoMacro {
        /// `host:port` of the server.
        node: String,
        /// Which macro.
        name: &'static str,
    },
    /// The database was made for one server.
    #[error(
        "{node} has {table} as {engine}, and on a cluster it is Distributed: these tables were made for one server. Use \
         another store.database and copy the rows, as docs/clickhouse.md says"
    )]
    OneServers {
        /// `host:port` of the server.
        node: String,
        /// The table.
        table: String,
        /// Its engine.
        engine: String,
    },
    /// Two servers would be one replica.
    #[error(
        "{first} and {second} are both replica `{replica}` of shard `{shard}`: each server's `macros` must differ"
    )]
    Same {
        /// `host:port` of a server.
        first: String,
        /// `host:port` of another.
        second: String,
        /// Its shard.
        shard: String,
        /// Its replica.
        replica: String,
    },
}

/// A server as it calls itself.
pub(super) const NODE: &str = "concat(hostName(), ':', toString(tcpPort()))";

/// What ends a question to every server: one that is away is left out.
pub(super) const THOSE_THERE: &str = "SETTINGS skip_unavailable_shards = 1";

#[derive(Debug, Row, Deserialize)]
struct Member {
    cluster: String,
    shard_num: u32,
    internal_replication: u8,
    replicas: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Macro {
    node: String,
    name: String,
    value: String,
}

#[derive(Debug, Row, Deserialize)]
struct Node {
    node: String,
}

impl Cluster {
    /// Asks every server of it that is there.
    pub(crate) async fn inspect(&self, client: &Client) -> Result<(), ClusterError> {
        let sql = "SELECT cluster, toUInt32(shard_num) AS shard_num, \
                   toUInt8(min(internal_replication)) AS internal_replication, toUInt64(count()) AS replicas \
                   FROM system.clusters GROUP BY cluster, shard_num ORDER BY cluster, shard_num";
        self.check_members(&client.query_raw(sql).fetch_all().await?)?;
        let nodes = self.nodes(client).await?;
        let sql = format!(
            "SELECT {NODE} AS node, macro AS name, substitution AS value FROM {} ORDER BY node {THOSE_THERE}",
            self.every_server("system.macros")
        );
        check_macros(&nodes, &client.query_raw(&sql).fetch_all().await?)
    }

    /// The servers that are there.
    pub(super) async fn nodes(&self, client: &Client) -> Result<Vec<String>, ClickHouseError> {
        let sql = format!(
            "SELECT {NODE} AS node FROM {} ORDER BY node {THOSE_THERE}",
            self.every_server("system.one")
        );
        let nodes: Vec<Node> = client.query_raw(&sql).fetch_all().await?;
        Ok(nodes.into_iter().map(|row| row.node).collect())
    }

    /// A system table of every server.
    pub(super) fn every_server(&self, table: &str) -> String {
        format!("clusterAllReplicas('{}', {table})", self.name)
    }

    fn check_members(&self, members: &[Member]) -> Result<(), ClusterError> {
        let name = || self.name.clone();
        let mut shards = members.iter().filter(|member| member.cluster == self.name).peekable();
        if shards.peek().is_none() {
            let known: BTreeSet<&str> = members.iter().map(|member| member.cluster.as_str()).collect();
            let known: Vec<&str> = known.into_iter().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ClusterError::Unknown { name: name(), known });
        }
        match shards.find(|shard| shard.replicas > 1 && shard.internal_replication == 0) {
            Some(shard) => Err(ClusterError::NotReplicating { name: name(), shard: shard.shard_num }),
            None => Ok(()),
        }
    }
}

fn check_macros(nodes: &[String], macros: &[Macro]) -> Result<(), ClusterError> {
    let mut taken: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for node in nodes {
        let value = |name: &'static str| {
            let found = macros.iter().find(|row| row.node == *node && row.name == name);
            found
                .map(|row| row.value.as_str())
                .ok_or_else(|| ClusterError::NoMacro { node: node.clone(), name })
        };
        let place = (value("shard")?, value("replica")?);
        if let Some(first) = taken.insert(place, node) {
            return Err(ClusterError::Same {
                first: first.to_owned(),
                second: node.clone(),
                shard: place.0.to_owned(),
                replica: place.1.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InsertQuorum;

    fn member(cluster: &str, shard_num: u32, internal_replication: u8, replicas: u64) -> Member {
        Member { cluster: cluster.to_owned(), shard_num, internal_replication, replicas }
    }

    fn checked(members: &[Member]) -> String {
        let cluster = Cluster { name: "pay".to_owned(), insert_quorum: InsertQuorum::Majority };
        cluster.check_members(members).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn a_cluster_that_is_not_there_is_told_with_those_that_are() {
        assert!(checked(&[]).contains("no cluster `pay` (it knows: none)"));
        let others = [member("a", 1, 1, 1), member("a", 2, 1, 1), member("b", 1, 1, 1)];
        assert!(checked(&others).contains("(it knows: a, b)"));
    }

    #[test]
    fn replicas_replicate_among_themselves() {
        assert_eq!(checked(&[member("pay", 1, 1, 2), member("other", 1, 0, 2)]), "fine");
        assert_eq!(checked(&[member("pay", 1, 0, 1)]), "fine", "a single replica has nobody to send to");
        assert!(
            checked(&[member("pay", 1, 1, 2), member("pay", 2, 0, 2)])
                .starts_with("shard 2 of cluster `pay`")
        );
    }

    #[test]
    fn every_server_has_a_place_of_its_own() {
        let nodes = ["a:9000".to_owned(), "b:9000".to_owned()];
        let row = |node: &str, name: &str, value: &str| Macro {
            node: node.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let of = |node, shard, replica| [row(node, "shard", shard), row(node, "replica", replica)];
        let fine: Vec<_> = of("a:9000", "01", "a").into_iter().chain(of("b:9000", "01", "b")).collect();
        assert!(check_macros(&nodes, &fine).is_ok());
        let error = check_macros(&nodes, &fine[..3]).unwrap_err();
        assert!(
            matches!(&error, ClusterError::NoMacro { node, name: "replica" } if node == "b:9000"),
            "{error}"
        );
        let same: Vec<_> = of("a:9000", "01", "a").into_iter().chain(of("b:9000", "01", "a")).collect();
        let error = check_macros(&nodes, &same).unwrap_err().to_string();
        assert!(error.starts_with("a:9000 and b:9000 are both replica `a` of shard `01`"), "{error}");
    }
}
