//! Inserting a batch into one table, and what to do when ClickHouse refuses it.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use sha2::{Digest as _, Sha256};

use crate::Store;
use crate::places::Place;
use crate::refusal;
use crate::rows::StoredRow;

/// What to do about a failed insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may pass later, unchanged.
    Retry,
    /// It may pass later, or in smaller pieces; no row alone is at fault.
    RetrySmaller,
    /// Something in the batch is refused and always will be: find it by halving.
    Split,
    /// The same, unless the batch was cut on its way: a row alone is refused only if it is so several times.
    SplitIfRepeated,
}

/// A batch that is not, or not known to be, stored.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// ClickHouse refused, could not be reached, or did not understand.
    #[error("ClickHouse did not take {rows} rows into {table}")]
    ClickHouse {
        /// Which table.
        table: &'static str,
        /// How many rows.
        rows: usize,
        /// What it said.
        #[source]
        source: ClickHouseError,
    },
    /// The rows are stored, and older copies of them in other minutes may still be counted too. Whatever ClickHouse
    /// said, it said it about these questions and not about the rows.
    #[error("older copies of {rows} rows in {table} could not be retracted")]
    Settle {
        /// Which table.
        table: &'static str,
        /// How many rows.
        rows: usize,
        /// What it said.
        #[source]
        source: ClickHouseError,
    },
    /// It did not answer in time.
    #[error("inserting {rows} rows into {table} did not end within {} ms", .within.as_millis())]
    TimedOut {
        /// Which table.
        table: &'static str,
        /// How many rows.
        rows: usize,
        /// How long was waited.
        within: Duration,
    },
}

impl InsertError {
    /// What to do about it. A code that is not known may pass later: waiting loses nothing, splitting or parking could.
    pub fn decision(&self) -> Decision {
        let Self::ClickHouse { source, .. } = self else { return Decision::Retry };
        match source {
            // Our own encoder refused: the same row will be refused again.
            ClickHouseError::SequenceMustHaveLength
            | ClickHouseError::Custom(_)
            | ClickHouseError::InvalidTagEncoding(_)
            | ClickHouseError::VariantDiscriminatorIsOutOfBound(_) => Decision::Split,
            other => refusal::look_up(&other.to_string()).map_or(Decision::Retry, |refusal| refusal.decision),
        }
    }

    /// A stable word for metrics: ClickHouse's name of the error, `network`, `timeout`, `configuration`, `encoding`, or
    /// `unknown` for a code that nobody has decided about yet.
    pub fn name(&self) -> &'static str {
        let (Self::ClickHouse { source, .. } | Self::Settle { source, .. }) = self else { return "timeout" };
        match source {
            ClickHouseError::Network(_) => "network",
            ClickHouseError::TimedOut => "timeout",
            ClickHouseError::Unsupported(_) | ClickHouseError::InvalidParams(_) => "configuration",
            ClickHouseError::BadResponse(text) => {
                refusal::look_up(text).map_or("unknown", |refusal| refusal.name)
            }
            _ => "encoding",
        }
    }
}

/// ClickHouse's code and name of every refusal that is decided about.
pub fn known_refusals() -> impl Iterator<Item = (u32, &'static str)> {
    refusal::known()
}

