//! The reading side, on blocking threads: through the segments in order, over what is damaged, and
//! deleting what is consumed.
//!
//! Nothing readable at the reader's place means one of three things, and it needs evidence to tell
//! which: *not yet written* (no evidence otherwise: wait), *damage* (a readable record with a later
//! sequence stands behind it), or *end of the segment* (there is a later segment). Evidence is
//! gathered first and the place looked at once more after it, because a writer in another process
//! may have written there in the meantime.

use super::config::LogConfig;
use super::consumed::{Consumed, ConsumedFile};
use super::directory::{SegmentFile, list_segments};
use super::disk::Disk;
use super::events;
use super::format::Defect;
use super::freeing::Freeing;
use super::lock::Lock;
use super::segment::{Found, Peeked, SegmentReader};
use super::set_aside;
use crate::{Batch, BatchLimits, ConsumeError, Delivery, Position, StorageError};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// See the module. Requires the reader's lock, which it holds.
#[derive(Debug)]
pub(crate) struct Reader {
    config: Arc<LogConfig>,
    freeing: Freeing,
    consumed: ConsumedFile,
    cursor: Option<SegmentReader>,
    /// The sequence expected next.
    next_sequence: u64,
    /// Records up to here were consumed before the log was opened: passed over.
    skip_through: u64,
    /// Read and not handed out. Survives a dropped `receive`.
    pending: VecDeque<Delivery>,
    pending_bytes: usize,
    received: u64,
    /// Read to their end, waiting for their last record to be consumed.
    finished: VecDeque<FinishedSegment>,
    /// When the segment was last written to before it was last searched in vain.
    searched: Option<SystemTime>,
    damage: Damage,
    _lock: Lock,
}

/// Unreadable parts of the log, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Unreadable ranges skipped, damaged headers included.
    pub ranges: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Acknowledged records that were in them, as far as their number is known.
    pub records_lost: u64,
}

/// How much is ready to be handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) is_full: bool,
    /// The sequence the reader expects next.
    pub(crate) next_sequence: u64,
}

#[derive(Debug)]
struct FinishedSegment {
    path: PathBuf,
    last_sequence: u64,
}

enum Step {
    /// Something was read or passed over.
    Advanced,
    /// Nothing more for now.
    Waiting,
}

impl Reader {
    pub(crate) fn open(
        config: Arc<LogConfig>,
        disk: Arc<dyn Disk>,
        lock: Lock,
    ) -> Result<Self, StorageError> {
        let (consumed, found) = ConsumedFile::open(&config.dir, Arc::clone(&disk))?;
        if found == Consumed::Unreadable {
            events::consumed_unreadable(&config.dir);
        }
        let sequence = consumed.sequence();
        let freeing = Freeing::start(&config.dir, disk)?;
        Ok(Self {
            config,
            freeing,
            consumed,
            cursor: None,
            next_sequence: sequence + 1,
            skip_through: sequence,
            pending: VecDeque::new(),
            pending_bytes: 0,
            received: sequence,
            finished: VecDeque::new(),
            searched: None,
            damage: Damage::default(),
            _lock: lock,
        })
    }

    /// Reads until a batch is full or nothing more is there, up to `sequence_max`: what is durable
    /// where that is known, else everything.
    pub(crate) fn fill(&mut self, limits: &BatchLimits, sequence_max: u64) -> Result<Pending, ConsumeError> {
        while !self.pending(limits).is_full {
            match self.step(sequence_max) {
                Ok(Step::Advanced) => {}
                Err(error) if self.pending.is_empty() => return Err(error),
                // What was read before an error is handed out first; then the error comes up again.
                Ok(Step::Waiting) | Err(_) => break,
            }
        }
        Ok(self.pending(limits))
    }

    /// Hands out a batch of what was read; `None` if nothing was.
    pub(crate) fn take(&mut self, limits: &BatchLimits) -> Option<Batch> {
        let mut deliveries = Vec::with_capacity(self.pending.len().min(limits.records_max));
        let mut payload_bytes = 0;
        while let Some(next) = self.pending.front() {
            let bytes = next.payload.len();
            let fits = deliveries.len() < limits.records_max && payload_bytes + bytes <= limits.bytes_max;
            if !deliveries.is_empty() && !fits {
                break;
            }
            payload_bytes += bytes;
            deliveries.extend(self.pending.pop_front());
        }
        let through = deliveries.last()?.position;
        self.pending_bytes -= payload_bytes;
        self.received = through.0;
        Some(Batch { deliveries, payload_bytes, through })
    }

