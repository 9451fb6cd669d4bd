//! Several records in one AMQP message: the broker's work is per message, so what is waiting travels together.
//!
//! # Format, version 1
//!
//! Integers are little-endian.
//!
//! ```text
//! 3 bytes "TWF", u8 version = 1, u16 records (at least 1)
//! records × (u32 bytes, u32 crc32c of the bytes, the bytes)
//! ```
//!
//! Nothing follows the last record. A message that holds a frame says so by its content type,
//! [`CONTENT_TYPE`]; a message of any other content type is one record, as it is. A field is never added without a new
//! version number; readers keep reading every version ever written.

use bytes::{Buf as _, Bytes};
use lapin::BasicProperties;

/// The AMQP content type of a message that holds a frame.
pub const CONTENT_TYPE: &str = "application/vnd.tillwatch.frame";

const MAGIC: &[u8; 3] = b"TWF";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 6;
const RECORD_HEAD_BYTES: usize = 8;

/// A frame being filled.
#[derive(Clone, Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    records: u16,
}

/// A message that is no frame, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something else under a frame's content type.
    #[error("the message does not begin as a frame does")]
    NotAFrame,
    /// Written by a later version of this program.
    #[error(
        "the frame has version {0}, and this program reads version {VERSION}; upgrade the processor first"
    )]
    Version(u8),
    /// Ends too early, has bytes left over, or holds no record.
    #[error("a frame of {bytes} bytes does not have the length its {records} records say")]
    Length {
        /// Bytes of the frame.
        bytes: usize,
        /// Records it should hold.
        records: u16,
    },
    /// Not the bytes that were written.
    #[error("record {index} of the frame is damaged: its checksum does not match")]
    Checksum {
        /// Which record, counted from 0.
        index: u16,
    },
}

impl FrameWriter {
    /// An empty frame, with memory for a body of so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut frame = Vec::with_capacity(HEAD_BYTES.saturating_add(bytes));
        frame.extend_from_slice(MAGIC);
        frame.push(VERSION);
        frame.extend_from_slice(&0_u16.to_le_bytes());
        Self { bytes: frame, records: 0 }
    }

    /// Adds a record, given in pieces; `false`, and nothing is added, if the frame can hold no more records or the
    /// record is longer than its length field says (4 GiB).
    #[must_use]
    pub fn push(&mut self, record: &[&[u8]]) -> bool {
        let length: usize = record.iter().map(|piece| piece.len()).sum();
        let (Ok(length), Some(records)) = (u32::try_from(length), self.records.checked_add(1)) else {
            return false;
        };
        let checksum = record.iter().fold(0, |checksum, piece| crc32c::crc32c_append(checksum, piece));
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        for piece in record {
            self.bytes.extend_from_slice(piece);
        }
        self.records = records;
        true
    }

    /// Records added so far.
    pub fn records(&self) -> usize {
        usize::from(self.records)
    }

    /// Bytes of the frame so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The frame; `None` if nothing was added.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        if self.records == 0 {
            return None;
        }
        self.bytes[MAGIC.len() + 1..HEAD_BYTES].copy_from_slice(&self.records.to_le_bytes());
        Some(self.bytes)
    }
}

/// Whether a message says of itself that it is a frame.
pub(super) fn is_frame(properties: &BasicProperties) -> bool {
    properties.content_type().as_ref().is_some_and(|kind| kind.as_str() == CONTENT_TYPE)
}

