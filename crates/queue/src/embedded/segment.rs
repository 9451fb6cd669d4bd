//! Reading one segment: record after record in large chunks, the search for the next readable
//! record after damage, and where its written part ends.

use super::format::{
    ALIGNMENT, Decoded, DecodedHeader, Defect, HEADER_BYTES, HEADER_PAGE_BYTES, Mark, RECORD_HEADER_BYTES,
    SegmentHeader, decode_record, mark_of_first_record,
};
use crate::{ConsumeError, OpenError, StorageError};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a reader at the end of the log fetches; doubled while more comes, up to the maximum.
const CHUNK_BYTES_MIN: usize = 16 * 1024;
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// What stands at the reader's offset.
#[derive(Debug)]
pub(crate) enum Peeked {
    /// A record; `skip` it to get to the next place.
    Record { sequence: u64, payload: Bytes, bytes: usize },
    /// Nothing readable, after a fresh look at the file.
    Nothing(Defect),
}

/// A readable record found behind unreadable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Storage(StorageError),
    UnknownVersion { segment: PathBuf, found: u32 },
}

/// A segment open for reading.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: File,
    path: PathBuf,
    first_sequence: u64,
    previous_sequence: Option<u64>,
    mark: Option<Mark>,
    header_damaged: bool,
    offset: u64,
    file_bytes: u64,
    chunk: Bytes,
    chunk_offset: u64,
    chunk_bytes: usize,
}

