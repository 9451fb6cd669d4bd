//! How many webhooks ingest acknowledged, told through the queue so that it can be compared with what is stored.

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use crate::envelope::{DecodeError, KIND_TALLY, Reader, VERSION, put_text16};
use crate::time::UnixMillis;

/// So many uncertain webhooks of one tally are named; more are only counted.
pub const UNCERTAIN_NAMED_MAX: usize = 256;

/// What one ingest process did with the webhooks of one source that arrived within one minute, so far. It only grows,
/// and is sent again when it has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which count this is. Made when it is begun: another process, and the same one after its clock was set back, begin
    /// others, and these add up.
    pub cell: Uuid,
    /// The minute, by [`Envelope::received_at`](crate::Envelope::received_at).
    pub minute: UnixMillis,
    /// Which ingest process.
    pub instance: String,
    /// The configured source.
    pub source: String,
    /// Webhooks the queue said are durable.
    pub acknowledged: u64,
    /// The sum of their [`fingerprint`]s, modulo 2^64.
    pub fingerprint: u64,
    /// Webhooks handed to the queue that may be stored and were not acknowledged.
    pub uncertain: u64,
    /// The first [`UNCERTAIN_NAMED_MAX`] of them.
    pub uncertain_ids: Vec<Uuid>,
}

/// What a webhook adds to its tally's fingerprint: the last eight bytes of its id, of which 62 bits are random. Two sets
/// of equally many ids that are not the same have the same sum once in 2^62, and ids are made here, by nobody who would
/// want that.
pub fn fingerprint(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

impl Tally {
    /// The tally in wire format.
    pub fn encode(&self) -> Bytes {
        let named = &self.uncertain_ids[..self.uncertain_ids.len().min(usize::from(u16::MAX))];
        let texts = self.instance.len() + self.source.len();
        let mut out = BytesMut::with_capacity(56 + texts + 16 * named.len());
        out.put_u8(VERSION);
        out.put_u8(KIND_TALLY);
        out.put_slice(self.cell.as_bytes());
        out.put_i64_le(self.minute.0);
        put_text16(&mut out, &self.instance);
        put_text16(&mut out, &self.source);
        for number in [self.acknowledged, self.fingerprint, self.uncertain] {
            out.put_u64_le(number);
        }
        #[expect(clippy::cast_possible_truncation, reason = "cut to u16::MAX above")]
        out.put_u16_le(named.len() as u16);
        for id in named {
            out.put_slice(id.as_bytes());
        }
        out.freeze()
    }

    /// The fields behind version and kind.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (cell, minute) = (reader.uuid()?, reader.millis()?);
        let (instance, source) = (reader.text16()?, reader.text16()?);
        let (acknowledged, fingerprint, uncertain) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let named = reader.u16()?;
        let mut uncertain_ids = Vec::with_capacity(usize::from(named).min(UNCERTAIN_NAMED_MAX));
        for _ in 0..named {
            uncertain_ids.push(reader.uuid()?);
        }
        Ok(Self { cell, minute, instance, source, acknowledged, fingerprint, uncertain, uncertain_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueMessage;

    fn tally() -> Tally {
        Tally {
            cell: Uuid::from_u128(0x0193_5f00_0000_4000_8000_0000_0000_0002),
            minute: UnixMillis(1_795_316_820_000),
            instance: "till-1".to_owned(),
            source: "stripe-us".to_owned(),
            acknowledged: 1_200,
            fingerprint: u64::MAX - 1,
            uncertain: 2,
            uncertain_ids: vec![Uuid::from_u128(7), Uuid::from_u128(8)],
        }
    }

    #[test]
    fn a_tally_survives_the_round_trip() {
        assert_eq!(QueueMessage::decode(tally().encode()), Ok(QueueMessage::Tally(tally())));
    }

    #[test]
    fn a_tally_cut_anywhere_is_an_error_and_never_a_panic() {
        let bytes = tally().encode();
        for end in 0..bytes.len() {
            assert!(QueueMessage::decode(bytes.slice(..end)).is_err(), "cut at {end}");
        }
    }

    /// What a processor that is older than tallies makes of one: it parks what it cannot read.
    #[test]
    fn a_kind_that_is_not_known_yet_is_an_error_that_is_parked() {
        let mut bytes = tally().encode().to_vec();
        bytes[1] = KIND_TALLY + 1;
        assert_eq!(QueueMessage::decode(bytes.into()), Err(DecodeError::Kind(KIND_TALLY + 1)));
    }

    /// The first version's bytes, kept for ever.
    #[test]
    fn version_1_is_still_read() {
        let written_by_version_1 = "010301935f0000004000800000000000000220a83801a2010000060074696c6c2d31090073747269\
             70652d7573b004000000000000feffffffffffffff02000000000000000200000000000000000000\
             0000000000000700000000000000000000000000000008";
        let bytes = hex::decode(written_by_version_1).unwrap();
        assert_eq!(QueueMessage::decode(bytes.into()), Ok(QueueMessage::Tally(tally())));
    }

    #[test]
    fn the_fingerprint_is_the_last_eight_bytes() {
        assert_eq!(
            fingerprint(Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f)),
            0x0809_0a0b_0c0d_0e0f
        );
    }
}
