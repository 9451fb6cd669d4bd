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
use super::format::{HEADER_BYTES, Mark, SegmentHeader, encode_record, record_bytes};
use super::recovery::Recovered;
use crate::PublishError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Bytes written with one sync; more are left to the next.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Appends to the log. Requires the writer's lock, and a recovered directory.
#[derive(Debug)]
pub(crate) struct Writer {
    config: Arc<LogConfig>,
    disk: Arc<dyn Disk>,
    active: Option<ActiveSegment>,
    last_sequence: u64,
    next_sequence: u64,
    buffer: Vec<u8>,
    staged: usize,
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

impl Writer {
    pub(crate) fn new(config: Arc<LogConfig>, disk: Arc<dyn Disk>, recovered: &Recovered) -> Self {
        Self {
            config,
            disk,
            active: None,
            last_sequence: recovered.last_sequence,
            next_sequence: recovered.next_sequence,
            buffer: Vec::new(),
            staged: 0,
            failing: false,
        }
    }

    /// The last durable sequence.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Makes sure that there is a segment with room for this payload. Requires that nothing is
    /// staged.
    pub(crate) fn ensure_room(&mut self, payload_bytes: usize) -> Result<(), PublishError> {
        let needed = record_bytes(payload_bytes) as u64;
        if self.active.as_ref().is_some_and(|active| active.end + needed <= self.config.segment_bytes) {
            return Ok(());
        }
        self.ensure_space()?;
        // The old segment keeps its few unused bytes: cutting them would cost a journal write.
        self.active = None;
        let path = segment_path(&self.config.dir, self.next_sequence);
        match self.create_segment(&path) {
            Ok(active) => {
                self.active = Some(active);
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    events::segment_create_failed(&path, &error);
                }
                Err(PublishError::Storage(Arc::new(error)))
            }
        }
    }

    /// Stages a record for the next commit; `false` if it has to wait for the one after.
    pub(crate) fn stage(&mut self, payload: &[u8]) -> bool {
        let Some(active) = &self.active else { return false };
        let bytes = record_bytes(payload.len());
        let end = active.end + (self.buffer.len() + bytes) as u64;
        let fits = self.staged == 0 || self.buffer.len() + bytes <= COMMIT_BYTES_MAX;
        if !fits || end > self.config.segment_bytes {
            return false;
        }
        encode_record(&mut self.buffer, active.mark, self.next_sequence, payload);
        self.next_sequence += 1;
        self.staged += 1;
        true
    }

    /// Makes what is staged durable, all of it or, as far as anybody is told, none.
    pub(crate) fn commit(&mut self) -> Result<Commit, PublishError> {
        let started = Instant::now();
        let (records, bytes) = (self.staged, self.buffer.len());
        let written = self.active.as_ref().map_or(Ok(()), |active| {
            self.disk.write_all_at(&active.file, &self.buffer, active.end)?;
            self.disk.sync_data(&active.file)
        });
        self.buffer.clear();
        // One huge record must not keep its memory for good.
        self.buffer.shrink_to(COMMIT_BYTES_MAX);
        self.staged = 0;
        match (written, &mut self.active) {
            (Ok(()), Some(active)) => {
                active.end += bytes as u64;
                self.last_sequence = self.next_sequence - 1;
                if std::mem::replace(&mut self.failing, false) {
                    events::commits_again(&active.path);
                }
            }
            (Err(error), _) => {
                self.abandon_active(records, &error);
                return Err(PublishError::Storage(Arc::new(error)));
            }
            (Ok(()), None) => {}
        }
        Ok(Commit { records, bytes, duration: started.elapsed() })
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
        let segments =
            list_segments(&self.config.dir).map_err(|error| PublishError::Storage(Arc::new(error.source)))?;
        let bytes = total_bytes(&segments);
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
    fn abandon_active(&mut self, records: usize, error: &io::Error) {
        let Some(active) = self.active.take() else { return };
        if !std::mem::replace(&mut self.failing, true) {
            events::commit_failed(&active.path, records, error);
        }
        let tidied = if active.end == HEADER_BYTES {
            self.disk.remove(&active.path)
        } else {
            self.disk.set_len(&active.file, active.end)
        };
        if let Err(error) = tidied {
            events::abandon_failed(&active.path, &error);
        }
    }
}