impl SegmentReader {
    /// Opens a segment at its first record; `None` if it is not there (any more).
    pub(crate) fn open(path: &Path, first_sequence: u64) -> Result<Option<Self>, SegmentError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StorageError { action: "open", path: path.to_owned(), source }.into()),
        };
        let mut reader = Self {
            file,
            path: path.to_owned(),
            first_sequence,
            previous_sequence: None,
            mark: None,
            header_damaged: false,
            offset: HEADER_BYTES,
            file_bytes: 0,
            chunk: Bytes::new(),
            chunk_offset: HEADER_BYTES,
            chunk_bytes: CHUNK_BYTES_MIN,
        };
        reader.read_header().map_err(|error| match error {
            HeaderError::Io(source) => SegmentError::Storage(reader.read_failed(source)),
            HeaderError::UnknownVersion(found) => {
                SegmentError::UnknownVersion { segment: path.to_owned(), found }
            }
        })?;
        Ok(Some(reader))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// The last acknowledged sequence before this segment, where its header tells.
    pub(crate) fn previous_sequence(&self) -> Option<u64> {
        self.previous_sequence
    }

    pub(crate) fn header_damaged(&self) -> bool {
        self.header_damaged
    }

    /// Whether the mark of the segment's records is known. Only a header *and* a first record that
    /// are both damaged make it unknown.
    pub(crate) fn can_find_records(&self) -> bool {
        self.mark.is_some()
    }

    /// Where the next record is expected.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// When the file was last written to.
    pub(crate) fn modified(&self) -> Result<SystemTime, StorageError> {
        self.file.metadata().and_then(|metadata| metadata.modified()).map_err(|error| self.read_failed(error))
    }

    /// Looks at the reader's offset; whatever is not a record from `sequence_min` on is looked at
    /// afresh before it is called nothing, since the chunk may be older than the file.
    pub(crate) fn peek(&mut self, sequence_min: u64) -> Result<Peeked, StorageError> {
        let Some(mark) = self.mark else { return Ok(Peeked::Nothing(Defect::HeaderUnreadable)) };
        let mut fresh = false;
        loop {
            let start = usize::try_from(self.offset - self.chunk_offset).unwrap_or(usize::MAX);
            let rest = self.chunk.get(start..).unwrap_or_default();
            let room = self.file_bytes.saturating_sub(self.offset);
            let defect = match decode_record(rest, mark, room) {
                Decoded::Record { sequence, payload, bytes } if sequence >= sequence_min => {
                    let payload = self.chunk.slice(start + payload.start..start + payload.end);
                    return Ok(Peeked::Record { sequence, payload, bytes });
                }
                Decoded::Short { needed } => {
                    fresh = true;
                    if self.fetch(needed)? < needed {
                        return Ok(Peeked::Nothing(Defect::CutShort));
                    }
                    continue;
                }
                Decoded::Record { .. } => Defect::SequenceRepeated,
                Decoded::Invalid(defect) => defect,
            };
            if fresh {
                self.chunk_bytes = CHUNK_BYTES_MIN;
                return Ok(Peeked::Nothing(defect));
            }
            fresh = true;
            self.fetch(RECORD_HEADER_BYTES)?;
        }
    }

    /// Moves on by the bytes of the record peeked at.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    /// Moves on to a record found.
    pub(crate) fn skip_to(&mut self, found: Found) {
        self.offset = found.offset;
    }

    /// Forgets what was read ahead: the next look is at the file as it is then.
    pub(crate) fn forget_chunk(&mut self) {
        self.chunk = Bytes::new();
        self.chunk_offset = self.offset;
    }

    /// The first readable record behind the reader's offset whose sequence is in the range.
    pub(crate) fn find_next(
        &self,
        sequences: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<Found>, StorageError> {
        let Some(mark) = self.mark else { return Ok(None) };
        let mut window = vec![0; CHUNK_BYTES_MAX];
        let mut window_offset = self.offset + ALIGNMENT as u64;
        loop {
            let read = self.read_at(&mut window, window_offset)?;
            for (place, candidate) in window[..read].chunks_exact(ALIGNMENT).enumerate() {
                if *candidate != mark.bytes() {
                    continue;
                }
                let offset = window_offset + (place * ALIGNMENT) as u64;
                if let Some(sequence) = self.sequence_at(offset, mark)?
                    && sequences.contains(&sequence)
                {
                    return Ok(Some(Found { offset, sequence }));
                }
            }
            if read < window.len() {
                return Ok(None);
            }
            window_offset += read as u64;
        }
    }

    /// Where the last byte that is not zero ends; the reader's offset if there is none behind it.
    pub(crate) fn written_end(&self) -> Result<u64, StorageError> {
        let mut end = self.file.metadata().map_err(|error| self.read_failed(error))?.len();
        let mut window = vec![0; CHUNK_BYTES_MAX];
        while end > self.offset {
            let start = end.saturating_sub(CHUNK_BYTES_MAX as u64).max(self.offset);
            let length = usize::try_from(end - start).unwrap_or(CHUNK_BYTES_MAX);
            let read = self.read_at(&mut window[..length], start)?;
            if let Some(last) = window[..read].iter().rposition(|byte| *byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(self.offset)
    }

    fn read_header(&mut self) -> Result<(), HeaderError> {
        let mut page = vec![0; HEADER_PAGE_BYTES];
        let read = read_full(&self.file, &mut page, 0)?;
        match SegmentHeader::decode(&page[..read]) {
            DecodedHeader::Header(header) if header.first_sequence == self.first_sequence => {
                self.mark = Some(header.mark);
                self.previous_sequence = Some(header.previous_sequence);
            }
            DecodedHeader::UnknownVersion(found) => return Err(HeaderError::UnknownVersion(found)),
            DecodedHeader::Header(_) | DecodedHeader::Damaged => {
                self.header_damaged = true;
                self.mark = self.mark_from_first_record()?;
            }
        }
        Ok(())
    }

    /// The first record's place and sequence are known: if it is intact, its mark is the segment's.
    fn mark_from_first_record(&self) -> io::Result<Option<Mark>> {
        let mut start = [0; 8];
        let read = read_full(&self.file, &mut start, HEADER_BYTES)?;
        let Some(mark) = mark_of_first_record(&start[..read]) else { return Ok(None) };
        let sequence = sequence_at(&self.file, HEADER_BYTES, mark)?;
        Ok((sequence == Some(self.first_sequence)).then_some(mark))
    }

    fn fetch(&mut self, needed: usize) -> Result<usize, StorageError> {
        self.file_bytes = self.file.metadata().map_err(|error| self.read_failed(error))?.len();
        let room = usize::try_from(self.file_bytes.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; self.chunk_bytes.max(needed).min(room)];
        let read = self.read_at(&mut chunk, self.offset)?;
        chunk.truncate(read);
        self.chunk = Bytes::from(chunk);
        self.chunk_offset = self.offset;
        self.chunk_bytes = (self.chunk_bytes * 2).min(CHUNK_BYTES_MAX);
        Ok(read)
    }

    fn sequence_at(&self, offset: u64, mark: Mark) -> Result<Option<u64>, StorageError> {
        sequence_at(&self.file, offset, mark).map_err(|error| self.read_failed(error))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        read_full(&self.file, buffer, offset).map_err(|error| self.read_failed(error))
    }

    fn read_failed(&self, source: io::Error) -> StorageError {
        StorageError { action: "read", path: self.path.clone(), source }
    }
}

enum HeaderError {
    Io(io::Error),
    UnknownVersion(u32),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StorageError> for SegmentError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<SegmentError> for OpenError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Storage(error) => Self::Storage(error),
            SegmentError::UnknownVersion { segment, found } => Self::UnknownVersion { segment, found },
        }
    }
}

impl From<SegmentError> for ConsumeError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Storage(error) => Self::Storage(error),
            SegmentError::UnknownVersion { segment, found } => Self::UnknownVersion { segment, found },
        }
    }
}

/// Sequence of the record at `offset`, if an intact one stands there.
fn sequence_at(file: &File, offset: u64, mark: Mark) -> io::Result<Option<u64>> {
    let room = file.metadata()?.len().saturating_sub(offset);
    let mut record = vec![0; RECORD_HEADER_BYTES];
    loop {
        let read = read_full(file, &mut record, offset)?;
        match decode_record(&record[..read], mark, room) {
            Decoded::Record { sequence, .. } => return Ok(Some(sequence)),
            // The length was compared with the file's, so this is bounded by a segment.
            Decoded::Short { needed } if needed > record.len() => record.resize(needed, 0),
            Decoded::Short { .. } | Decoded::Invalid(_) => return Ok(None),
        }
    }
}

/// Fills `buffer` as far as the file goes.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
