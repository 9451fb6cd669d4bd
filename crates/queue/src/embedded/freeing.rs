//! Gives the space of consumed segments back a little at a time.
//!
//! A file system that is mounted with `discard` tells the disk of every freed block before its next sync
//! returns. Of a whole segment at once that takes 40 to 70 ms (64 MiB; ext4 over virtio), and every publisher
//! waits that long for its own record's sync; of one step it takes about 4 ms.
//!
//! A segment that is being freed has a name of its own, so what it still takes is counted in the log's size, and
//! what a killed process leaves is found by the next one.

use super::directory::{freeing_path, list_freeing};
use super::disk::Disk;
use super::events;
use crate::StorageError;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Between two steps: of 4 MiB each, 200 MB a second come back, more than is published.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread that frees one segment after the other. It ends, when this is dropped, with the last one.
#[derive(Debug)]
pub(crate) struct Freeing {
    disk: Arc<dyn Disk>,
    segments: mpsc::Sender<PathBuf>,
}

impl Freeing {
    /// Starts with what an earlier process left.
    pub(crate) fn start(dir: &Path, disk: Arc<dyn Disk>) -> Result<Self, StorageError> {
        let (segments, queued) = mpsc::channel::<PathBuf>();
        let freeing = Self { disk: Arc::clone(&disk), segments };
        let thread = thread::Builder::new().name("queue-free".to_owned()).spawn(move || {
            for path in queued {
                free(&path, disk.as_ref(), || thread::sleep(PAUSE));
            }
        });
        if let Err(error) = thread {
            events::segments_freed_at_once(&error);
        }
        for left in list_freeing(dir)? {
            freeing.queue(left.path);
        }
        Ok(freeing)
    }

    /// Removes a segment: its name before this returns, its content soon after.
    pub(crate) fn remove(&self, segment: &Path) -> io::Result<()> {
        if fs::metadata(segment)?.len() <= self.disk.step_bytes() {
            return self.disk.remove(segment);
        }
        let path = freeing_path(segment);
        self.disk.rename(segment, &path)?;
        self.queue(path);
        Ok(())
    }

    fn queue(&self, path: PathBuf) {
        // Without a thread it is freed here and at once.
        if let Err(mpsc::SendError(path)) = self.segments.send(path) {
            remove(&path, self.disk.as_ref());
        }
    }
}

/// What cannot be freed in steps is freed by its removal.
fn free(path: &Path, disk: &dyn Disk, pause: impl FnMut()) {
    if let Err(error) = shrink(path, disk, pause) {
        events::segment_freed_at_once(path, &error);
    }
    remove(path, disk);
}

fn remove(path: &Path, disk: &dyn Disk) {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            events::segment_delete_failed(&StorageError {
                action: "remove",
                path: path.to_owned(),
                source: error,
            });
        }
        _ => {}
    }
}

/// Cuts all but the last step off a file that has no other name.
fn shrink(path: &Path, disk: &dyn Disk, mut pause: impl FnMut()) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = metadata.len();
    // Another name is somebody's copy.
    if metadata.nlink() > 1 {
        return Ok(());
    }
    // A power cut must not bring the segment's name back with half of its content.
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    while bytes > disk.step_bytes() {
        bytes -= disk.step_bytes();
        disk.set_len(&file, bytes)?;
        pause();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::directory::segment_path;
    use super::super::disk::RealDisk;
    use super::*;
    use std::fs::File;
    use std::time::Instant;

    fn large_file(path: &Path) -> File {
        let file = File::create(path).unwrap();
        file.set_len(2 * RealDisk.step_bytes() + 1).unwrap();
        file
    }

    fn wait_until_gone(path: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while path.exists() {
            assert!(Instant::now() < deadline, "it is still there");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_segment_loses_its_name_at_once_and_its_content_soon() {
        let dir = tempfile::tempdir().unwrap();
        let path = segment_path(dir.path(), 1);
        let file = large_file(&path);
        let freeing = Freeing::start(dir.path(), Arc::new(RealDisk)).unwrap();
        freeing.remove(&path).unwrap();
        assert!(!path.exists());
        wait_until_gone(&freeing_path(&path));
        assert_eq!(file.metadata().unwrap().len(), 1, "all but the last step was cut before");
    }

    #[test]
    fn content_is_freed_in_steps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let file = large_file(&path);
        let mut lengths = Vec::new();
        shrink(&path, &RealDisk, || lengths.push(file.metadata().unwrap().len())).unwrap();
        assert_eq!(lengths, [RealDisk.step_bytes() + 1, 1]);
    }

    #[test]
    fn what_an_earlier_process_left_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let path = freeing_path(&segment_path(dir.path(), 1));
        drop(large_file(&path));
        let _freeing = Freeing::start(dir.path(), Arc::new(RealDisk)).unwrap();
        wait_until_gone(&path);
    }

    #[test]
    fn a_copy_by_hard_link_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("large"), dir.path().join("copy"));
        let bytes = large_file(&path).metadata().unwrap().len();
        fs::hard_link(&path, &copy).unwrap();
        free(&path, &RealDisk, || {});
        assert!(!path.exists());
        assert_eq!(fs::metadata(copy).unwrap().len(), bytes);
    }

    #[test]
    fn a_segment_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let freeing = Freeing::start(dir.path(), Arc::new(RealDisk)).unwrap();
        let error = freeing.remove(&segment_path(dir.path(), 1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
