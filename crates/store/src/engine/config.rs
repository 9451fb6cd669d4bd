//! What the engine is told at its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything [`run`](super::run) needs. Build it with [`EngineConfig::new`], then change fields.
#[derive(Clone)]
pub struct EngineConfig {
    /// The engine's shared library, as [`locate`](super::locate) finds it.
    pub library: PathBuf,
    /// The directory that holds the database (`db/`), the generated engine settings and the lock.
    /// Created when missing. One engine at a time.
    pub data_dir: PathBuf,
    /// Where to serve ClickHouse's HTTP protocol. Meant for loopback.
    pub listen: SocketAddr,
    /// When set, requests must carry it (Basic authentication, `X-ClickHouse-Key` or `password`).
    /// When not, any user and password are accepted, but no request for another host or from a web page.
    pub password: Option<String>,
    /// The engine's own limit on all its memory, in bytes. A query that would go beyond fails.
    pub memory_bytes_max: u64,
    /// How many queries of readers run at once. Each has its own thread; inserts have one of their own beside them.
    pub connections: usize,
    /// How many queries may wait for a connection of their lane; the next is answered 503 with `Code: 202`.
    pub waiting_max: usize,
    /// How long a query may wait for a connection before it is answered 503.
    pub queue_wait_max: Duration,
    /// How long a query may run unless it sets `max_execution_time` itself.
    pub query_time_max: Duration,
    /// The longest statement, in bytes. The data of an INSERT does not count.
    pub statement_bytes_max: usize,
    /// The largest request body, in bytes, after decompression.
    pub body_bytes_max: u64,
    /// The largest result that is held whole, in bytes. Formats made of independent rows are
    /// streamed and have no such limit.
    pub result_bytes_max: u64,
    /// How long a client may be silent in the middle of its body, or not read on in a streamed answer.
    pub client_idle_max: Duration,
    /// How many HTTP connections may be open; further ones wait to be accepted.
    pub clients_max: usize,
    /// How long to wait for another engine to leave the data directory.
    pub lock_wait_max: Duration,
    /// How long running queries may take to end at shutdown.
    pub drain_max: Duration,
    /// A cluster over which `Distributed` tables may be created: for trying the cluster's form of tables. Nothing is
    /// replicated, and statements `ON CLUSTER` are refused.
    pub cluster: Option<EngineCluster>,
}

/// A cluster as an engine sees it whose first shard it is itself.
#[derive(Clone, Debug)]
pub struct EngineCluster {
    /// Its name.
    pub name: String,
    /// Where a second shard speaks ClickHouse's native protocol, if there is one.
    pub other_shard: Option<SocketAddr>,
}

impl EngineConfig {
    /// The defaults: `127.0.0.1:8123`, 2 GiB of memory, 4 queries and an insert at once.
    pub fn new(library: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            library: library.into(),
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8123)),
            password: None,
            memory_bytes_max: 2 << 30,
            connections: 4,
            waiting_max: 64,
            queue_wait_max: Duration::from_secs(10),
            query_time_max: Duration::from_mins(5),
            statement_bytes_max: 1 << 20,
            body_bytes_max: 256 << 20,
            result_bytes_max: 128 << 20,
            client_idle_max: Duration::from_secs(30),
            clients_max: 256,
            lock_wait_max: Duration::from_secs(10),
            drain_max: Duration::from_secs(20),
            cluster: None,
        }
    }
}

impl fmt::Debug for EngineConfig {
    // The password never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("library", &self.library)
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field("memory_bytes_max", &self.memory_bytes_max)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
