//! The log's directory: which file is which.
//!
//! ```text
//! writer.lock  reader.lock               one holder each
//! 00000000000000000001.segment           named by the sequence of its first record
//! 00000000000000026001.segment
//! 00000000000000052001.segment.new       being created; never read, removed at the next open
//! 00000000000000000001.segment.freeing   consumed; its space is being given back (see `freeing`)
//! consumed                               how far the consumer is
//! set-aside/                             bytes that were cut or skipped as unreadable
//! ```

use crate::StorageError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const SEGMENT_SUFFIX: &str = ".segment";
const UNFINISHED_SUFFIX: &str = ".segment.new";
const FREEING_SUFFIX: &str = ".segment.freeing";

/// A segment found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    /// Sequence of its first record.
    pub(crate) first_sequence: u64,
    pub(crate) path: PathBuf,
    /// Bytes it takes, preallocated space included.
    pub(crate) bytes: u64,
}

/// Path of the segment whose first record has this sequence.
pub(crate) fn segment_path(dir: &Path, first_sequence: u64) -> PathBuf {
    dir.join(format!("{first_sequence:020}{SEGMENT_SUFFIX}"))
}

/// Path of the same segment while it is being created.
pub(crate) fn unfinished_path(dir: &Path, first_sequence: u64) -> PathBuf {
    dir.join(format!("{first_sequence:020}{UNFINISHED_SUFFIX}"))
}

/// Path of a segment while its space is being given back.
pub(crate) fn freeing_path(segment: &Path) -> PathBuf {
    segment.with_extension(&FREEING_SUFFIX[1..])
}

/// Path of the file that remembers how far the consumer is.
pub(crate) fn consumed_path(dir: &Path) -> PathBuf {
    dir.join("consumed")
}

/// Path of the directory for bytes that were cut or skipped.
pub(crate) fn set_aside_path(dir: &Path) -> PathBuf {
    dir.join("set-aside")
}

/// The segments, oldest first.
pub(crate) fn list_segments(dir: &Path) -> Result<Vec<SegmentFile>, StorageError> {
    list(dir, SEGMENT_SUFFIX)
}

/// The consumed segments whose space is being given back, oldest first.
pub(crate) fn list_freeing(dir: &Path) -> Result<Vec<SegmentFile>, StorageError> {
    list(dir, FREEING_SUFFIX)
}

fn list(dir: &Path, suffix: &str) -> Result<Vec<SegmentFile>, StorageError> {
    let failed = |source| StorageError { action: "list the segments in", path: dir.to_owned(), source };
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(first_sequence) = name.to_str().and_then(|name| first_sequence_of(name, suffix)) else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => {
                segments.push(SegmentFile { first_sequence, path: entry.path(), bytes: metadata.len() });
            }
            // Consumed and deleted since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    segments.sort_by_key(|segment| segment.first_sequence);
    Ok(segments)
}

/// Bytes these segments take together with those being given back. One that passes from these to those meanwhile
/// counts twice rather than not at all, so the segments must have been listed before.
pub(crate) fn total_bytes(dir: &Path, segments: &[SegmentFile]) -> Result<u64, StorageError> {
    let freeing = list_freeing(dir)?;
    Ok(segments.iter().chain(&freeing).map(|segment| segment.bytes).sum())
}

/// Removes what a writer left half created when it ended.
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), StorageError> {
    let failed = |source| StorageError { action: "clean up", path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED_SUFFIX)) {
            fs::remove_file(entry.path()).map_err(StorageError::at("remove", entry.path()))?;
        }
    }
    Ok(())
}

fn first_sequence_of(file_name: &str, suffix: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_listed_by_sequence_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "00000000000000000120.segment",
            "00000000000000000003.segment",
            "00000000000000000200.segment.new",
            "00000000000000000002.segment.freeing",
            "3.segment",
            "99999999999999999999.segment",
            "consumed",
            "writer.lock",
        ] {
            fs::write(dir.path().join(name), b"12345").unwrap();
        }
        let segments = list_segments(dir.path()).unwrap();
        let found: Vec<u64> = segments.iter().map(|segment| segment.first_sequence).collect();
        assert_eq!(found, [3, 120], "the last name does not fit 64 bits");
        assert_eq!(total_bytes(dir.path(), &segments).unwrap(), 15, "with what is being given back");
        assert_eq!(list_freeing(dir.path()).unwrap()[0].path, freeing_path(&segment_path(dir.path(), 2)));
        remove_unfinished(dir.path()).unwrap();
        assert!(!unfinished_path(dir.path(), 200).exists());
        assert!(segment_path(dir.path(), 120).exists());
    }
}
