//! Creates and upgrades the tables: `migrations/*.sql`, in order, each once; and sets how long rows are kept.
//!
//! ClickHouse has no transactions over DDL and no locks to take, so safety is in the statements: each is idempotent
//! (`IF NOT EXISTS`), two migrators that start at once both succeed, and one that is killed half-way is finished by
//! the next. What was applied is recorded with its checksum: a migration that was edited after it was applied
//! somewhere is an error, not a surprise.
//!
//! Retention is no migration: it follows the configuration, whatever it was before.

use std::time::Duration;

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Store;

/// How long rows are kept, in days; 0 keeps them for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw requests, and what ingest counted of them.
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
        matches!(self, Self::Changed { .. } | Self::Newer { .. })
    }
}

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
    fn tables(&self) -> [(&'static str, &'static str, u32); 7] {
        [
            // Before the webhooks it counts, here and by half a day: rows that are gone are not missing.
            ("acknowledged_stored", "aged_from", self.webhooks_days),
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
        self.run("database", "CREATE DATABASE IF NOT EXISTS {database}").await?;
        self.run("schema_migrations", RECORDS).await?;
        let applied = self.applied().await?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Some(newer) = applied.iter().find(|row| row.version > known) {
            return Err(MigrateError::Newer { found: newer.version, known });
        }
        let mut migrated = Migrated::default();
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
            self.run(migration.name, &statement).await?;
        }
        let record = format!(
            "INSERT INTO {{database}}.schema_migrations (version, name, checksum) VALUES ({}, '{}', '{checksum}')",
            migration.version, migration.name
        );
        self.run(migration.name, &record).await
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
            let found = tables.iter().find(|table| table.name == name);
            let engine = found.map_or("", |table| table.engine_full.as_str());
            let ttl = format!("TTL toDateTime({age}) + toIntervalDay({days})");
            let change = match (days, engine.contains(" TTL ")) {
                (0, false) => continue,
                (0, true) => "REMOVE TTL".to_owned(),
                (_, true) if engine.contains(&format!(" {ttl} SETTINGS")) => continue,
                _ => format!("MODIFY {ttl}"),
            };
            self.run("retention", &format!("ALTER TABLE {{database}}.{name} {change}")).await?;
            changed.push(name);
        }
        Ok(changed)
    }

    async fn run(&self, migration: &'static str, statement: &str) -> Result<(), MigrateError> {
        let sql = statement.replace("{database}", &quoted(self.database()));
        within_limit(migration, &sql, self.bare_client().query_raw(&sql).execute()).await
    }

    async fn ask<T>(&self, sql: &'static str) -> Result<Vec<T>, MigrateError>
    where
        T: RowOwned + RowRead,
    {
        within_limit("schema_migrations", sql, self.client().query_raw(sql).fetch_all()).await
    }
}

/// What `answer` comes to, waited for at most [`STATEMENT_TIMEOUT`].
async fn within_limit<T>(
    migration: &'static str,
    sql: &str,
    answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, MigrateError> {
    let statement = || sql.lines().next().unwrap_or_default().chars().take(80).collect();
    match tokio::time::timeout(STATEMENT_TIMEOUT, answer).await {
        Ok(answer) => {
            answer.map_err(|source| MigrateError::Statement { migration, statement: statement(), source })
        }
        Err(_) => Err(MigrateError::TimedOut { migration, statement: statement() }),
    }
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
