//! A connection to ClickHouse, embedded or not: the same client either way.

use std::time::Duration;

use clickhouse::Client;
use payments::Secret;

use crate::cluster::Cluster;
use crate::connect::{self, ConnectError, Tls};
use crate::engine::{LANE_HEADER, WRITES};

/// ClickHouse, and the database that holds the tables.
#[derive(Clone)]
pub struct Store {
    client: Client,
    database: String,
    cluster: Option<Cluster>,
    /// Rows go to the tables of a replay, and not to those that are read.
    staged: bool,
}

/// ClickHouse did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It answered with an error, or not at all.
    #[error("ClickHouse cannot {action}")]
    Query {
        /// What it was asked: `answer a ping`.
        action: &'static str,
        /// What it said.
        #[source]
        source: clickhouse::error::Error,
    },
    /// It did not answer in time.
    #[error("ClickHouse did not {action} within {} ms", .within.as_millis())]
    TimedOut {
        /// What it was asked.
        action: &'static str,
        /// How long was waited.
        within: Duration,
    },
}

/// A ping is a constant: what takes longer is not there.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two pings while waiting for ClickHouse.
const READY_LOOK: Duration = Duration::from_millis(100);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client holds the password.
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// A connection to `url` (`http://host:8123`); nothing is sent yet.
    pub fn new(url: &str, user: &str, password: Option<&Secret>, database: &str) -> Self {
        Self::over(Client::default().with_url(url), user, password, database)
    }

    /// A connection to the server at `addresses`, or to several of one cluster, separated by commas: the first that takes a
    /// connection is used, and the next when it no longer does.
    pub fn connect(
        addresses: &str,
        tls: &Tls,
        user: &str,
        password: Option<&Secret>,
        database: &str,
    ) -> Result<Self, ConnectError> {
        Ok(Self::over(connect::client(addresses, tls)?, user, password, database))
    }

    fn over(client: Client, user: &str, password: Option<&Secret>, database: &str) -> Self {
        let mut client = client.with_user(user);
        if let Some(password) = password {
            client = client.with_password(password.expose());
        }
        Self { client, database: database.to_owned(), cluster: None, staged: false }
    }

    /// The same, its tables on a cluster.
    #[must_use]
    pub fn on_cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// The same, its rows going to the tables of a [replay](crate::replay).
    pub(crate) fn staged(&self) -> Self {
        Self { staged: true, ..self.clone() }
    }

    /// Whether its rows go to the tables of a replay.
    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }

    /// Where rows of `table` go.
    pub(crate) fn table(&self, table: &str) -> String {
        if self.staged { crate::replay::staged(table) } else { table.to_owned() }
    }

    /// The client, its database set: for readers with SQL of their own.
    pub fn client(&self) -> Client {
        let client = self.client.clone().with_database(self.database.as_str());
        match &self.cluster {
            Some(cluster) => cluster.for_rows(client),
            None => client,
        }
    }

    /// The client for inserts: our rows' columns are compared with the tables once, by
    /// [`check_tables`](Self::check_tables), so the schema is not asked for before every insert. The embedded engine
    /// keeps a connection free for it, whatever readers ask meanwhile; a server ignores the header.
    ///
    /// Live traffic lies in one or two days. A replay lies in as many partitions as it does, in smaller batches too, so
    /// ClickHouse's limit for one insert would only refuse it.
    ///
    /// A batch is whole already. Gathered with others first, as 26.7 does by default, it would wait longer, and
    /// its token would be remembered elsewhere or not at all.
    ///
    /// Copies within a batch are collapsed at the first merge and not at the insert, which would cost a tenth of it:
    /// every reader passes over copies in other parts anyway.
    pub(crate) fn insert_client(&self) -> Client {
        self.client()
            .with_validation(false)
            .with_header(LANE_HEADER, WRITES)
            .with_setting("async_insert", "0")
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("optimize_on_insert", "0")
    }

    /// The same for what everybody must see once it is written.
    pub(crate) fn sequential_client(&self) -> Client {
        let client = self.insert_client();
        match &self.cluster {
            Some(cluster) => cluster.in_sequence(client),
            None => client,
        }
    }

    /// The client without a database, for statements that change tables: before it exists.
    pub(crate) fn bare_client(&self) -> Client {
        let client = self.client.clone();
        match &self.cluster {
            Some(cluster) => cluster.for_statements(client),
            None => client,
        }
    }

    /// The cluster that the tables are on.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let action = "answer a ping";
        match tokio::time::timeout(PING_TIMEOUT, self.client.query("SELECT 1").fetch_one::<u8>()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(StoreError::Query { action, source }),
            Err(_) => Err(StoreError::TimedOut { action, within: PING_TIMEOUT }),
        }
    }

    /// Waits until it answers, at most `within`; the error is that of the last attempt.
    pub async fn wait_until_ready(&self, within: Duration) -> Result<(), StoreError> {
        let mut last = Err(StoreError::TimedOut { action: "answer a ping", within });
        let _elapsed = tokio::time::timeout(within, async {
            loop {
                last = self.ping().await;
                if last.is_ok() {
                    return;
                }
                tokio::time::sleep(READY_LOOK).await;
            }
        })
        .await;
        last
    }
}
