//! The writer: records into a segment, one write and one sync for as many as are staged, a new
//! segment when one is full or has failed.
//!
//! Invariant: a writer never appends to a segment it did not create, and never again to one whose
//! write or sync has failed. After a failed `fdatasync` the kernel may have dropped the pages and
//! call the next one a success; a fresh segment is the only place where a later success means
//! anything.
//!
//! Invariant: a sequence is used once. The sequences of a failed commit are skipped: a reader in
//! another process may have delivered its records, and acknowledged them.

use super::config::{Commit, LogConfig};
use super::directory::{list_segments, segment_path, total_bytes, unfinished_path};
use super::disk::Disk;
use super::events;
use super::format::{HEADER_BYTES, Mark, SegmentHeader, record_bytes, seal_record, staged_payload_bytes};
use super::recovery::Recovered;
use crate::PublishError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Bytes written with one sync, unless one record alone has more; others are left to the next.
pub(crate) const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Appends to the log. Requires the writer's lock, and a recovered directory.
#[derive(Debug)]
pub(crate) struct Writer {
    config: Arc<LogConfig>,
    disk: Arc<dyn Disk>,
    /// Never one whose write or sync has failed.
    active: Option<ActiveSegment>,
    last_sequence: u64,
    next_sequence: u64,
    /// Whether the last attempt failed. A disk in trouble fails thousands of times a second: its
    /// beginning and its end are told.
    failing: bool,
}

#[derive(Debug)]
struct ActiveSegment {
    file: File,
    path: PathBuf,
    mark: Mark,
    /// Where the next record goes: all before it is durable.
    end: u64,
}

/// Some of the records staged one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) records: usize,
    /// In the segment.
    pub(crate) bytes: usize,
    pub(crate) payload_bytes: usize,
}

impl Share {
    /// The first record staged in `bytes`, and as many more as fit with it into `bytes_max`.
    pub(crate) fn within(bytes: &[u8], bytes_max: usize) -> Self {
        let mut share = Self::default();
        while let Some(payload_bytes) = staged_payload_bytes(&bytes[share.bytes..]) {
            let end = share.bytes + record_bytes(payload_bytes);
            if share.records > 0 && end > bytes_max {
                break;
            }
            share.records += 1;
            share.bytes = end;
            share.payload_bytes += payload_bytes;
        }
        share
    }
}

impl Writer {
    pub(crate) fn new(config: Arc<LogConfig>, disk: Arc<dyn Disk>, recovered: &Recovered) -> Self {
        Self {
            config,
            disk,
            active: None,
            last_sequence: recovered.last_sequence,
            next_sequence: recovered.next_sequence,
            failing: false,
        }
    }

    /// The last durable sequence.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Makes records staged in `staged` durable: the first one, and as many as fit the segment with it.
    /// Tells how many they are, and their common fate: all of them are durable or, as far as anybody is
    /// told, none. Where there is no segment to be had, that is the fate of all.
    pub(crate) fn commit(&mut self, staged: &mut [u8]) -> (Share, Result<Commit, PublishError>) {
        let mut segment = match self.take_segment(staged_payload_bytes(staged).unwrap_or(0)) {
            Ok(segment) => segment,
            Err(error) => return (Share::within(staged, usize::MAX), Err(error)),
        };
        let room = usize::try_from(self.config.segment_bytes - segment.end).unwrap_or(usize::MAX);
        let share = Share::within(staged, room.min(COMMIT_BYTES_MAX));
        let bytes = &mut staged[..share.bytes];
        self.seal(bytes, segment.mark);
        let started = Instant::now();
        let written = self.disk.write_all_at(&segment.file, bytes, segment.end);
        if let Err(error) = written.and_then(|()| self.disk.sync_data(&segment.file)) {
            self.abandon(&segment, share.records, &error);
            return (share, Err(PublishError::Storage(Arc::new(error))));
        }
        segment.end += share.bytes as u64;
        self.last_sequence = self.next_sequence - 1;
        if std::mem::replace(&mut self.failing, false) {
            events::commits_again(&segment.path);
        }
        self.active = Some(segment);
        (share, Ok(Commit { records: share.records, bytes: share.bytes, duration: started.elapsed() }))
    }

    fn seal(&mut self, staged: &mut [u8], mark: Mark) {
        let mut rest = staged;
        while let Some(payload_bytes) = staged_payload_bytes(rest) {
            let (record, behind) = rest.split_at_mut(record_bytes(payload_bytes));
            seal_record(record, mark, self.next_sequence);
            self.next_sequence += 1;
            rest = behind;
        }
    }

