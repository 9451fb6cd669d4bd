//! What the writer does before its first record: finds the last durable record, cuts what an
//! interrupted write left behind it, and decides where sequences go on.
//!
//! The decision, for the last segment (earlier ones were finished by the writer that left them):
//!
//! 1. Records are read from the start. Where one is unreadable, the rest of the segment is searched
//!    for a readable one with a later sequence. If there is one, the unreadable range is *damage*:
//!    it stays where it is, and the consumer reports it, delivers what is behind it, and loses
//!    nothing else.
//! 2. If there is none, everything behind the last readable record is a *torn tail*: zeros are
//!    preallocated space; anything else is set aside, reported and cut.
//!
//! What cannot be told apart: damage to the very last record of the log looks like a torn tail (so
//! the bytes are kept aside), and a power cut that kept the end but not the middle of the last,
//! unacknowledged write looks like damage (so it is reported, and what is readable is delivered).

use super::config::LogConfig;
use super::consumed;
use super::directory::{SegmentFile, list_segments, remove_unfinished};
use super::disk::Disk;
use super::events;
use super::format::{Defect, HEADER_BYTES, RECORD_HEADER_BYTES};
use super::segment::{Peeked, SegmentReader};
use super::set_aside;
use crate::{OpenError, StorageError};
use std::fs::OpenOptions;
use std::path::PathBuf;

/// What opening the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments found.
    pub segments: usize,
    /// Position of the last readable record; 0 in a new log.
    pub last_position: u64,
    /// What was cut off the last segment, if anything was.
    pub cut: Option<CutTail>,
}

/// Bytes of an interrupted write, cut off the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The segment's file.
    pub segment: PathBuf,
    /// Where the bytes stood.
    pub offset: u64,
    /// How many they were, up to the last one that is not zero.
    pub bytes: u64,
    /// Why the first of them are not a record.
    pub reason: Defect,
    /// The copy that was kept; `None` where that failed or would have exceeded its bound.
    pub kept_in: Option<PathBuf>,
}

/// Where a writer goes on.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The last durable sequence: what the next segment's header states as previous.
    pub(crate) last_sequence: u64,
    /// Invariant: greater than every sequence that was ever delivered or acknowledged.
    pub(crate) next_sequence: u64,
    pub(crate) report: Recovery,
}

/// Brings the directory into the state a writer starts from. Requires the writer's lock.
pub(crate) fn recover(config: &LogConfig, disk: &dyn Disk) -> Result<Recovered, OpenError> {
    remove_unfinished(&config.dir)?;
    let segments = list_segments(&config.dir)?;
    let mut report = Recovery { segments: segments.len(), ..Recovery::default() };
    let consumed = consumed::read(&config.dir)?.sequence();
    let Some(last) = segments.last() else {
        return Ok(Recovered { last_sequence: consumed, next_sequence: consumed + 1, report });
    };
    let (last_sequence, taken_sequence) = recover_segment(config, disk, last, &mut report)?;
    report.last_position = last_sequence;
    // A power cut can lose records that were already consumed.
    let next_sequence = taken_sequence.max(consumed) + 1;
    Ok(Recovered { last_sequence, next_sequence, report })
}

/// Finds a segment's last record, and cuts what is behind it. Returns its sequence, and the last
/// one that may have been used.
fn recover_segment(
    config: &LogConfig,
    disk: &dyn Disk,
    segment: &SegmentFile,
    report: &mut Recovery,
) -> Result<(u64, u64), OpenError> {
    let before = segment.first_sequence - 1;
    // Only the reader deletes segments, and never the last one.
    let Some(mut reader) = SegmentReader::open(&segment.path, segment.first_sequence)? else {
        return Ok((before, before));
    };
    if !reader.can_find_records() {
        // Not an interrupted write: the header was synced before the segment got its name. It stays
        // for the consumer to report, and no sequence that may have been in it is used again.
        return Ok((before, segment.first_sequence + segment.bytes / RECORD_HEADER_BYTES as u64));
    }
    let mut last_sequence = None;
    let reason = loop {
        let sequence_min = last_sequence.map_or(segment.first_sequence, |sequence| sequence + 1);
        match reader.peek(sequence_min)? {
            Peeked::Record { sequence, bytes, .. } => {
                reader.skip(bytes);
                last_sequence = Some(sequence);
            }
            Peeked::Nothing(reason) => match reader.find_next(sequence_min..=u64::MAX)? {
                Some(found) => reader.skip_to(found),
                None => break reason,
            },
        }
    };
    let written_end = reader.written_end()?;
    if written_end > reader.offset() {
        let kept_in = keep(config, &reader, written_end);
        let cut = CutTail {
            segment: segment.path.clone(),
            offset: reader.offset(),
            bytes: written_end - reader.offset(),
            reason,
            kept_in,
        };
        events::tail_cut(&cut);
        report.cut = Some(cut);
    }
    let kept = report.cut.as_ref().is_none_or(|cut| cut.kept_in.is_some());
    finish(disk, segment, &reader, last_sequence.is_some(), kept)?;
    // The name of a segment, even of an empty one, is never used twice: a reader in another process
    // may have it open.
    let taken_sequence = last_sequence.unwrap_or(segment.first_sequence);
    Ok((last_sequence.or(reader.previous_sequence()).unwrap_or(before), taken_sequence))
}

fn keep(config: &LogConfig, reader: &SegmentReader, written_end: u64) -> Option<PathBuf> {
    let range = reader.offset()..written_end;
    let kept =
        set_aside::keep(&config.dir, reader.first_sequence(), reader.file(), range, config.segment_bytes);
    kept.unwrap_or_else(|error| {
        events::set_aside_failed(&error);
        None
    })
}

/// Gives back the space behind the last record; removes a segment without any.
fn finish(
    disk: &dyn Disk,
    segment: &SegmentFile,
    reader: &SegmentReader,
    has_records: bool,
    tail_kept: bool,
) -> Result<(), StorageError> {
    // Bytes that could not be kept elsewhere stay here until the segment is consumed: no writer
    // appends to an old segment, so they are in nobody's way.
    let end = if tail_kept { reader.offset() } else { reader.written_end()? };
    if !has_records && end == HEADER_BYTES {
        return disk.remove(&segment.path).map_err(StorageError::at("remove", &segment.path));
    }
    let file = OpenOptions::new()
        .write(true)
        .open(&segment.path)
        .map_err(StorageError::at("open", &segment.path))?;
    disk.set_len(&file, end.min(segment.bytes)).map_err(StorageError::at("cut", &segment.path))?;
    disk.sync_data(&file).map_err(StorageError::at("sync", &segment.path))
}