impl Store {
    /// Inserts `rows` into their table in one request. An error does not say that nothing is stored: the answer may be
    /// lost on its way, and rows of several partitions are written one partition after the other. Trying again is right
    /// all the same: the same rows carry the same token, and copies collapse anyway.
    ///
    /// For facts it then retracts older copies that lie in other minutes: only then is each counted once, so a batch
    /// is acknowledged after this returns and not before.
    ///
    /// `T` is the row's type with any lifetime: `store.insert::<WebhookRow>(&rows, timeout)`.
    pub async fn insert<T>(&self, rows: &[T::Value<'_>], within: Duration) -> Result<(), InsertError>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let (table, count) = (T::TABLE, rows.len());
        let work = async {
            self.write::<T>(rows).await.map_err(|source| InsertError::ClickHouse {
                table,
                rows: count,
                source,
            })?;
            let places: Vec<Place<'_>> = rows.iter().filter_map(StoredRow::place).collect();
            self.settle(&places).await.map_err(|source| InsertError::Settle { table, rows: count, source })
        };
        match tokio::time::timeout(within, work).await {
            Ok(done) => done,
            Err(_) => Err(InsertError::TimedOut { table, rows: count, within }),
        }
    }

    /// One block, one request.
    pub(crate) async fn write<T>(&self, rows: &[T::Value<'_>]) -> Result<(), ClickHouseError>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        self.write_with::<T>(self.insert_client(), rows).await
    }

    /// The same, over a client with settings of its own.
    pub(crate) async fn write_with<T>(
        &self,
        client: Client,
        rows: &[T::Value<'_>],
    ) -> Result<(), ClickHouseError>
    where
        T: StoredRow,
        for<'a> T::Value<'a>: StoredRow,
    {
        let client = client.with_setting("insert_deduplication_token", token(rows));
        let mut insert = client.insert::<T>(&self.table(T::TABLE)).await?;
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await
    }
}

/// The same for the same rows in the same order, and for nothing else: a row that is mapped or stored anew is another.
fn token<T: StoredRow>(rows: &[T]) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        row.identity(&mut |part| digest.update(part));
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> InsertError {
        let source = ClickHouseError::BadResponse(text.to_owned());
        InsertError::ClickHouse { table: "t", rows: 1, source }
    }

    #[test]
    fn what_may_pass_later_is_retried() {
        let alone = [
            16, 20, 60, 81, 102, 115, 122, 159, 160, 164, 192, 195, 201, 202, 209, 210, 243, 252, 290, 452,
            497, 516,
        ];
        let on_a_cluster = [
            198, 225, 242, 244, 254, 265, 279, 285, 286, 288, 289, 297, 319, 364, 369, 371, 415, 416, 519,
            574, 701, 749, 762, 904, 999,
        ];
        for code in alone.into_iter().chain(on_a_cluster) {
            let error = refused(&format!("Code: {code}. DB::Exception: …"));
            assert_eq!(error.decision(), Decision::Retry, "{code}");
            assert_ne!(error.name(), "unknown", "{code}");
        }
        let within = Duration::from_secs(1);
        assert_eq!(InsertError::TimedOut { table: "t", rows: 1, within }.decision(), Decision::Retry);
        let network = ClickHouseError::Network("connection reset".into());
        let network = InsertError::ClickHouse { table: "t", rows: 1, source: network };
        assert_eq!((network.decision(), network.name()), (Decision::Retry, "network"));
    }

    /// A shard's answer comes wrapped: the first code is its own.
    #[test]
    fn what_a_shard_says_is_heard_through_the_server_that_asked_it() {
        let text = "Code: 252. DB::Exception: Received from clickhouse-2:9000. DB::Exception: Too many parts (3001). : \
                    Insertion status:\nWrote 0 blocks and 0 rows on shard 1 replica 0. (TOO_MANY_PARTS)";
        assert_eq!((refused(text).decision(), refused(text).name()), (Decision::Retry, "TOO_MANY_PARTS"));
        let text = "Code: 279. DB::NetException: All connection tries failed. Log: \n\nCode: 210. DB::NetException: \
                    Connection refused (clickhouse-2:9000). (NETWORK_ERROR)";
        assert_eq!(refused(text).name(), "ALL_CONNECTION_TRIES_FAILED");
    }

    #[test]
    fn a_code_nobody_has_decided_about_is_retried_and_called_unknown() {
        let error = refused("Code: 9999. DB::Exception: something new");
        assert_eq!((error.decision(), error.name()), (Decision::Retry, "unknown"));
    }

    #[test]
    fn data_that_no_column_holds_is_split() {
        for (code, name) in
            [(117, "INCORRECT_DATA"), (69, "ARGUMENT_OUT_OF_BOUND"), (131, "TOO_LARGE_STRING_SIZE")]
        {
            let error = refused(&format!("Code: {code}. DB::Exception: x. ({name})"));
            assert_eq!((error.decision(), error.name()), (Decision::Split, name));
        }
    }

    #[test]
    fn what_may_have_been_cut_on_its_way_is_not_refused_at_once() {
        for code in [32, 33] {
            let error = refused(&format!("Code: {code}. DB::Exception: …"));
            assert_eq!(error.decision(), Decision::SplitIfRepeated, "{code}");
        }
    }

    #[test]
    fn what_is_too_much_at_once_is_retried_in_smaller_pieces() {
        for text in [
            "Code: 241. DB::Exception: (total) memory limit exceeded",
            "Code: 173. DB::Exception: Cannot allocate memory",
            "413 Payload Too Large",
            "<html>\r\n<head><title>413 Request Entity Too Large</title></head>",
        ] {
            assert_eq!(refused(text).decision(), Decision::RetrySmaller, "{text}");
        }
    }

    #[test]
    fn what_is_said_about_older_copies_is_not_said_about_the_rows() {
        for text in
            ["Code: 117. DB::Exception: x", "Code: 241. DB::Exception: x", "Code: 9999. DB::Exception: x"]
        {
            let source = ClickHouseError::BadResponse(text.to_owned());
            let error = InsertError::Settle { table: "t", rows: 1, source };
            assert_eq!(error.decision(), Decision::Retry, "{text}");
        }
    }

    #[test]
    fn an_address_that_the_client_cannot_use_is_waited_for() {
        let source = ClickHouseError::Unsupported("scheme is not http".to_owned());
        let error = InsertError::ClickHouse { table: "t", rows: 1, source };
        assert_eq!((error.decision(), error.name()), (Decision::Retry, "configuration"));
    }

    #[test]
    fn a_row_that_our_encoder_refuses_is_split() {
        let source = ClickHouseError::Custom("no".to_owned());
        let error = InsertError::ClickHouse { table: "t", rows: 1, source };
        assert_eq!((error.decision(), error.name()), (Decision::Split, "encoding"));
    }
}
