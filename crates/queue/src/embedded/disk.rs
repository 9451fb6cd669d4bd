//! The file operations the writer's promises rest on, as a seam: tests put a disk behind it that
//! fills up, fails to sync and loses power.

use rustix::fs::{FallocateFlags, fallocate};
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Everything that changes the log's files.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// Creates a file, which must not exist, with `bytes` of allocated zeros.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when the file's content, and what is needed to find it, is on the disk.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Cuts (or extends) a file.
    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Renames a file within its directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns when the directory's entries are on the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can be freed at once without holding up the syncs of other files.
    fn step_bytes(&self) -> u64;
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let allocated = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // A file system that cannot allocate ahead: a full disk then shows at the write.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
            result => result.map_err(io::Error::from),
        };
        match allocated {
            Ok(()) => Ok(file),
            Err(error) => {
                fs::remove_file(path)?;
                Err(error)
            }
        }
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn step_bytes(&self) -> u64 {
        4 * 1024 * 1024
    }
}