    /// The active segment if it has room for this payload, or else a new one. It is active again once what
    /// is written to it is durable, and only then.
    fn take_segment(&mut self, payload_bytes: usize) -> Result<ActiveSegment, PublishError> {
        let needed = record_bytes(payload_bytes) as u64;
        // A full segment keeps its few unused bytes: cutting them would cost a journal write.
        let with_room = self.active.take_if(|active| active.end + needed <= self.config.segment_bytes);
        if let Some(active) = with_room {
            return Ok(active);
        }
        self.ensure_space()?;
        self.active = None;
        let path = segment_path(&self.config.dir, self.next_sequence);
        self.create_segment(&path).map_err(|error| {
            if !std::mem::replace(&mut self.failing, true) {
                events::segment_create_failed(&path, &error);
            }
            PublishError::Storage(Arc::new(error))
        })
    }

    /// Gives back the space behind the last record.
    pub(crate) fn close(&mut self) {
        if let Some(active) = self.active.take() {
            let cut =
                self.disk.set_len(&active.file, active.end).and_then(|()| self.disk.sync_data(&active.file));
            if let Err(error) = cut {
                events::abandon_failed(&active.path, &error);
            }
        }
    }

    /// The directory is asked each time a segment is needed, so that what a consumer in another
    /// process has freed counts at once.
    fn ensure_space(&self) -> Result<(), PublishError> {
        let dir = &self.config.dir;
        let bytes = list_segments(dir)
            .and_then(|segments| total_bytes(dir, &segments))
            .map_err(|error| PublishError::Storage(Arc::new(error.source)))?;
        if bytes.saturating_add(self.config.segment_bytes) > self.config.bytes_max {
            return Err(PublishError::Full { bytes, bytes_max: self.config.bytes_max });
        }
        Ok(())
    }

    /// A segment gets its name when its header is on the disk: what has a name can be read.
    fn create_segment(&mut self, path: &Path) -> io::Result<ActiveSegment> {
        let first_sequence = self.next_sequence;
        let header = SegmentHeader {
            first_sequence,
            previous_sequence: self.last_sequence,
            mark: Mark::random(first_sequence),
        };
        let unfinished = unfinished_path(&self.config.dir, first_sequence);
        let file = self.disk.create(&unfinished, self.config.segment_bytes)?;
        let named = self
            .disk
            .write_all_at(&file, &header.encode(), 0)
            .and_then(|()| self.disk.sync_data(&file))
            .and_then(|()| self.disk.rename(&unfinished, path));
        if let Err(error) = named {
            if let Err(error) = self.disk.remove(&unfinished) {
                events::abandon_failed(&unfinished, &error);
                self.next_sequence += 1;
            }
            return Err(error);
        }
        if let Err(error) = self.disk.sync_dir(&self.config.dir) {
            // A reader may have seen the name: it is not used again.
            self.next_sequence += 1;
            if let Err(error) = self.disk.remove(path) {
                events::abandon_failed(path, &error);
            }
            return Err(error);
        }
        Ok(ActiveSegment { file, path: path.to_owned(), mark: header.mark, end: HEADER_BYTES })
    }

    /// Ends the segment at its last durable record. If that fails too, the next segment's header
    /// still tells where the durable records ended.
    fn abandon(&mut self, segment: &ActiveSegment, records: usize, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            events::commit_failed(&segment.path, records, error);
        }
        let tidied = if segment.end == HEADER_BYTES {
            self.disk.remove(&segment.path)
        } else {
            self.disk.set_len(&segment.file, segment.end)
        };
        if let Err(error) = tidied {
            events::abandon_failed(&segment.path, &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::stage_record;
    use super::*;

    #[test]
    fn a_share_is_what_fits_and_the_first_record_whatever_its_size() {
        let mut staged = Vec::new();
        for payload in [[7_u8; 40].as_slice(), &[7; 16], &[7; 8]] {
            stage_record(&mut staged, &[payload]);
        }
        let records_within = |bytes_max| {
            let share = Share::within(&staged, bytes_max);
            (share.records, share.bytes, share.payload_bytes)
        };
        assert_eq!(records_within(1), (1, 64, 40));
        assert_eq!(records_within(64 + 40 - 1), (1, 64, 40));
        assert_eq!(records_within(64 + 40), (2, 104, 56));
        assert_eq!(records_within(usize::MAX), (3, 136, 64));
        assert_eq!(Share::within(&[], usize::MAX), Share::default());
    }
}
