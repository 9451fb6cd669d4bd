//! Reading ClickHouse: bounded in time, with the rule's own row types.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row, RowOwned, RowRead};

use crate::completeness::Memo;

/// The window of an evaluation may be read; nothing is written through this.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    timeout: Duration,
    pub(crate) completeness: Arc<Memo>,
}

/// How often completeness is asked for, where nothing else is said.
const COMPLETENESS_EVERY: Duration = Duration::from_mins(1);

/// Longest statement with its values, in bytes.
const QUERY_BYTES_MAX: &str = "4194304";

/// A query that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// ClickHouse refused or could not be reached.
    #[error("ClickHouse does not answer the query")]
    ClickHouse(#[source] clickhouse::error::Error),
    /// It took too long.
    #[error("the query took longer than {} ms (alerting.query_timeout_ms)", .0.as_millis())]
    Timeout(Duration),
    /// It was asked a moment ago, for another purpose, and failed.
    #[error("the query failed a moment ago")]
    FailedBefore,
}

impl Reader {
    /// Reads through `client`, at most `timeout` per query.
    pub fn new(client: Client, timeout: Duration) -> Self {
        // ClickHouse stops working on it too, a moment after we stopped waiting.
        let seconds = timeout.as_secs().saturating_add(1).to_string();
        let client = client.with_setting("max_execution_time", seconds);
        // A statement may name a thousand slices.
        let client = client.with_setting("max_query_size", QUERY_BYTES_MAX);
        Self { client, timeout, completeness: Arc::new(Memo::new(COMPLETENESS_EVERY)) }
    }

    /// Asks for completeness once in `every`.
    #[must_use]
    pub fn with_completeness_every(mut self, every: Duration) -> Self {
        self.completeness = Arc::new(Memo::new(every));
        self
    }

    /// All rows of `sql`, whose `?` are bound by `bind` in order.
    pub async fn rows<T: RowOwned + RowRead + Row>(&self, sql: Sql) -> Result<Vec<T>, QueryError> {
        let mut query = self.client.query(&sql.text);
        for bound in sql.bound {
            query = match bound {
                Bound::Texts(texts) => query.bind(texts),
                Bound::Lists(lists) => query.bind(lists),
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        match tokio::time::timeout(self.timeout, query.fetch_all::<T>()).await {
            Ok(rows) => rows.map_err(QueryError::ClickHouse),
            Err(_) => Err(QueryError::Timeout(self.timeout)),
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// A statement and its values. Values never become part of the text.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    text: String,
    bound: Vec<Bound>,
}

#[derive(Clone, Debug)]
enum Bound {
    Lists(Vec<Vec<String>>),
    Texts(Vec<String>),
    Text(String),
    Number(i64),
}

impl Sql {
    /// Starts with `text`.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), bound: Vec::new() }
    }

    /// Appends text without values.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        let _ = write!(self.text, " {text}");
        self
    }

    /// Appends text with one `?` for a number.
    #[must_use]
    pub fn number(mut self, text: &str, number: i64) -> Self {
        self.bound.push(Bound::Number(number));
        self.text(text)
    }

    /// Appends text with one `?` for a text.
    #[must_use]
    pub fn value(mut self, text: &str, value: &str) -> Self {
        self.bound.push(Bound::Text(value.to_owned()));
        self.text(text)
    }

    /// Appends text with one `?` for a list of lists of texts.
    #[must_use]
    pub fn lists(mut self, text: &str, lists: Vec<Vec<String>>) -> Self {
        self.bound.push(Bound::Lists(lists));
        self.text(text)
    }

    /// Appends text with one `?` for a list of texts.
    #[must_use]
    pub fn values(mut self, text: &str, values: &[String]) -> Self {
        self.bound.push(Bound::Texts(values.to_vec()));
        self.text(text)
    }
}