/// The records of a frame, in the order they were added; they share the frame's memory. Invariant: all of them or
/// none, so that whoever cannot read a frame still has it whole.
pub fn records(mut frame: Bytes) -> Result<Vec<Bytes>, FrameError> {
    let bytes = frame.len();
    if bytes < HEAD_BYTES || frame.split_to(MAGIC.len()) != MAGIC[..] {
        return Err(FrameError::NotAFrame);
    }
    let version = frame.get_u8();
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let count = frame.get_u16_le();
    let length = FrameError::Length { bytes, records: count };
    // What the count claims is not believed before the bytes are there.
    if count == 0 || frame.len() < usize::from(count) * RECORD_HEAD_BYTES {
        return Err(length);
    }
    let mut records = Vec::with_capacity(usize::from(count));
    for index in 0..count {
        if frame.len() < RECORD_HEAD_BYTES {
            return Err(length);
        }
        let record_bytes = usize::try_from(frame.get_u32_le()).unwrap_or(usize::MAX);
        let checksum = frame.get_u32_le();
        if frame.len() < record_bytes {
            return Err(length);
        }
        let record = frame.split_to(record_bytes);
        if crc32c::crc32c(&record) != checksum {
            return Err(FrameError::Checksum { index });
        }
        records.push(record);
    }
    if frame.is_empty() { Ok(records) } else { Err(length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(records: &[&[u8]]) -> Vec<u8> {
        let mut frame = FrameWriter::with_capacity(64);
        for record in records {
            assert!(frame.push(&[record]));
        }
        frame.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..70),
            cut in 0_usize..300,
        ) {
            let mut frame = FrameWriter::with_capacity(0);
            for record in &written {
                let (front, back) = record.split_at(cut.min(record.len()));
                prop_assert!(frame.push(&[front, back]));
            }
            prop_assert_eq!(frame.records(), written.len());
            let length = frame.bytes();
            let frame = frame.finish().unwrap();
            prop_assert_eq!(frame.len(), length);
            prop_assert_eq!(records(frame.into()).unwrap(), written);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(bytes.clone().into());
            let headed = [b"TWF\x01".as_slice(), &bytes].concat();
            let _ = records(headed.into());
        }
    }

    #[test]
    fn a_frame_cut_anywhere_or_with_a_byte_too_many_is_refused() {
        let whole = framed(&[b"one", b"", b"three"]);
        for end in 0..whole.len() {
            assert!(records(whole[..end].to_vec().into()).is_err(), "cut at {end}");
        }
        let longer = [whole.as_slice(), b"x"].concat();
        assert_eq!(records(longer.into()), Err(FrameError::Length { bytes: whole.len() + 1, records: 3 }));
    }

    #[test]
    fn a_frame_with_any_bit_turned_is_refused() {
        let whole = framed(&[b"one", b"", b"three"]);
        for at in 0..whole.len() * 8 {
            let mut turned = whole.clone();
            turned[at / 8] ^= 1 << (at % 8);
            assert!(records(turned.into()).is_err(), "bit {at}");
        }
    }

    #[test]
    fn the_damaged_record_is_named() {
        let mut damaged = framed(&[b"one", b"two"]);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(records(damaged.into()), Err(FrameError::Checksum { index: 1 }));
    }

    #[test]
    fn a_count_that_claims_more_than_is_there_takes_no_memory_for_it() {
        let claims = b"TWF\x01\xff\xff\0\0\0\0\0\0\0\0";
        assert_eq!(
            records(Bytes::from_static(claims)),
            Err(FrameError::Length { bytes: claims.len(), records: u16::MAX })
        );
    }

    #[test]
    fn a_later_version_and_something_else_are_told_apart() {
        let mut later = framed(&[b"one"]);
        later[3] = 2;
        assert_eq!(records(later.into()), Err(FrameError::Version(2)));
        assert_eq!(records(Bytes::from_static(b"{\"id\":\"evt_1\"}")), Err(FrameError::NotAFrame));
        assert_eq!(records(Bytes::new()), Err(FrameError::NotAFrame));
    }

    #[test]
    fn a_full_frame_takes_no_more_and_stays_whole() {
        let mut frame = FrameWriter::with_capacity(0);
        for _ in 0..u16::MAX {
            assert!(frame.push(&[]));
        }
        assert!(!frame.push(&[b"one too many"]));
        assert_eq!(records(frame.finish().unwrap().into()).unwrap().len(), usize::from(u16::MAX));
        assert_eq!(FrameWriter::with_capacity(0).finish(), None);
    }

    /// The first version's bytes, kept for ever: a reader that cannot read them would lose what is queued.
    #[test]
    fn version_1_is_still_read() {
        // Of "123456789" the checksum is known: 0xe3069283 (RFC 3720's CRC32C, its usual check value).
        let written_by_version_1 = b"TWF\x01\x02\x00\x09\0\0\0\x83\x92\x06\xe3123456789\0\0\0\0\0\0\0\0";
        assert_eq!(framed(&[b"123456789", b""]), written_by_version_1);
        let read = records(Bytes::from_static(written_by_version_1)).unwrap();
        assert_eq!(read, [Bytes::from_static(b"123456789"), Bytes::new()]);
    }
}
