//! What must survive a restart: the state of every slice, history, and the two outboxes, in one SQLite file.
//!
//! Invariant: one tick is one transaction. Either the state moved, the history says so and the pages wait in the
//! outbox, or none of it happened and the next tick starts from where this one started.
//!
//! SQLite blocks, so every call runs on a blocking thread; one connection, since a tick writes a few rows.

mod book;
mod lock;
pub mod outbox;
mod schema;
pub mod transitions;
mod unreadable;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

pub use book::{Book, RuleRecord, TickChanges, Tracked, Watch};
use lock::Lock;
use unreadable::Unreadable;

/// The state file. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Storage {
    open: Arc<Open>,
    unreadable: Unreadable,
}

#[derive(Debug)]
struct Open {
    connection: Mutex<Connection>,
    _lock: Lock,
}

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It cannot be opened or created.
    #[error("cannot open the alerting state {path}; is the data directory writable?")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Its lock file cannot be opened.
    #[error("cannot open the alerting state {path}; is the data directory writable?")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it: two evaluators would page everything twice, and each forget what the other did.
    #[error(
        "another process evaluates the rules with the alerting state {path}; stop it, or give this one its own --data-dir"
    )]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a newer build.
    #[error(
        "the alerting state has schema version {found}, this build knows up to {known}; upgrade Tillwatch"
    )]
    Newer {
        /// In the file.
        found: usize,
        /// In this build.
        known: usize,
    },
    /// A statement failed: disk full, file damaged.
    #[error("the alerting state cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// A value cannot be written as JSON.
    #[error("a {what} cannot be written to the alerting state")]
    Value {
        /// Which kind of value.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The blocking thread died.
    #[error("the alerting state's thread ended early")]
    Thread(#[source] tokio::task::JoinError),
}

impl Storage {
    /// Opens or creates the file, for this process alone, and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let fail = |source| StorageError::Open { path: path.to_owned(), source };
        let lock = Lock::acquire(path)?;
        let mut connection = Connection::open(path).map_err(fail)?;
        // Readers never wait for the writer; a commit is on the disk when it returns.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(fail)?;
        schema::migrate(&mut connection)?;
        let open = Open { connection: Mutex::new(connection), _lock: lock };
        Ok(Self { open: Arc::new(open), unreadable: Unreadable::default() })
    }

    /// How many stored values could not be read since this was last asked.
    pub fn take_unreadable(&self) -> u64 {
        self.unreadable.take()
    }

    /// Runs `work` on a blocking thread.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let open = Arc::clone(&self.open);
        let done = tokio::task::spawn_blocking(move || {
            // A panic while the lock was held left no open transaction: dropping one rolls it back.
            work(&mut open.connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(StorageError::Thread)?
    }

    /// Everything the engine knew after the last tick.
    pub async fn load(&self) -> Result<Book, StorageError> {
        let unreadable = self.unreadable.clone();
        self.call(move |connection| book::load(connection, &unreadable)).await
    }

    /// What alerting remembered about itself after the last tick.
    pub async fn watch(&self) -> Result<Watch, StorageError> {
        let unreadable = self.unreadable.clone();
        self.call(move |connection| book::load_watch(connection, &unreadable)).await
    }

    /// Writes one tick: what changed between `before` and `changes.book`, its transitions and its messages.
    pub async fn commit(
        &self,
        before: Arc<Book>,
        changes: Arc<TickChanges>,
        now: payments::UnixMillis,
    ) -> Result<(), StorageError> {
        self.call(move |connection| {
            let transaction = connection.transaction()?;
            book::save(&transaction, &before, &changes.book)?;
            transitions::append(&transaction, &changes.transitions)?;
            for (channel, message) in &changes.messages {
                outbox::append(&transaction, channel, message, now)?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }
}

/// Writes a value as JSON.
fn to_json(value: &impl serde::Serialize, what: &'static str) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|source| StorageError::Value { what, source })
}
