//! Gives the space of a consumed segment back a little at a time.
//!
//! A file system that is mounted with `discard` tells the disk of every freed block before its next sync
//! returns. Of a whole segment at once that takes 40 to 70 ms (64 MiB; ext4 over virtio), and every publisher
//! waits that long for its own record's sync; of one step it takes about 4 ms.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Between two steps: 200 MB a second come back, more than is published.
const PAUSE: Duration = Duration::from_millis(20);

/// Removes a file: its name before this returns, its content soon after.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() <= STEP_BYTES {
        return fs::remove_file(path);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    fs::remove_file(path)?;
    let dir = path.parent().map(Path::to_owned).unwrap_or_default();
    // What is not freed in steps, for want of a thread or because a step fails, is when the file is closed.
    let freeing = thread::Builder::new().name("queue-free".to_owned()).spawn(move || {
        // A power cut must not leave the name with half of its content.
        File::open(dir)?.sync_all()?;
        free(&file, || thread::sleep(PAUSE))
    });
    drop(freeing);
    Ok(())
}

fn free(file: &File, mut pause: impl FnMut()) -> io::Result<()> {
    let mut bytes = file.metadata()?.len();
    while bytes > STEP_BYTES {
        bytes -= STEP_BYTES;
        file.set_len(bytes)?;
        pause();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_large_file_loses_its_name_at_once_and_its_content_soon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let file = File::create(&path).unwrap();
        file.set_len(2 * STEP_BYTES + 1).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.metadata().unwrap().len() > 1 {
            assert!(Instant::now() < deadline, "its content is still there");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn content_is_freed_in_steps() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * STEP_BYTES + 1).unwrap();
        let mut lengths = Vec::new();
        free(&file, || lengths.push(file.metadata().unwrap().len())).unwrap();
        assert_eq!(lengths, [STEP_BYTES + 1, 1]);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remove(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
