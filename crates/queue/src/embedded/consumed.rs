//! How far the consumer is: a file of two checksummed slots, written in turn, so that one of them is
//! whole at any instant.
//!
//! ```text
//! slot (at 0 and at 4096)   0 "TILLACKD"   8 generation u64   16 consumed sequence u64
//!                           24 crc32c of bytes 0..24 u32
//! ```
//!
//! An acknowledgement is written, not synced: it outlives the process. A power cut may undo the
//! latest ones, and their records come again. Before a segment is deleted the file is synced, so a
//! position before the oldest segment always means that something is missing.

use super::directory::consumed_path;
use super::disk::Disk;
use crate::StorageError;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"TILLACKD";
const SLOT_BYTES: usize = 28;
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const FILE_BYTES: usize = 8192;

/// What the two slots say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumed {
    /// Everything up to and including this sequence is consumed.
    Through(u64),
    /// There is no file yet, or neither slot was ever written: nothing is consumed.
    Nothing,
    /// Neither slot is readable: nothing is known.
    Unreadable,
}

impl Consumed {
    /// The last consumed sequence; 0 where nothing is, or nothing is known.
    pub(crate) fn sequence(self) -> u64 {
        match self {
            Self::Through(sequence) => sequence,
            Self::Nothing | Self::Unreadable => 0,
        }
    }
}

/// The file, open for the consumer.
#[derive(Debug)]
pub(crate) struct ConsumedFile {
    file: File,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    generation: u64,
    sequence: u64,
    state: SyncState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SyncState {
    Written,
    Synced,
    Failed,
}

impl ConsumedFile {
    /// Opens or creates the file.
    pub(crate) fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<(Self, Consumed), StorageError> {
        let path = consumed_path(dir);
        let found = read(dir)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StorageError::at("open", &path))?;
        if found == Consumed::Nothing {
            // Both slots get their space now: an acknowledgement must not need any on a full disk.
            disk.write_all_at(&file, &[0; FILE_BYTES], 0).map_err(StorageError::at("write", &path))?;
            disk.sync_data(&file).map_err(StorageError::at("sync", &path))?;
            disk.sync_dir(dir).map_err(StorageError::at("sync", dir))?;
        }
        let latest = latest_slot(&file).map_err(StorageError::at("read", &path))?;
        let (generation, sequence) = latest.unwrap_or((0, 0));
        Ok((Self { file, path, disk, generation, sequence, state: SyncState::Written }, found))
    }

    /// The last consumed sequence.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Remembers that everything up to and including `sequence` is consumed; never goes backwards.
    pub(crate) fn advance(&mut self, sequence: u64) -> Result<(), StorageError> {
        if sequence <= self.sequence {
            return Ok(());
        }
        self.write(sequence)
    }

    /// Returns when the last consumed sequence is on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        if self.state == SyncState::Failed {
            // The kernel may have dropped what it could not write: give it again.
            self.write(self.sequence)?;
        }
        if self.state == SyncState::Written {
            self.state = SyncState::Failed;
            self.disk.sync_data(&self.file).map_err(StorageError::at("sync", &self.path))?;
            self.state = SyncState::Synced;
        }
        Ok(())
    }

    fn write(&mut self, sequence: u64) -> Result<(), StorageError> {
        let generation = self.generation + 1;
        let slot = encode(generation, sequence);
        let offset = SLOT_OFFSETS[usize::from(generation % 2 == 1)];
        self.disk.write_all_at(&self.file, &slot, offset).map_err(StorageError::at("write", &self.path))?;
        self.generation = generation;
        self.sequence = sequence;
        self.state = SyncState::Written;
        Ok(())
    }
}

/// Reads the file without opening it for writing: what the writer and its statistics do.
pub(crate) fn read(dir: &Path) -> Result<Consumed, StorageError> {
    let path = consumed_path(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Consumed::Nothing),
        Err(error) => return Err(StorageError { action: "open", path, source: error }),
    };
    let failed = StorageError::at("read", &path);
    match latest_slot(&file) {
        Ok(Some((_, sequence))) => Ok(Consumed::Through(sequence)),
        Ok(None) => match is_blank(&file) {
            Ok(true) => Ok(Consumed::Nothing),
            Ok(false) => Ok(Consumed::Unreadable),
            Err(error) => Err(failed(error)),
        },
        Err(error) => Err(failed(error)),
    }
}

/// Whether neither slot was ever written.
fn is_blank(file: &File) -> std::io::Result<bool> {
    let mut bytes = [0; FILE_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(bytes[..read].iter().all(|byte| *byte == 0))
}

fn latest_slot(file: &File) -> std::io::Result<Option<(u64, u64)>> {
    let mut latest = None;
    for offset in SLOT_OFFSETS {
        let mut slot = [0; SLOT_BYTES];
        match file.read_exact_at(&mut slot, offset) {
            Ok(()) => latest = latest.max(decode(&slot)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(latest)
}

fn encode(generation: u64, sequence: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&generation.to_le_bytes());
    slot[16..24].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<(u64, u64)> {
    let (mut generation, mut sequence) = ([0; 8], [0; 8]);
    generation.copy_from_slice(&slot[8..16]);
    sequence.copy_from_slice(&slot[16..24]);
    let (generation, sequence) = (u64::from_le_bytes(generation), u64::from_le_bytes(sequence));
    (encode(generation, sequence) == *slot).then_some((generation, sequence))
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    fn open(dir: &Path) -> (ConsumedFile, Consumed) {
        ConsumedFile::open(dir, Arc::new(RealDisk)).unwrap()
    }

    #[test]
    fn the_last_sequence_survives_a_reopen_and_never_goes_backwards() {
        let dir = tempfile::tempdir().unwrap();
        let (mut consumed, found) = open(dir.path());
        assert_eq!(found, Consumed::Nothing);
        for sequence in [5, 9, 7, 9] {
            consumed.advance(sequence).unwrap();
        }
        drop(consumed);
        let (consumed, found) = open(dir.path());
        assert_eq!((consumed.sequence(), found), (9, Consumed::Through(9)));
    }

    #[test]
    fn a_slot_damaged_at_any_bit_leaves_the_other_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let (mut consumed, _) = open(dir.path());
        consumed.advance(5).unwrap();
        consumed.advance(9).unwrap();
        let whole = std::fs::read(consumed_path(dir.path())).unwrap();
        for bit in 0..SLOT_BYTES * 8 {
            for (offset, left) in [(0, 5), (4096, 9)] {
                let mut flipped = whole.clone();
                flipped[offset + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(consumed_path(dir.path()), &flipped).unwrap();
                assert_eq!(read(dir.path()).unwrap(), Consumed::Through(left), "bit {bit} at {offset}");
            }
        }
    }

    #[test]
    fn two_damaged_slots_are_told_from_a_new_log() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Consumed::Nothing);
        std::fs::write(consumed_path(dir.path()), [7; 5000]).unwrap();
        assert_eq!(open(dir.path()).1, Consumed::Unreadable);
    }
}
