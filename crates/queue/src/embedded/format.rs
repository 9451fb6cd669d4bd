//! The bytes of a segment: its header, its records, and how each is told from garbage.
//!
//! All integers are little-endian.
//!
//! ```text
//! segment   header page (4096 bytes), then records back to back, then zeros (preallocated space)
//! header    0 "TILLWLOG"   8 version u32   12 zero u32   16 first sequence u64
//!           24 previous sequence u64   32 mark u64   40 crc32c of bytes 0..40 u32   44.. zeros
//! record    0 mark u64   8 payload length u32   12 crc32c u32   16 sequence u64
//!           24 payload, then zeros up to a multiple of 8
//! ```
//!
//! A record's checksum covers its mark, length, sequence and payload.
//!
//! The mark is a random number drawn for each segment. It is what a search for the next readable
//! record looks for after damage; being unguessable, it cannot be forged inside a webhook's body.
//!
//! The header has a page of its own that is never written again, so a torn write of a record can
//! not damage it. If it is damaged nevertheless, the first record, whose place is known, gives the
//! mark again.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Where the first record starts.
pub(crate) const HEADER_BYTES: u64 = HEADER_PAGE_BYTES as u64;
/// The same, as the size of a buffer.
pub(crate) const HEADER_PAGE_BYTES: usize = 4096;
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// Every record starts at a multiple of this, so that a search needs to look at fewer places.
pub(crate) const ALIGNMENT: usize = 8;

const MAGIC: [u8; 8] = *b"TILLWLOG";
const VERSION: u32 = 1;
const HEADER_USED_BYTES: usize = 44;

/// The random number that tells a segment's records from everything else. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// A fresh mark: the standard library's hash keys come from the operating system's randomness.
    pub(crate) fn random(first_sequence: u64) -> Self {
        Self(RandomState::new().hash_one(first_sequence) | 1)
    }

    /// The mark as it stands at the start of every record.
    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// The first page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Sequence of the first record; also the file's name.
    pub(crate) first_sequence: u64,
    /// Sequence of the last durable record before this segment. Numbers between it and
    /// `first_sequence` were never acknowledged; a missing record up to it was.
    pub(crate) previous_sequence: u64,
    /// What every record of this segment starts with.
    pub(crate) mark: Mark,
}

/// What the first page of a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodedHeader {
    Header(SegmentHeader),
    /// Intact, but written in a format this program does not know.
    UnknownVersion(u32),
    Damaged,
}

impl SegmentHeader {
    /// The whole header page.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADER_PAGE_BYTES);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(&self.first_sequence.to_le_bytes());
        page.extend_from_slice(&self.previous_sequence.to_le_bytes());
        page.extend_from_slice(&self.mark.bytes());
        page.extend_from_slice(&crc32c::crc32c(&page).to_le_bytes());
        page.resize(HEADER_PAGE_BYTES, 0);
        page
    }

    /// Reads a header page; anything shorter or not matching its checksum is damaged.
    pub(crate) fn decode(page: &[u8]) -> DecodedHeader {
        if page.len() < HEADER_USED_BYTES
            || page[..8] != MAGIC
            || crc32c::crc32c(&page[..40]) != u32_at(page, 40)
        {
            return DecodedHeader::Damaged;
        }
        if u32_at(page, 8) != VERSION {
            return DecodedHeader::UnknownVersion(u32_at(page, 8));
        }
        DecodedHeader::Header(Self {
            first_sequence: u64_at(page, 16),
            previous_sequence: u64_at(page, 24),
            mark: Mark(u64_at(page, 32)),
        })
    }
}

/// What stands at a place where a record may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A record whose checksum matches.
    Record {
        sequence: u64,
        /// Where the payload is, relative to the record's start.
        payload: Range<usize>,
        /// From this record's start to the next one's.
        bytes: usize,
    },
    /// The given bytes end before the record does; the file has at least this many more to give.
    Short { needed: usize },
    /// No record.
    Invalid(Defect),
}

/// Why the bytes at a place are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Zeros: space that was never written.
    Blank,
    /// The file ends within the record's header.
    CutShort,
    /// The record does not start with the segment's mark.
    WrongMark,
    /// The stated length reaches beyond the file's end.
    LengthBeyondFile,
    /// The checksum does not match the bytes.
    ChecksumMismatch,
    /// Intact, but its sequence was already seen.
    SequenceRepeated,
    /// The segment's header and its first record are both unreadable.
    HeaderUnreadable,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank",
            Self::CutShort => "cut short",
            Self::WrongMark => "wrong mark",
            Self::LengthBeyondFile => "length beyond the file",
            Self::ChecksumMismatch => "checksum mismatch",
            Self::SequenceRepeated => "sequence repeated",
            Self::HeaderUnreadable => "header unreadable",
        })
    }
}

/// How many bytes of a segment a payload takes.
pub(crate) fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

/// Appends a record to `buffer` whose place is not known yet: its header tells the length alone until
/// [`seal_record`] fills in the rest. The payload is given in pieces.
pub(crate) fn stage_record(buffer: &mut Vec<u8>, payload: &[&[u8]]) {
    let payload_bytes = payload.iter().map(|piece| piece.len()).sum();
    let end = buffer.len() + record_bytes(payload_bytes);
    buffer.reserve(record_bytes(payload_bytes));
    buffer.extend_from_slice(&[0; 8]);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a segment, and so a record, is at most 4 GiB: checked when the log is opened"
    )]
    buffer.extend_from_slice(&(payload_bytes as u32).to_le_bytes());
    buffer.extend_from_slice(&[0; 12]);
    for piece in payload {
        buffer.extend_from_slice(piece);
    }
    buffer.resize(end, 0);
}

