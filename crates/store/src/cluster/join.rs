//! Gives a server what it lacks: one that joined after the tables were made, or was away when a migration ran.
//!
//! Applying the migrations there again would not do. A replica must be created as its table is now, with the columns and
//! the retention that it got since, or Keeper's record of the table refuses it; and views would be put back to what they
//! were. So each table is created as another server describes it.

use std::collections::BTreeSet;

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::Cluster;
use super::inspect::{ClusterError, NODE, THOSE_THERE};
use super::translate::LOCAL;

/// A table of ours as one server has it.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Found {
    node: String,
    name: String,
    engine: String,
    created_by: String,
}

/// What a server lacks, and the statement that creates it wherever it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Name of the table or view.
    pub(crate) name: String,
    /// `{database}` is written out in it.
    pub(crate) statement: String,
}

impl Cluster {
    /// What servers that are there lack of the tables and views called `ours`, in the order in which they are created.
    pub(crate) async fn missing(
        &self,
        client: &Client,
        database: &str,
        ours: &BTreeSet<String>,
    ) -> Result<Vec<Missing>, ClusterError> {
        let sql = format!(
            "SELECT {NODE} AS node, name, engine, create_table_query AS created_by FROM {} \
             WHERE database = '{database}' ORDER BY node, name {THOSE_THERE}",
            self.every_server("system.tables")
        );
        let nodes = self.nodes(client).await?;
        let found: Vec<Found> = client.query_raw(&sql).fetch_all().await?;
        self.compare(&nodes, &found, ours)
    }

    fn compare(
        &self,
        nodes: &[String],
        found: &[Found],
        ours: &BTreeSet<String>,
    ) -> Result<Vec<Missing>, ClusterError> {
        let should_be_over_others =
            |table: &&Found| ours.contains(&table.name) && ours.contains(&format!("{}{LOCAL}", table.name));
        if let Some(one) =
            found.iter().filter(should_be_over_others).find(|table| table.engine != "Distributed")
        {
            let Found { node, name, engine, .. } = one.clone();
            return Err(ClusterError::OneServers { node, table: name, engine });
        }
        let mut missing = Vec::new();
        // A `Distributed` table is over the replicas', and a view over that.
        let layers: [fn(&str) -> bool; 3] = [
            |engine| engine.ends_with("MergeTree"),
            |engine| engine == "Distributed",
            |engine| engine == "View",
        ];
        for in_layer in layers {
            for name in ours {
                let having: Vec<&Found> =
                    found.iter().filter(|table| table.name == *name && in_layer(&table.engine)).collect();
                let Some(example) = having.first() else { continue };
                if nodes.iter().any(|node| !having.iter().any(|table| table.node == *node)) {
                    missing.extend(self.creation(example));
                }
            }
        }
        Ok(missing)
    }

    /// `CREATE TABLE d.x (…` as `CREATE TABLE IF NOT EXISTS d.x ON CLUSTER … (…`.
    fn creation(&self, example: &Found) -> Option<Missing> {
        let (create, rest) = ["CREATE TABLE ", "CREATE VIEW "]
            .iter()
            .find_map(|create| Some((*create, example.created_by.strip_prefix(create)?)))?;
        let (name, rest) = rest.split_once(' ')?;
        let statement = format!("{create}IF NOT EXISTS {name} ON CLUSTER `{}` {rest}", self.name);
        Some(Missing { name: example.name.clone(), statement })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InsertQuorum;

    fn found(node: &str, name: &str, engine: &str, created_by: &str) -> Found {
        let [node, name, engine, created_by] = [node, name, engine, created_by].map(str::to_owned);
        Found { node, name, engine, created_by }
    }

    #[test]
    fn a_server_that_joined_gets_tables_first_and_views_last() {
        let cluster = Cluster { name: "c".to_owned(), insert_quorum: InsertQuorum::Majority };
        let nodes = ["a:1".to_owned(), "b:1".to_owned()];
        let ours = ["events", "events_stored", "events_stored_local"].map(str::to_owned).into();
        let have = [
            found(
                "a:1",
                "events",
                "View",
                "CREATE VIEW d.events (`a` UInt8) AS SELECT a FROM d.events_stored FINAL",
            ),
            found(
                "a:1",
                "events_stored",
                "Distributed",
                "CREATE TABLE d.events_stored (`a` UInt8) ENGINE = D",
            ),
            found(
                "a:1",
                "events_stored_local",
                "ReplicatedMergeTree",
                "CREATE TABLE d.events_stored_local (a) TTL x",
            ),
            found("a:1", "somebody_elses", "MergeTree", "CREATE TABLE d.somebody_elses (a UInt8) ENGINE = M"),
        ];
        let statements: Vec<String> = cluster
            .compare(&nodes, &have, &ours)
            .unwrap()
            .into_iter()
            .map(|missing| missing.statement)
            .collect();
        assert_eq!(
            statements,
            [
                "CREATE TABLE IF NOT EXISTS d.events_stored_local ON CLUSTER `c` (a) TTL x",
                "CREATE TABLE IF NOT EXISTS d.events_stored ON CLUSTER `c` (`a` UInt8) ENGINE = D",
                "CREATE VIEW IF NOT EXISTS d.events ON CLUSTER `c` (`a` UInt8) AS SELECT a FROM d.events_stored FINAL",
            ]
        );
        let mut all = have.to_vec();
        all.extend(have.iter().map(|table| Found { node: "b:1".to_owned(), ..table.clone() }));
        assert_eq!(cluster.compare(&nodes, &all, &ours).unwrap(), []);
        assert_eq!(cluster.compare(&nodes[..1], &have, &ours).unwrap(), []);
    }
}
