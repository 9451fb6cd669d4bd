//! One evaluator per state file, across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::StorageError;

/// Held as long as it lives; the operating system releases it when the process ends, however.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the state file `path` at once, or says that another process has it.
    pub(super) fn acquire(path: &Path) -> Result<Self, StorageError> {
        let fail = |source| StorageError::Lock { path: path.to_owned(), source };
        // A file of its own: SQLite locks ranges of the state file itself, and closes it whenever it likes.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.with_extension("lock"))
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StorageError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }
}
