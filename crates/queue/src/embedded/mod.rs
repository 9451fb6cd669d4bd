//! The embedded log: a durable, checksummed, segmented, append-only log on local disk.
//!
//! | file | what it knows |
//! |---|---|
//! | `format` | the bytes of a segment |
//! | `directory` | which file is which |
//! | `disk`, `freeing` | the file operations durability rests on; space given back a little at a time |
//! | `lock` | one writer, one reader |
//! | `recovery` | what a writer finds, cuts and reports when it opens the log |
//! | `writer` | segments, one write and one sync per commit, what happens when they fail |
//! | `publisher`, `waiting`, `gather`, `committer` | admission, when to commit, who has waited too long, group commit |
//! | `segment`, `reader` | records in order, damage passed over, consumed segments deleted |
//! | `consumed` | how far the consumer is |
//! | `watermark`, `consumer` | batches by count, bytes and age |
//! | `set_aside`, `events` | what is kept of unreadable bytes; what is logged |
//!
//! The invariants everything rests on:
//!
//! 1. A publish is answered with success only after `fdatasync` returned for its bytes, its
//!    segment's header and its segment's name, and after the names of new directories were synced.
//! 2. A writer appends only to a segment it created, and never again to one that failed.
//! 3. A sequence is used once. Sequences grow; gaps are allowed at the start of a segment only, and
//!    the header states the last acknowledged sequence before it, so a gap is told from a loss.
//! 4. A segment is deleted only after the consumed position behind it is on the disk; the last
//!    segment is never deleted.
//! 5. Nothing unreadable is passed over or cut without being logged and counted.

mod committer;
mod config;
mod consumed;
mod consumer;
mod directory;
mod disk;
mod events;
mod format;
mod freeing;
mod gather;
mod lock;
mod publisher;
mod reader;
mod recovery;
mod segment;
mod set_aside;
#[cfg(test)]
mod tests;
mod waiting;
mod watermark;
mod writer;

pub use config::{Commit, CommitObserver, LogConfig};
pub use consumer::{Consumer, ConsumerStats};
pub use format::Defect;
pub use publisher::{Publisher, PublisherStats};
pub use reader::Damage;
pub use recovery::{CutTail, Recovery};

use crate::{OpenError, StorageError};
use disk::{Disk, RealDisk};
use lock::{Lock, Role};
use reader::Reader;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use watermark::Watermark;
use writer::Writer;

/// Opens both sides of a log in this process: the consumer is told of new records at once, and
/// receives nothing that is not durable.
pub fn open(config: LogConfig) -> Result<(Publisher, Consumer), OpenError> {
    open_on(config, &(Arc::new(RealDisk) as Arc<dyn Disk>))
}

/// Opens the writing side, for a process that does not consume. Cuts what an interrupted write left.
pub fn open_publisher(config: LogConfig) -> Result<Publisher, OpenError> {
    let (config, disk) = prepare(config, Arc::new(RealDisk))?;
    let (publisher, _watermark) = start_publisher(config, disk)?;
    Ok(publisher)
}

/// Opens the reading side, for a process that does not publish: new records are found by looking
/// every 5 to 20 ms, and may be received before they are durable (their publisher has no answer
/// yet).
pub fn open_consumer(config: LogConfig) -> Result<Consumer, OpenError> {
    let (config, disk) = prepare(config, Arc::new(RealDisk))?;
    start_consumer(config, disk, None)
}

fn open_on(config: LogConfig, disk: &Arc<dyn Disk>) -> Result<(Publisher, Consumer), OpenError> {
    let (config, disk) = prepare(config, Arc::clone(disk))?;
    let (publisher, watermark) = start_publisher(Arc::clone(&config), Arc::clone(&disk))?;
    let consumer = start_consumer(config, disk, Some(watermark))?;
    Ok((publisher, consumer))
}

fn prepare(config: LogConfig, disk: Arc<dyn Disk>) -> Result<(Arc<LogConfig>, Arc<dyn Disk>), OpenError> {
    config.validate()?;
    create_dir(&config.dir, disk.as_ref())?;
    Ok((Arc::new(config), disk))
}

/// Creates the directory and what is missing above it. Each new name is on the disk before anything is
/// stored under it: a power cut must not take the directory with all that was acknowledged.
fn create_dir(dir: &Path, disk: &dyn Disk) -> Result<(), StorageError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dir(parent, disk)?;
    match fs::create_dir(dir) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created.map_err(StorageError::at("create", dir))?,
    }
    disk.sync_dir(parent).map_err(StorageError::at("sync", parent))
}

fn start_publisher(
    config: Arc<LogConfig>,
    disk: Arc<dyn Disk>,
) -> Result<(Publisher, Arc<Watermark>), OpenError> {
    let lock = Lock::acquire(&config.dir, Role::Writer)?;
    let recovered = recovery::recover(&config, disk.as_ref())?;
    let watermark = Arc::new(Watermark::new(recovered.next_sequence - 1));
    let writer = Writer::new(Arc::clone(&config), disk, &recovered);
    let publisher = Publisher::start(config, writer, recovered.report, Arc::clone(&watermark), lock)?;
    Ok((publisher, watermark))
}

fn start_consumer(
    config: Arc<LogConfig>,
    disk: Arc<dyn Disk>,
    watermark: Option<Arc<Watermark>>,
) -> Result<Consumer, OpenError> {
    let lock = Lock::acquire(&config.dir, Role::Reader)?;
    let reader = Reader::open(Arc::clone(&config), disk, lock)?;
    Ok(Consumer::new(config, reader, watermark))
}
