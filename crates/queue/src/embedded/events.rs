//! What the log tells its operators: one function per occurrence.

use super::format::Defect;
use super::recovery::CutTail;
use crate::StorageError;
use std::ops::Range;
use std::path::Path;

/// Bytes after the last readable record were cut when the log was opened.
pub(crate) fn tail_cut(cut: &CutTail) {
    tracing::warn!(
        segment = %cut.segment.display(),
        offset = cut.offset,
        bytes = cut.bytes,
        reason = %cut.reason,
        kept_in = cut.kept_in.as_ref().map(|path| path.display().to_string()),
        "an unfinished write was cut off the log"
    );
}

/// Acknowledged records cannot be read; the consumer goes on behind them.
pub(crate) fn range_damaged(segment: &Path, range: &Range<u64>, records_lost: u64, kept_in: Option<&Path>) {
    tracing::error!(
        segment = %segment.display(),
        offset = range.start,
        bytes = range.end - range.start,
        records_lost,
        kept_in = kept_in.map(|path| path.display().to_string()),
        "a part of the log is damaged and was skipped"
    );
}

/// A segment's header is unreadable; its records are read without it where they can be.
pub(crate) fn header_damaged(segment: &Path) {
    tracing::error!(segment = %segment.display(), "the header of a log segment is damaged");
}

/// Bytes of writes that failed, and were answered as failed, were passed over.
pub(crate) fn failed_write_passed(segment: &Path, range: &Range<u64>, reason: Defect) {
    tracing::info!(
        segment = %segment.display(),
        offset = range.start,
        bytes = range.end - range.start,
        %reason,
        "the remains of a failed write were passed over"
    );
}

/// Unreadable bytes could not be kept aside.
pub(crate) fn set_aside_failed(error: &StorageError) {
    tracing::warn!(%error, source = %error.source, "unreadable bytes could not be set aside");
}

/// Both places that remember how far the consumer is are unreadable.
pub(crate) fn consumed_unreadable(dir: &Path) {
    tracing::error!(
        dir = %dir.display(),
        "how far the log was consumed is unreadable: everything in it is delivered again"
    );
}

/// A commit failed: its segment ends at its last durable record.
pub(crate) fn commit_failed(segment: &Path, records: usize, error: &std::io::Error) {
    tracing::error!(segment = %segment.display(), records, %error, "records could not be made durable");
}

/// Records are made durable again after a commit or a new segment had failed.
pub(crate) fn commits_again(segment: &Path) {
    tracing::info!(segment = %segment.display(), "records are made durable again");
}

/// A segment that ends after a failed commit could not be tidied.
pub(crate) fn abandon_failed(segment: &Path, error: &std::io::Error) {
    tracing::warn!(segment = %segment.display(), %error, "the remains of a failed write could not be cut");
}

/// No new segment could be created.
pub(crate) fn segment_create_failed(segment: &Path, error: &std::io::Error) {
    tracing::error!(segment = %segment.display(), %error, "a log segment could not be created");
}

/// A consumed segment was not deleted: with the next acknowledgement, or, if it is being freed already, when the log is
/// next opened, it is tried again.
pub(crate) fn segment_delete_failed(error: &StorageError) {
    tracing::warn!(%error, source = %error.source, "a consumed log segment could not be deleted");
}

/// A consumed segment could not be given back a little at a time: other syncs may have waited for it.
pub(crate) fn segment_freed_at_once(segment: &Path, error: &std::io::Error) {
    tracing::debug!(segment = %segment.display(), %error, "a consumed log segment is freed at once");
}

/// There is no thread to give segments back a little at a time.
pub(crate) fn segments_freed_at_once(error: &std::io::Error) {
    tracing::warn!(%error, "consumed log segments are freed at once: answers may wait for it");
}
