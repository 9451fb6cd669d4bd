//! What a record carries on the log besides its payload: its lane, and since when it is there.
//!
//! ```text
//! 0   version     u8, 1
//! 1   lane        u16, little endian
//! 3   spooled at  i64, milliseconds since 1970, little endian
//! 11  payload
//! ```

use bytes::{Buf as _, Bytes};
use std::time::{Duration, SystemTime};

const VERSION: u8 = 1;

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 11;

/// A record as it came off the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) lane: usize,
    pub(super) spooled_at: SystemTime,
    pub(super) payload: Bytes,
}

/// The log holds something that this version has not put there.
#[derive(Debug, thiserror::Error)]
#[error(
    "a spooled record of {bytes} bytes begins with {version:?}, and this version reads those that begin with 1"
)]
pub(super) struct UnknownRecord {
    bytes: usize,
    version: Option<u8>,
}

/// The time; only ever shown, as an age.
#[expect(clippy::disallowed_methods, reason = "it outlives the process, and nothing is decided by it")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// The head of a record.
pub(super) fn head(lane: usize, spooled_at: SystemTime) -> [u8; HEAD_BYTES] {
    // A clock before 1970 only makes the spool look old.
    let since = spooled_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let mut head = [VERSION; HEAD_BYTES];
    let lane = u16::try_from(lane).unwrap_or(u16::MAX);
    head[1..3].copy_from_slice(&lane.to_le_bytes());
    head[3..].copy_from_slice(&millis.to_le_bytes());
    head
}

impl Record {
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, UnknownRecord> {
        let version = bytes.first().copied();
        if version != Some(VERSION) || bytes.len() < HEAD_BYTES {
            return Err(UnknownRecord { bytes: bytes.len(), version });
        }
        bytes.advance(1);
        let lane = usize::from(bytes.get_u16_le());
        let millis = u64::try_from(bytes.get_i64_le()).unwrap_or(0);
        let spooled_at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Ok(Self { lane, spooled_at, payload: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let spooled_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_316_834_123);
        let mut bytes = head(3, spooled_at).to_vec();
        bytes.extend_from_slice(b"payload");
        let record = Record::decode(bytes.into()).unwrap();
        assert_eq!(record, Record { lane: 3, spooled_at, payload: Bytes::from_static(b"payload") });
    }

    #[test]
    fn what_another_version_wrote_is_told() {
        assert!(Record::decode(Bytes::new()).is_err());
        assert!(Record::decode(Bytes::from_static(&[1; HEAD_BYTES - 1])).is_err());
        let error = Record::decode(Bytes::from_static(&[2; 40])).unwrap_err().to_string();
        assert!(error.contains("40 bytes") && error.contains("Some(2)"), "{error}");
    }
}
