//! Creates and upgrades the tables: `migrations/*.sql`, in order, each once; and sets how long rows are kept.
//!
//! ClickHouse has no transactions over DDL and no locks to take, so safety is in the statements: each is idempotent
//! (`IF NOT EXISTS`), two migrators that start at once both succeed, and one that is killed half-way is finished by
//! the next. What was applied is recorded with its checksum: a migration that was edited after it was applied
//! somewhere is an error, not a surprise.
//!
//! Retention is no migration: it follows the configuration, whatever it was before.
//!
//! On a cluster each statement is rewritten by [`translate`], and a server that lacks a table gets it.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::cluster::inspect::ClusterError;
use crate::cluster::translate::{Untranslatable, local, translate};
use crate::cluster::{Cluster, DDL_TIMEOUT, in_turn};
use crate::{Store, refusal};

/// How long rows are kept, in days; 0 keeps them for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw requests.
    pub webhooks_days: u32,
    /// Facts, and with them `payment_minutes`, which is a view of them.
    pub payment_events_days: u32,
    /// Requests that could not be parsed.
    pub parked_webhooks_days: u32,
    /// Alert history.
    pub alert_transitions_days: u32,
    /// Signs of life.
    pub heartbeats_days: u32,
}

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations applied now.
    pub applied: Vec<&'static str>,
    /// How many had been applied before.
    pub already: usize,
    /// Tables whose retention is another one now.
    pub retention_changed: Vec<&'static str>,
    /// Tables and views that some server of the cluster lacked, and has now.
    pub completed: Vec<String>,
}

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

/// ClickHouse's code for a statement `ON CLUSTER` that some server has not carried out in time.
const UNFINISHED: u32 = 159;

/// No statement works through rows: one that takes longer has no answer.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// One migration as shipped.
struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

/// All of them; a new one is one line and one file, and an applied one is never edited.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "webhooks", sql: include_str!("../migrations/0001_webhooks.sql") },
    Migration {
        version: 2,
        name: "payment_events",
        sql: include_str!("../migrations/0002_payment_events.sql"),
    },
    Migration { version: 3, name: "operations", sql: include_str!("../migrations/0003_operations.sql") },
    Migration {
        version: 4,
        name: "compact_parts",
        sql: include_str!("../migrations/0004_compact_parts.sql"),
    },
];

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS {database}.schema_migrations
    (version UInt32, name String, checksum String, applied_at DateTime('UTC') DEFAULT now())
    ENGINE = ReplacingMergeTree(applied_at) ORDER BY version";

#[derive(Row, Deserialize)]
struct Applied {
    version: u32,
    checksum: String,
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    engine_full: String,
}

impl Retention {
    /// Table, column that tells a row's age, days. Our own clock tells the age of what providers send: a provider's
    /// clock may be years off.
    fn tables(&self) -> [(&'static str, &'static str, u32); 6] {
        [
            ("webhooks_stored", "received_at", self.webhooks_days),
            ("payment_events_stored", "received_at", self.payment_events_days),
            ("payment_event_places", "received_at", self.payment_events_days),
            ("parked_webhooks_stored", "stored_at", self.parked_webhooks_days),
            ("heartbeats_stored", "sent_at", self.heartbeats_days),
            ("alert_transitions_stored", "at", self.alert_transitions_days),
        ]
    }
}

impl Store {
    /// Brings the tables up to date and applies the retention.
    pub async fn migrate(&self, retention: Retention) -> Result<Migrated, MigrateError> {
        let completed = self.prepare().await?;
        let applied = self.applied().await?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Some(newer) = applied.iter().find(|row| row.version > known) {
            return Err(MigrateError::Newer { found: newer.version, known });
        }
        let mut migrated = Migrated { completed, ..Migrated::default() };
        for migration in MIGRATIONS {
            let checksum = hex::encode(Sha256::digest(migration.sql));
            match applied.iter().find(|row| row.version == migration.version) {
                Some(row) if row.checksum == checksum => migrated.already += 1,
                Some(_) => {
                    return Err(MigrateError::Changed { version: migration.version, name: migration.name });
                }
                None => {
                    self.apply(migration, &checksum).await?;
                    migrated.applied.push(migration.name);
                }
            }
        }
        migrated.retention_changed = self.apply_retention(retention).await?;
        Ok(migrated)
    }

