//! Unreadable bytes are kept, within a bound, before the log cuts or skips them: what a person could
//! still read from them is not the log's to throw away.

use super::directory::set_aside_path;
use crate::StorageError;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Copies a range of a segment into the set-aside directory, unless that would make the directory
/// exceed `bytes_max` (`None`, and the range stays in its segment for as long as that lives).
pub(crate) fn keep(
    dir: &Path,
    first_sequence: u64,
    segment: &File,
    range: Range<u64>,
    bytes_max: u64,
) -> Result<Option<PathBuf>, StorageError> {
    let aside = set_aside_path(dir);
    let failed = |source| StorageError { action: "set bytes aside in", path: aside.clone(), source };
    fs::create_dir_all(&aside).map_err(failed)?;
    let path = aside.join(format!("{first_sequence:020}-{}.bytes", range.start));
    let bytes = range.end - range.start;
    // Found again after a restart that came before the segment was consumed.
    if fs::metadata(&path).is_ok_and(|kept| kept.len() >= bytes) {
        return Ok(Some(path));
    }
    if kept_bytes(&aside).map_err(failed)? + bytes > bytes_max {
        return Ok(None);
    }
    copy(segment, &range, &path).map_err(failed)?;
    Ok(Some(path))
}

fn copy(segment: &File, range: &Range<u64>, path: &Path) -> io::Result<()> {
    let mut from = segment.try_clone()?;
    from.seek(SeekFrom::Start(range.start))?;
    let copied = File::create(path).and_then(|mut to| {
        io::copy(&mut from.take(range.end - range.start), &mut to)?;
        to.sync_data()
    });
    if let Err(error) = copied {
        fs::remove_file(path)?;
        return Err(error);
    }
    Ok(())
}

fn kept_bytes(aside: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(aside)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
