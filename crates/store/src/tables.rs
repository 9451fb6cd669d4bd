//! Whether the tables are those that our rows are made for.
//!
//! Rows travel without the names and types of their columns. A table that was changed by hand would refuse every row, or
//! worse, take it for something else.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use crate::Store;
use crate::cluster::translate::LOCAL;
use crate::places::{Place, Retraction};
use crate::rows::{HeartbeatRow, ParkedWebhookRow, PaymentEventRow, StoredRow, TallyRow, WebhookRow};

/// Rows cannot be written into the tables as they are.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// ClickHouse could not be asked.
    #[error("ClickHouse did not tell the columns of its tables")]
    Query(#[from] clickhouse::error::Error),
    /// ClickHouse did not answer in time.
    #[error("ClickHouse did not tell the columns of its tables within {} s", COLUMNS_TIMEOUT.as_secs())]
    TimedOut,
    /// A column is absent: `migrate` has not run, or somebody dropped it.
    #[error("{table} has no column {column}: run `tillwatch migrate`")]
    Missing {
        /// Which table.
        table: String,
        /// Which column.
        column: &'static str,
    },
    /// A column has another type than it was created with.
    #[error("{table}.{column} is of type {found}, and must be {expected}: change it back")]
    Type {
        /// Which table.
        table: String,
        /// Which column.
        column: &'static str,
        /// Its type.
        found: String,
        /// The type it was created with.
        expected: &'static str,
    },
}

/// It is a look at a few hundred rows in memory.
const COLUMNS_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Row, Deserialize)]
struct Column {
    table: String,
    name: String,
    kind: String,
}

impl Store {
    /// Compares every table that is written with the rows of this build.
    pub async fn check_tables(&self) -> Result<(), TablesError> {
        let sql = "SELECT table, name, type AS kind FROM system.columns WHERE database = currentDatabase()";
        let client = self.insert_client();
        let columns: Vec<Column> =
            match tokio::time::timeout(COLUMNS_TIMEOUT, client.query_raw(sql).fetch_all()).await {
                Ok(columns) => columns?,
                Err(_) => return Err(TablesError::TimedOut),
            };
        // On a cluster in both: those that are written to, and this server's part of what is behind them.
        let behind = self.cluster().map(|_| LOCAL);
        for suffix in [""].into_iter().chain(behind) {
            check::<WebhookRow<'_>>(&columns, suffix)?;
            check::<PaymentEventRow<'_>>(&columns, suffix)?;
            check::<Retraction>(&columns, suffix)?;
            check::<Place<'_>>(&columns, suffix)?;
            check::<ParkedWebhookRow<'_>>(&columns, suffix)?;
            check::<HeartbeatRow<'_>>(&columns, suffix)?;
            check::<TallyRow<'_>>(&columns, suffix)?;
        }
        Ok(())
    }
}

fn check<T: StoredRow>(columns: &[Column], suffix: &str) -> Result<(), TablesError> {
    let table = format!("{}{suffix}", T::TABLE);
    for (column, expected) in T::COLUMN_NAMES.iter().copied().zip(T::TYPES.iter().copied()) {
        let found = columns.iter().find(|found| found.table == table && found.name == column);
        let found = found.ok_or_else(|| TablesError::Missing { table: table.clone(), column })?;
        if found.kind != expected {
            return Err(TablesError::Type { table, column, found: found.kind.clone(), expected });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types<T: StoredRow>() -> (usize, usize) {
        (T::COLUMN_NAMES.len(), T::TYPES.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_clickhouse_that_does_not_tell_its_columns_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Store::new(&format!("http://{}", silent.local_addr().unwrap()), "default", None, "d");
        assert!(matches!(store.check_tables().await, Err(TablesError::TimedOut)));
    }

    #[test]
    fn every_column_has_its_type() {
        for (columns, types) in [
            types::<WebhookRow<'_>>(),
            types::<PaymentEventRow<'_>>(),
            types::<Retraction>(),
            types::<Place<'_>>(),
            types::<ParkedWebhookRow<'_>>(),
            types::<HeartbeatRow<'_>>(),
            types::<TallyRow<'_>>(),
        ] {
            assert_eq!(columns, types);
        }
    }
}
