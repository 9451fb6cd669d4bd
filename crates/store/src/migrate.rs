//! Creates and upgrades the tables: `migrations/*.sql`, in order, each once; and sets how long rows are kept.
//!
//! ClickHouse has no transactions over DDL and no locks to take, so safety is in the statements: each is idempotent
//! (`IF NOT EXISTS`), two migrators that start at once both succeed, and one that is killed half-way is finished by
//! the next. What was applied is recorded with its checksum: a migration that was edited after it was applied
//! somewhere is an error, not a surprise.
//!
//! On a cluster each statement is rewritten by [`translate`], and a server that lacks a table gets it.

use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::cluster::in_turn;
use crate::cluster::translate::translate;
use crate::{Store, refusal};

mod error;
mod prepare;
mod retention;

pub use error::MigrateError;
pub use retention::Retention;

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
    Migration { version: 5, name: "completeness", sql: include_str!("../migrations/0005_completeness.sql") },
    Migration { version: 6, name: "replay", sql: include_str!("../migrations/0006_replay.sql") },
];

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS {database}.schema_migrations
    (version UInt32, name String, checksum String, applied_at DateTime('UTC') DEFAULT now())
    ENGINE = ReplacingMergeTree(applied_at) ORDER BY version";

#[derive(Row, Deserialize)]
struct Applied {
    version: u32,
    checksum: String,
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

    async fn apply(&self, migration: &Migration, checksum: &str) -> Result<(), MigrateError> {
        for statement in statements(migration.sql) {
            self.change(migration.name, &statement).await?;
        }
        let record = format!(
            "INSERT INTO {{database}}.schema_migrations (version, name, checksum) VALUES ({}, '{}', '{checksum}')",
            migration.version, migration.name
        );
        let sql = self.complete(&record);
        let record = in_turn(|| self.sequential_client().query_raw(&sql).execute());
        within_limit(migration.name, &sql, record).await
    }

    async fn applied(&self) -> Result<Vec<Applied>, MigrateError> {
        self.ask("SELECT version, checksum FROM schema_migrations FINAL ORDER BY version").await
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
        let answer = in_turn(|| async { self.sequential_client().query_raw(sql).fetch_all().await });
        within_limit("schema_migrations", sql, answer).await
    }
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
    use crate::cluster::{Cluster, InsertQuorum};

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