/// Payload bytes of the record staged at the start of `bytes`; `None` at the end.
pub(crate) fn staged_payload_bytes(bytes: &[u8]) -> Option<usize> {
    (!bytes.is_empty()).then(|| u32_at(bytes, 8) as usize)
}

/// Completes the record staged at the start of `bytes`, whose place is known now.
pub(crate) fn seal_record(bytes: &mut [u8], mark: Mark, sequence: u64) {
    let length = u32_at(bytes, 8);
    let payload = RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length as usize;
    let checksum = checksum(mark, length, sequence, &bytes[payload]);
    bytes[..8].copy_from_slice(&mark.bytes());
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
}

/// Reads what stands at the start of `bytes`, where the file has `room` bytes from there on.
pub(crate) fn decode_record(bytes: &[u8], mark: Mark, room: u64) -> Decoded {
    if bytes.len() < RECORD_HEADER_BYTES {
        return if room < RECORD_HEADER_BYTES as u64 {
            Decoded::Invalid(if bytes.iter().all(|byte| *byte == 0) {
                Defect::Blank
            } else {
                Defect::CutShort
            })
        } else {
            Decoded::Short { needed: RECORD_HEADER_BYTES }
        };
    }
    let header = &bytes[..RECORD_HEADER_BYTES];
    if header[..8] != mark.bytes() {
        let blank = header.iter().all(|byte| *byte == 0);
        return Decoded::Invalid(if blank { Defect::Blank } else { Defect::WrongMark });
    }
    let length = u32_at(header, 8);
    let end = RECORD_HEADER_BYTES + length as usize;
    if end as u64 > room {
        return Decoded::Invalid(Defect::LengthBeyondFile);
    }
    if bytes.len() < end {
        return Decoded::Short { needed: end };
    }
    let sequence = u64_at(header, 16);
    let payload = RECORD_HEADER_BYTES..end;
    if checksum(mark, length, sequence, &bytes[payload.clone()]) != u32_at(header, 12) {
        return Decoded::Invalid(Defect::ChecksumMismatch);
    }
    Decoded::Record { sequence, payload, bytes: record_bytes(length as usize) }
}

/// The mark that stands at the start of a segment's first record, wherever its header is lost.
pub(crate) fn mark_of_first_record(bytes: &[u8]) -> Option<Mark> {
    (bytes.len() >= 8 && u64_at(bytes, 0) != 0).then(|| Mark(u64_at(bytes, 0)))
}

fn checksum(mark: Mark, length: u32, sequence: u64, payload: &[u8]) -> u32 {
    let mut head = [0; 20];
    head[..8].copy_from_slice(&mark.bytes());
    head[8..12].copy_from_slice(&length.to_le_bytes());
    head[12..].copy_from_slice(&sequence.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark(0x1122_3344_5566_7789);

    fn record(sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (front, back) = payload.split_at(payload.len() / 2);
        stage_record(&mut bytes, &[front, back]);
        seal_record(&mut bytes, MARK, sequence);
        bytes
    }

    #[test]
    fn a_header_survives_the_round_trip() {
        let header = SegmentHeader { first_sequence: 7, previous_sequence: 5, mark: MARK };
        let page = header.encode();
        assert_eq!(page.len() as u64, HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&page), DecodedHeader::Header(header));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_noticed() {
        let page = SegmentHeader { first_sequence: 7, previous_sequence: 5, mark: MARK }.encode();
        for bit in 0..HEADER_USED_BYTES * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), DecodedHeader::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_a_later_version_is_named_as_such() {
        let mut page = SegmentHeader { first_sequence: 7, previous_sequence: 5, mark: MARK }.encode();
        page[8] = 9;
        let crc = crc32c::crc32c(&page[..40]);
        page[40..44].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&page), DecodedHeader::UnknownVersion(9));
    }

    #[test]
    fn a_record_survives_the_round_trip_at_every_length() {
        for length in 0..64 {
            let payload: Vec<u8> = (0..length).collect();
            let bytes = record(42, &payload);
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            match decode_record(&bytes, MARK, bytes.len() as u64) {
                Decoded::Record { sequence: 42, payload: range, bytes: taken } => {
                    assert_eq!(&bytes[range], &payload[..]);
                    assert_eq!(taken, bytes.len());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_record_is_noticed() {
        let bytes = record(42, b"sixteen bytes ..");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode_record(&flipped, MARK, flipped.len() as u64);
            assert!(matches!(decoded, Decoded::Invalid(_)), "bit {bit}: {decoded:?}");
        }
    }

    #[test]
    fn a_record_that_continues_beyond_the_given_bytes_says_how_much_it_needs() {
        let bytes = record(1, &[7; 100]);
        assert_eq!(decode_record(&bytes[..10], MARK, 124), Decoded::Short { needed: 24 });
        assert_eq!(decode_record(&bytes[..30], MARK, 124), Decoded::Short { needed: 124 });
        assert_eq!(decode_record(&bytes[..30], MARK, 100), Decoded::Invalid(Defect::LengthBeyondFile));
        assert_eq!(decode_record(&bytes[..10], MARK, 10), Decoded::Invalid(Defect::CutShort));
    }

    #[test]
    fn zeros_are_blank_and_not_a_record() {
        assert_eq!(decode_record(&[0; 64], MARK, 64), Decoded::Invalid(Defect::Blank));
        assert_eq!(decode_record(&[], MARK, 0), Decoded::Invalid(Defect::Blank));
    }
}
