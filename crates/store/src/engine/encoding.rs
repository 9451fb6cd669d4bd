//! `Content-Encoding` of a request's body: gzip, and LZ4 frames, which ClickHouse's own clients prefer.
//! Source: RFC 1952; the LZ4 frame format, version 1.6.

use std::io::Write as _;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;

use super::exception::{Exception, code};

/// How a body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Lz4,
}

/// Input of gzip decoded in one step: it may grow a thousandfold.
const STEP_BYTES: usize = 4 << 10;
const FRAME_MAGIC: u32 = 0x184D_2204;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 << 10;

/// Decodes a body as it arrives.
pub(super) enum Decoder {
    Gzip { decoder: GzDecoder<Vec<u8>>, waiting: BytesMut },
    Lz4 { frame: Option<Frame>, waiting: BytesMut },
}

/// What the head of an LZ4 frame says. Its checksums are not compared: the connection has its own.
pub(super) struct Frame {
    linked: bool,
    block_checksum: bool,
    content_checksum: bool,
    block_bytes_max: usize,
    window: Vec<u8>,
}

impl Encoding {
    /// The encoding of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }

    pub(super) fn decoder(self) -> Decoder {
        match self {
            Self::Gzip => Decoder::Gzip { decoder: GzDecoder::new(Vec::new()), waiting: BytesMut::new() },
            Self::Lz4 => Decoder::Lz4 { frame: None, waiting: BytesMut::new() },
        }
    }
}

impl Decoder {
    pub(super) fn push(&mut self, data: &[u8]) {
        let (Self::Gzip { waiting, .. } | Self::Lz4 { waiting, .. }) = self;
        waiting.extend_from_slice(data);
    }

    /// The next piece of what has arrived, bounded in size; `None` when more must arrive.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        match self {
            Self::Gzip { decoder, waiting } => {
                while !waiting.is_empty() {
                    let input = waiting.split_to(waiting.len().min(STEP_BYTES));
                    decoder.write_all(&input).map_err(|error| broken(&error.to_string()))?;
                    let decoded = std::mem::take(decoder.get_mut());
                    if !decoded.is_empty() {
                        return Ok(Some(decoded.into()));
                    }
                }
                Ok(None)
            }
            Self::Lz4 { frame, waiting } => next_block(frame, waiting),
        }
    }

    /// At the end of the body; the last piece.
    pub(super) fn finish(&mut self) -> Result<Option<Bytes>, Exception> {
        match self {
            Self::Gzip { decoder, .. } => {
                decoder.try_finish().map_err(|_| ends_early())?;
                let decoded = std::mem::take(decoder.get_mut());
                Ok((!decoded.is_empty()).then(|| decoded.into()))
            }
            Self::Lz4 { frame: None, waiting } if waiting.is_empty() => Ok(None),
            Self::Lz4 { .. } => Err(ends_early()),
        }
    }
}

/// The next block of LZ4 frames, one after the other.
fn next_block(frame: &mut Option<Frame>, waiting: &mut BytesMut) -> Result<Option<Bytes>, Exception> {
    loop {
        let Some(current) = frame else {
            *frame = read_head(waiting)?;
            if frame.is_none() {
                return Ok(None);
            }
            continue;
        };
        let Some(mut head) = waiting.get(..4) else { return Ok(None) };
        let size = head.get_u32_le();
        if size == 0 {
            let end = if current.content_checksum { 8 } else { 4 };
            if waiting.len() < end {
                return Ok(None);
            }
            waiting.advance(end);
            *frame = None;
            continue;
        }
        let (stored, length) = (size >> 31 == 1, (size & 0x7fff_ffff) as usize);
        if length > current.block_bytes_max {
            return Err(broken("a block is larger than its frame allows"));
        }
        let checksum = if current.block_checksum { 4 } else { 0 };
        if waiting.len() < 4 + length + checksum {
            return Ok(None);
        }
        waiting.advance(4);
        let data = waiting.split_to(length).freeze();
        waiting.advance(checksum);
        return current.decode(data, stored).map(Some);
    }
}

