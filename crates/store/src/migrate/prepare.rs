//! What must be there before the first migration: the database, the records, and on a cluster every server's tables.

use std::collections::BTreeSet;

use super::{MIGRATIONS, MigrateError, RECORDS, STATEMENT_TIMEOUT, statements, within_limit};
use crate::Store;
use crate::cluster::Cluster;
use crate::cluster::inspect::ClusterError;
use crate::cluster::translate::translate;

impl Store {
    /// Creates the database and the table of records. On a cluster only if they are missing: a server that is away would
    /// hold up every start. Returns what else a server there lacked.
    pub(super) async fn prepare(&self) -> Result<Vec<String>, MigrateError> {
        let (database, records) = ("CREATE DATABASE IF NOT EXISTS {database}", RECORDS);
        let Some(cluster) = self.cluster() else {
            self.change("database", database).await?;
            self.change("schema_migrations", records).await?;
            return Ok(Vec::new());
        };
        let client = self.bare_client();
        let ours = created(cluster, self.database());
        let looked = async {
            cluster.inspect(&client).await?;
            cluster.missing(&client, self.database(), &ours).await
        };
        let missing = match tokio::time::timeout(STATEMENT_TIMEOUT, looked).await {
            Ok(missing) => missing?,
            Err(_) => return Err(MigrateError::Cluster(ClusterError::TimedOut)),
        };
        let is_new = !self.has_records().await?;
        if is_new || !missing.is_empty() {
            self.change("database", database).await?;
        }
        for table in &missing {
            self.run("schema", &table.statement).await?;
        }
        if is_new {
            self.change("schema_migrations", records).await?;
        }
        Ok(missing.into_iter().map(|table| table.name).collect())
    }

    async fn has_records(&self) -> Result<bool, MigrateError> {
        let sql = format!(
            "SELECT count() FROM system.tables WHERE database = '{}' AND name = 'schema_migrations'",
            self.database()
        );
        let count = self.bare_client().query_raw(&sql).fetch_one::<u64>();
        Ok(within_limit("schema_migrations", &sql, count).await? > 0)
    }
}

/// Names of all that the migrations create on a cluster, whether or not a later one drops it.
fn created(cluster: &Cluster, database: &str) -> BTreeSet<String> {
    let statements = MIGRATIONS.iter().flat_map(|migration| statements(migration.sql));
    let forms = statements.chain([RECORDS.to_owned()]).flat_map(|statement| {
        // One that cannot be translated is an error where it is applied.
        translate(&statement, cluster, database).unwrap_or_default()
    });
    let name = |form: String| {
        let (create, rest) = form.split_once("{database}.")?;
        let end = rest.find(char::is_whitespace)?;
        create.starts_with("CREATE").then(|| rest.get(..end).unwrap_or_default().to_owned())
    };
    forms.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InsertQuorum;

    #[test]
    fn a_server_that_joins_gets_all_that_migrations_create() {
        let cluster = Cluster { name: "c".to_owned(), insert_quorum: InsertQuorum::Majority };
        let created = created(&cluster, "d");
        for name in
            ["schema_migrations", "webhooks", "webhooks_stored", "webhooks_stored_local", "payment_minutes"]
        {
            assert!(created.contains(name), "{name} is not in {created:?}");
        }
    }
}
