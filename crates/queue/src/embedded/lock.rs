//! One writer and one reader per directory, across processes.

use super::StorageError;
use crate::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Which side of the log a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

/// Held as long as it lives; the operating system releases it when the process ends, however.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at once or says who has it.
    pub(crate) fn acquire(dir: &Path, role: Role) -> Result<Self, OpenError> {
        let path = dir.join(format!("{}.lock", role.name()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StorageError::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let holder_pid = read.ok().and_then(|_| holder.trim().parse().ok());
                return Err(OpenError::Locked { dir: dir.to_owned(), role: role.name(), holder_pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StorageError { action: "lock", path, source }.into());
            }
        }
        // The pid only serves the message above: a full disk must not keep the log from opening.
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        if let Err(error) = written {
            tracing::debug!(path = %path.display(), %error, "the lock file does not name its holder");
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_directory_and_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::acquire(dir.path(), Role::Writer).unwrap();
        let message = Lock::acquire(dir.path(), Role::Writer).unwrap_err().to_string();
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
        assert!(
            message.contains(&format!("already has a writer (process {})", std::process::id())),
            "{message}"
        );
        let _reader = Lock::acquire(dir.path(), Role::Reader).unwrap();
        drop(held);
        Lock::acquire(dir.path(), Role::Writer).unwrap();
    }
}