    /// Creates the database and the table of records. On a cluster only if they are missing: a server that is away would
    /// hold up every start. Returns what else a server there lacked.
    async fn prepare(&self) -> Result<Vec<String>, MigrateError> {
        let (database, records) = ("CREATE DATABASE IF NOT EXISTS {database}", RECORDS);
        let Some(cluster) = self.cluster() else {
            self.change("database", database).await?;
            self.change("schema_migrations", records).await?;
            return Ok(Vec::new());
        };
        let client = self.bare_client();
        cluster.inspect(&client).await?;
        let ours = created(cluster, self.database());
        if !self.has_records().await? {
            self.change("database", database).await?;
        }
        let missing = cluster.missing(&client, self.database(), &ours).await?;
        for table in &missing {
            self.run("schema", &table.statement).await?;
        }
        if !self.has_records().await? {
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

    async fn apply(&self, migration: &Migration, checksum: &str) -> Result<(), MigrateError> {
        for statement in statements(migration.sql) {
            self.change(migration.name, &statement).await?;
        }
        let record = format!(
            "INSERT INTO {{database}}.schema_migrations (version, name, checksum) VALUES ({}, '{}', '{checksum}')",
            migration.version, migration.name
        );
        let sql = self.complete(&record);
        let record = in_turn(async || self.sequential_client().query_raw(&sql).execute().await);
        within_limit(migration.name, &sql, record).await
    }

    async fn applied(&self) -> Result<Vec<Applied>, MigrateError> {
        self.ask("SELECT version, checksum FROM schema_migrations FINAL ORDER BY version").await
    }

    /// Sets the TTL of the tables that have another one. Parts written before take it over too, in the background.
    async fn apply_retention(&self, retention: Retention) -> Result<Vec<&'static str>, MigrateError> {
        let tables: Vec<Table> = self
            .ask("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
            .await?;
        let mut changed = Vec::new();
        for (name, age, days) in retention.tables() {
            let stored = if self.cluster().is_some() { local(name) } else { name.to_owned() };
            let found = tables.iter().find(|table| table.name == stored);
            let engine = found.map_or("", |table| table.engine_full.as_str());
            let ttl = format!("TTL toDateTime({age}) + toIntervalDay({days})");
            let change = match (days, engine.contains(" TTL ")) {
                (0, false) => continue,
                (0, true) => "REMOVE TTL".to_owned(),
                (_, true) if engine.contains(&format!(" {ttl} SETTINGS")) => continue,
                _ => format!("MODIFY {ttl}"),
            };
            self.change("retention", &format!("ALTER TABLE {{database}}.{name} {change}")).await?;
            changed.push(name);
        }
        Ok(changed)
    }

    /// Carries out a statement as the migrations write it, on every server that it concerns.
    async fn change(&self, migration: &'static str, statement: &str) -> Result<(), MigrateError> {
        let Some(cluster) = self.cluster() else { return self.run(migration, statement).await };
        let forms = translate(statement, cluster, self.database()).map_err(|source| {
            MigrateError::Untranslated { migration, statement: beginning(statement), source }
        })?;
        for form in forms {
            self.run(migration, &form).await?;
        }
        Ok(())
    }

    async fn run(&self, migration: &'static str, statement: &str) -> Result<(), MigrateError> {
        let sql = self.complete(statement);
        let done = within_limit(migration, &sql, self.bare_client().query_raw(&sql).execute()).await;
        match (done, self.cluster()) {
            (Err(MigrateError::Statement { migration, statement, source }), Some(cluster))
                if refusal::code(&source.to_string()) == Some(UNFINISHED) =>
            {
                Err(MigrateError::Unfinished { migration, cluster: cluster.name.clone(), statement, source })
            }
            (done, _) => done,
        }
    }

    fn complete(&self, statement: &str) -> String {
        statement.replace("{database}", &quoted(self.database()))
    }

    async fn ask<T>(&self, sql: &'static str) -> Result<Vec<T>, MigrateError>
    where
        T: RowOwned + RowRead,
    {
        let answer = in_turn(async || self.sequential_client().query_raw(sql).fetch_all().await);
        within_limit("schema_migrations", sql, answer).await
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

/// What `answer` comes to, waited for at most [`STATEMENT_TIMEOUT`].
async fn within_limit<T>(
    migration: &'static str,
    sql: &str,
    answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, MigrateError> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, answer).await {
        Ok(answer) => {
            answer.map_err(|source| MigrateError::Statement { migration, statement: beginning(sql), source })
        }
        Err(_) => Err(MigrateError::TimedOut { migration, statement: beginning(sql) }),
    }
}

/// Enough of a statement to find it.
fn beginning(sql: &str) -> String {
    sql.lines().next().unwrap_or_default().chars().take(80).collect()
}

/// An identifier as SQL writes it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The statements of a file: separated by `;` at the end of a line, comment lines left out.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    let statements = code.split(";\n").map(|text| text.trim().trim_end_matches(';').to_owned());
    statements.filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InsertQuorum;

    #[test]
    fn nothing_is_left_to_replace_but_the_database() {
        for migration in MIGRATIONS {
            for statement in statements(migration.sql) {
                let statement = statement.replace("{database}", &quoted("d"));
                assert!(!statement.contains(['{', '}', ';']), "{statement}");
            }
        }
    }

    #[test]
    fn every_statement_can_be_run_twice() {
        for migration in MIGRATIONS {
            for statement in statements(migration.sql) {
                let idempotent = ["IF NOT EXISTS", "IF EXISTS", "CREATE OR REPLACE VIEW", "MODIFY SETTING"];
                assert!(idempotent.iter().any(|words| statement.contains(words)), "{statement}");
            }
        }
    }

    #[test]
    fn every_statement_has_its_form_on_a_cluster() {
        let cluster = Cluster { name: "c".to_owned(), insert_quorum: InsertQuorum::Majority };
        for migration in MIGRATIONS {
            for statement in statements(migration.sql) {
                let forms = translate(&statement, &cluster, "d");
                let forms = forms.unwrap_or_else(|error| panic!("{}: {statement}: {error}", migration.name));
                assert!(forms.iter().all(|form| form.contains(" ON CLUSTER `c`")), "{forms:?}");
            }
        }
    }

    #[test]
    fn a_server_that_joins_gets_all_that_migrations_create() {
        let cluster = Cluster { name: "c".to_owned(), insert_quorum: InsertQuorum::Majority };
        let created = created(&cluster, "d");
        for name in ["schema_migrations", "webhooks", "webhooks_stored", "webhooks_stored_local", "payment_minutes"] {
            assert!(created.contains(name), "{name} is not in {created:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clickhouse_that_takes_a_statement_and_never_answers_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Store::new(&format!("http://{}", silent.local_addr().unwrap()), "default", None, "d");
        let error = store.run("database", "CREATE DATABASE IF NOT EXISTS {database}").await.unwrap_err();
        assert!(matches!(error, MigrateError::TimedOut { migration: "database", .. }), "{error}");
        assert!(!error.lasts());
    }

    #[test]
    fn versions_rise_by_one() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert!(versions.iter().copied().eq(1..=u32::try_from(versions.len()).unwrap()));
    }

    #[test]
    fn a_database_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a`b\\"), "`a\\`b\\\\`");
    }
}