    /// Everything up to and including `through` is consumed.
    pub(crate) fn ack(&mut self, through: Position) -> Result<(), ConsumeError> {
        if through.0 > self.received {
            return Err(ConsumeError::NotReceived { position: through.0, received: self.received });
        }
        self.consumed.advance(through.0)?;
        self.delete_consumed();
        Ok(())
    }

    /// Whether something was read and not handed out.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn acked(&self) -> u64 {
        self.consumed.sequence()
    }

    pub(crate) fn damage(&self) -> Damage {
        self.damage
    }

    fn pending(&self, limits: &BatchLimits) -> Pending {
        let (records, bytes) = (self.pending.len(), self.pending_bytes);
        let is_full = records >= limits.records_max.max(1) || records > 0 && bytes >= limits.bytes_max;
        Pending { records, bytes, is_full, next_sequence: self.next_sequence }
    }

    fn step(&mut self, sequence_max: u64) -> Result<Step, ConsumeError> {
        if self.next_sequence > sequence_max {
            return Ok(Step::Waiting);
        }
        let Some(cursor) = &mut self.cursor else { return self.enter_first_segment() };
        match cursor.peek(self.next_sequence)? {
            Peeked::Record { sequence, .. } if sequence > sequence_max => Ok(Step::Waiting),
            Peeked::Record { sequence, payload, bytes } => {
                cursor.skip(bytes);
                if sequence > self.next_sequence {
                    let at = cursor.offset() - bytes as u64;
                    self.report_damage(at..at, self.next_sequence..sequence);
                }
                self.next_sequence = sequence + 1;
                if sequence > self.skip_through {
                    self.pending_bytes += payload.len();
                    self.pending.push_back(Delivery { position: Position(sequence), payload });
                }
                Ok(Step::Advanced)
            }
            Peeked::Nothing(defect) => self.explain_nothing(defect, sequence_max),
        }
    }

    /// Starts with the segment that holds the first record not consumed, or the oldest there is.
    fn enter_first_segment(&mut self) -> Result<Step, ConsumeError> {
        let mut segments = list_segments(&self.config.dir)?;
        if segments.first().is_some_and(|segment| segment.first_sequence > self.next_sequence) {
            // A listing may miss what is created during it, and have what is created after that.
            segments = list_segments(&self.config.dir)?;
        }
        let after = segments.partition_point(|segment| segment.first_sequence <= self.next_sequence);
        let start = after.saturating_sub(1);
        for segment in &segments[..start] {
            self.finished
                .push_back(FinishedSegment { path: segment.path.clone(), last_sequence: self.skip_through });
        }
        let Some(segment) = segments.get(start) else { return Ok(Step::Waiting) };
        let entered = self.enter(segment)?;
        self.delete_consumed();
        Ok(entered)
    }

    /// Decides what nothing readable at the reader's place means.
    fn explain_nothing(&mut self, defect: Defect, sequence_max: u64) -> Result<Step, ConsumeError> {
        let Some(cursor) = &mut self.cursor else { return Ok(Step::Waiting) };
        let later = segment_after(&self.config.dir, cursor.first_sequence())?;
        let modified = cursor.modified()?;
        // Known to be durable, by the writer in this process; or the first look at what may be an
        // old segment; or something that is not blank, and was written to since it was searched.
        let suspicious = sequence_max != u64::MAX
            || self.searched.is_none()
            || (defect != Defect::Blank && self.searched != Some(modified));
        if later.is_none() && !suspicious {
            return Ok(Step::Waiting);
        }
        let found = cursor.find_next(self.next_sequence..=sequence_max)?;
        cursor.forget_chunk();
        if let Peeked::Record { sequence, .. } = cursor.peek(self.next_sequence)?
            && sequence <= sequence_max
        {
            return Ok(Step::Advanced);
        }
        match (found, later) {
            (Some(found), _) => {
                self.pass_damage(found);
                Ok(Step::Advanced)
            }
            (None, Some(later)) => self.finish_segment(&later),
            (None, None) => {
                self.searched = Some(modified);
                Ok(Step::Waiting)
            }
        }
    }

    /// Passes over unreadable bytes to a readable record of the same segment.
    fn pass_damage(&mut self, found: Found) {
        let Some(cursor) = &mut self.cursor else { return };
        let range = cursor.offset()..found.offset;
        cursor.skip_to(found);
        let missing = self.next_sequence..found.sequence;
        self.next_sequence = found.sequence;
        self.report_damage(range, missing);
    }

    /// Leaves a segment for a later one, whose header tells whether records are missing between.
    fn finish_segment(&mut self, later: &SegmentFile) -> Result<Step, ConsumeError> {
        let Some(cursor) = &mut self.cursor else { return Ok(Step::Waiting) };
        let range = cursor.offset()..cursor.written_end()?;
        let finished =
            FinishedSegment { path: cursor.path().to_owned(), last_sequence: self.next_sequence - 1 };
        let Some(next) = SegmentReader::open(&later.path, later.first_sequence)? else {
            return Ok(Step::Advanced);
        };
        let missing = self.next_sequence..next.previous_sequence().map_or(0, |sequence| sequence + 1);
        if !missing.is_empty()
            && segment_after(&self.config.dir, cursor.first_sequence())?.map(|segment| segment.first_sequence)
                != Some(later.first_sequence)
        {
            // The listing that gave `later` missed an earlier one, created during it.
            return Ok(Step::Advanced);
        }
        if !missing.is_empty() || (!cursor.can_find_records() && !range.is_empty()) {
            self.report_damage(range, missing);
        } else if let (false, Peeked::Nothing(reason)) = (range.is_empty(), cursor.peek(self.next_sequence)?)
        {
            events::failed_write_passed(cursor.path(), &range, reason);
        }
        self.finished.push_back(finished);
        self.enter(later)?;
        self.delete_consumed();
        Ok(Step::Advanced)
    }

    fn enter(&mut self, segment: &SegmentFile) -> Result<Step, ConsumeError> {
        let Some(cursor) = SegmentReader::open(&segment.path, segment.first_sequence)? else {
            return Ok(Step::Waiting);
        };
        if self.cursor.is_none() {
            // Read from its start; what was consumed before is passed over. Records that should
            // stand before it, and were not consumed, are missing.
            let previous = cursor.previous_sequence().unwrap_or(0);
            if self.skip_through > 0
                && previous > self.skip_through
                && segment.first_sequence > self.next_sequence
            {
                self.damage.ranges += 1;
                self.damage.records_lost += previous - self.skip_through;
                events::range_damaged(&segment.path, &(0..0), previous - self.skip_through, None);
            }
        }
        if cursor.header_damaged() {
            self.damage.ranges += 1;
            events::header_damaged(&segment.path);
        }
        self.next_sequence = segment.first_sequence;
        self.searched = None;
        self.cursor = Some(cursor);
        Ok(Step::Advanced)
    }

    /// Counts, logs and keeps an unreadable range, unless all that is missing was consumed before.
    fn report_damage(&mut self, range: std::ops::Range<u64>, missing: std::ops::Range<u64>) {
        let Some(cursor) = &self.cursor else { return };
        let records_lost = missing.end.saturating_sub(missing.start.max(self.skip_through + 1));
        if records_lost == 0 && cursor.can_find_records() {
            return;
        }
        let kept = if range.is_empty() {
            Ok(None)
        } else {
            let (dir, bytes_max) = (&self.config.dir, self.config.segment_bytes);
            set_aside::keep(dir, cursor.first_sequence(), cursor.file(), range.clone(), bytes_max)
        };
        let kept_in = kept.unwrap_or_else(|error| {
            events::set_aside_failed(&error);
            None
        });
        self.damage.ranges += 1;
        self.damage.bytes += range.end - range.start;
        self.damage.records_lost += records_lost;
        events::range_damaged(cursor.path(), &range, records_lost, kept_in.as_deref());
    }

    /// Gives back segments that are read to their end and consumed. A failure is logged, and tried again
    /// with the next acknowledgement: it costs space, not records.
    ///
    /// Invariant: a segment is deleted only after the position behind it is on the disk, and never
    /// the last one, whose sequences a writer goes on from.
    fn delete_consumed(&mut self) {
        while let Some(oldest) = self.finished.front()
            && oldest.last_sequence <= self.consumed.sequence()
        {
            let removed = self.consumed.sync().and_then(|()| match self.freeing.remove(&oldest.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(StorageError { action: "remove", path: oldest.path.clone(), source: error })
                }
                _ => Ok(()),
            });
            if let Err(error) = removed {
                events::segment_delete_failed(&error);
                return;
            }
            self.finished.pop_front();
        }
    }
}

/// The first segment behind the one that starts with this sequence.
fn segment_after(dir: &Path, first_sequence: u64) -> Result<Option<SegmentFile>, StorageError> {
    Ok(list_segments(dir)?.into_iter().find(|segment| segment.first_sequence > first_sequence))
}
