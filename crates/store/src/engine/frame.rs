//! ClickHouse's compressed blocks, as `compress=1` and `decompress=1` use them on HTTP: a checksum
//! (CityHash128 of ClickHouse's old version 1.0.2, 16 bytes), a method byte, the compressed size
//! including these 9 header bytes, the decompressed size, the data. Sizes are little endian.
//! Source: ClickHouse's `src/Compression/CompressionInfo.h`.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::exception::{Exception, code};

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_LZ4: u8 = 0x82;
const METHOD_NONE: u8 = 0x02;
/// Clients send blocks of 1 MiB; larger ones than this are refused rather than held.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// How much goes into one block of ours.
const BLOCK_BYTES: usize = 1 << 20;

/// Compresses into as many blocks as it takes.
pub(super) fn compress(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() / 2 + 64);
    for block in data.chunks(BLOCK_BYTES) {
        let compressed = lz4_flex::block::compress(block);
        let mut body = BytesMut::with_capacity(compressed.len() + HEADER_BYTES);
        body.put_u8(METHOD_LZ4);
        body.put_u32_le(size(compressed.len() + HEADER_BYTES));
        body.put_u32_le(size(block.len()));
        body.put_slice(&compressed);
        out.put_slice(&checksum(&body));
        out.put_slice(&body);
    }
    out.freeze()
}

/// A block is at most [`BLOCK_BYTES_MAX`], so its sizes fit.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The two halves of the hash, low half first, each little endian.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_rs::cityhash_102_128(body).rotate_right(64).to_le_bytes()
}

/// Takes compressed blocks apart as they arrive.
#[derive(Debug, Default)]
pub(super) struct Decompressor {
    buffer: BytesMut,
}

impl Decompressor {
    pub(super) fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole block, if it has arrived.
    pub(super) fn next_block(&mut self) -> Result<Option<Bytes>, Exception> {
        let Some(header) = self.buffer.get(CHECKSUM_BYTES..CHECKSUM_BYTES + HEADER_BYTES) else {
            return Ok(None);
        };
        let mut sizes = &header[1..];
        let method = header[0];
        let compressed = sizes.get_u32_le() as usize;
        let decompressed = sizes.get_u32_le() as usize;
        if !(HEADER_BYTES..=BLOCK_BYTES_MAX).contains(&compressed) || decompressed > BLOCK_BYTES_MAX {
            let message = format!(
                "Compressed block of {compressed} bytes for {decompressed} is outside the limits ({BLOCK_BYTES_MAX})"
            );
            return Err(broken(39, "TOO_LARGE_SIZE_COMPRESSED", &message));
        }
        if self.buffer.len() < CHECKSUM_BYTES + compressed {
            return Ok(None);
        }
        let given = self.buffer.split_to(CHECKSUM_BYTES);
        let body = self.buffer.split_to(compressed);
        if given[..] != checksum(&body) {
            let message = "Checksum of a compressed block does not match: corrupted data";
            return Err(broken(code::CHECKSUM_DOESNT_MATCH, "CHECKSUM_DOESNT_MATCH", message));
        }
        match method {
            METHOD_NONE => Ok(Some(body.freeze().slice(HEADER_BYTES..))),
            METHOD_LZ4 => lz4_flex::block::decompress(&body[HEADER_BYTES..], decompressed)
                .map(|block| Some(Bytes::from(block)))
                .map_err(|error| {
                    broken(
                        code::CANNOT_DECOMPRESS,
                        "CANNOT_DECOMPRESS",
                        &format!("Cannot decompress: {error}"),
                    )
                }),
            other => {
                let message = format!("Compression method 0x{other:02x} is not supported: use LZ4 or none");
                Err(broken(89, "UNKNOWN_COMPRESSION_METHOD", &message))
            }
        }
    }

    /// At the end of the body nothing may be left over.
    pub(super) fn finish(&self) -> Result<(), Exception> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        Err(broken(
            code::CANNOT_DECOMPRESS,
            "CANNOT_DECOMPRESS",
            "The body ends in the middle of a compressed block",
        ))
    }
}

fn broken(code: u32, name: &str, message: &str) -> Exception {
    Exception::new(code, name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back_in_pieces_of_any_size() {
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let compressed = compress(&data);
        for step in [1_000, 4_099, compressed.len()] {
            let mut frames = Decompressor::default();
            let mut out = Vec::new();
            for piece in compressed.chunks(step) {
                frames.push(piece);
                while let Some(block) = frames.next_block().unwrap() {
                    out.extend_from_slice(&block);
                }
            }
            frames.finish().unwrap();
            assert_eq!(out, data);
        }
    }

    #[test]
    fn a_flipped_bit_a_cut_and_a_bomb_are_refused() {
        let compressed = compress(b"hello hello hello hello");
        let mut flipped = compressed.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let mut frames = Decompressor::default();
        frames.push(&flipped);
        assert_eq!(frames.next_block().unwrap_err().code, code::CHECKSUM_DOESNT_MATCH);

        let mut frames = Decompressor::default();
        frames.push(&compressed[..compressed.len() - 1]);
        assert_eq!(frames.next_block().unwrap(), None);
        assert_eq!(frames.finish().unwrap_err().code, code::CANNOT_DECOMPRESS);

        let mut frames = Decompressor::default();
        frames.push(&[0; CHECKSUM_BYTES]);
        frames.push(&[METHOD_LZ4, 20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(frames.next_block().unwrap_err().code, 39);
    }
}
