//! The lock that keeps a second engine off a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How often a taken lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Held as long as it lives; the operating system releases it also when the process is killed.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Takes the lock on `directory`, waiting at most `wait_max` for its owner to go. `Ok(None)`: it did not.
pub(super) async fn take(directory: &Path, wait_max: Duration) -> io::Result<Option<DirectoryLock>> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("engine.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(DirectoryLock { _file: file })),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if waited >= wait_max => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        tokio::time::sleep(RETRY).await;
        waited += RETRY;
    }
}