/// Reads a frame's head; `None` until all of it has arrived.
fn read_head(waiting: &mut BytesMut) -> Result<Option<Frame>, Exception> {
    let Some(mut head) = waiting.get(..6) else { return Ok(None) };
    let (magic, flags, sizes) = (head.get_u32_le(), head.get_u8(), head.get_u8());
    let has = |bit: u8| flags >> bit & 1 == 1;
    // Version 1, without a dictionary.
    if magic != FRAME_MAGIC || flags >> 6 != 1 || has(0) {
        return Err(broken("it does not begin with an LZ4 frame of version 1"));
    }
    let length = if has(3) { 15 } else { 7 };
    if waiting.len() < length {
        return Ok(None);
    }
    waiting.advance(length);
    let block_bytes_max = match sizes >> 4 & 7 {
        size @ 4..=7 => 1 << (8 + 2 * size),
        _ => return Err(broken("its frame has blocks of no known size")),
    };
    let (linked, block_checksum, content_checksum) = (!has(5), has(4), has(2));
    Ok(Some(Frame { linked, block_checksum, content_checksum, block_bytes_max, window: Vec::new() }))
}

impl Frame {
    fn decode(&mut self, data: Bytes, stored: bool) -> Result<Bytes, Exception> {
        let block = if stored {
            data
        } else {
            lz4_flex::block::decompress_with_dict(&data, self.block_bytes_max, &self.window)
                .map_err(|error| broken(&error.to_string()))?
                .into()
        };
        if self.linked {
            self.window.extend_from_slice(&block);
            let superfluous = self.window.len().saturating_sub(WINDOW_BYTES);
            self.window.drain(..superfluous);
        }
        Ok(block)
    }
}

fn ends_early() -> Exception {
    broken("it ends too early")
}

fn broken(why: &str) -> Exception {
    let message = format!("Cannot decompress the request body: {why}");
    Exception::new(code::CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `encoded`, arriving in pieces of `step` bytes.
    fn decoded(encoding: Encoding, encoded: &[u8], step: usize) -> Result<Vec<u8>, Exception> {
        let mut decoder = encoding.decoder();
        let mut out = Vec::new();
        for piece in encoded.chunks(step) {
            decoder.push(piece);
            while let Some(piece) = decoder.next()? {
                out.extend_from_slice(&piece);
            }
        }
        if let Some(rest) = decoder.finish()? {
            out.extend_from_slice(&rest);
        }
        Ok(out)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame of linked blocks with both checksums (which nobody compares), the second block referring to the first.
    fn lz4(first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut frame = FRAME_MAGIC.to_le_bytes().to_vec();
        frame.extend_from_slice(&[0b0101_0100, 4 << 4, 0]);
        for (block, window) in [(first, &[][..]), (second, first)] {
            let compressed = lz4_flex::block::compress_with_dict(block, window);
            frame.extend_from_slice(&u32::try_from(compressed.len()).unwrap().to_le_bytes());
            frame.extend_from_slice(&compressed);
            frame.extend_from_slice(&[9; 4]);
        }
        frame.extend_from_slice(&[0, 0, 0, 0, 9, 9, 9, 9]);
        frame
    }

    #[test]
    fn what_arrives_in_pieces_of_any_size_comes_out_whole_and_cut_short_it_is_refused() {
        let (first, second) = (b"hello hello hello world ".repeat(100), b"hello world hello ".repeat(90));
        let whole = [first.as_slice(), second.as_slice()].concat();
        for (encoding, encoded) in [(Encoding::Gzip, gzip(&whole)), (Encoding::Lz4, lz4(&first, &second))] {
            for step in [1, 7, encoded.len()] {
                assert_eq!(decoded(encoding, &encoded, step).unwrap(), whole, "{encoding:?} by {step}");
            }
            for cut in [1, 5, encoded.len() / 2, encoded.len() - 1] {
                let error = decoded(encoding, &encoded[..cut], 64).unwrap_err();
                assert_eq!(error.code, code::CANNOT_DECOMPRESS, "{encoding:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_small_pieces() {
        let mut decoder = Encoding::Gzip.decoder();
        decoder.push(&gzip(&vec![0; 64 << 20]));
        let piece = decoder.next().unwrap().unwrap();
        assert!(piece.len() < 8 << 20, "{}", piece.len());
    }

    #[test]
    fn other_bytes_are_refused() {
        for encoding in [Encoding::Gzip, Encoding::Lz4] {
            assert!(decoded(encoding, b"SELECT 1, 2, 3, 4, 5", 5).is_err(), "{encoding:?}");
        }
    }
}
