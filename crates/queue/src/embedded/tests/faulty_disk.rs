//! Real files on a disk that fills up, fails, stalls, and loses power with what was not synced.

use super::super::disk::{Disk, RealDisk};
use rand::{Rng, RngExt};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct FaultyDisk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    free_bytes: Option<u64>,
    failing_syncs: usize,
    failing_writes: usize,
    failing_cuts: usize,
    holding_syncs: bool,
    syncs_held: usize,
    syncs_until_power_cut: Option<usize>,
    powered_off: bool,
    /// Since the last sync of their file, in order.
    unsynced: Vec<Write>,
    /// Since the last sync of the directory, in order.
    renames: Vec<(PathBuf, PathBuf)>,
    removals: Vec<(PathBuf, PathBuf)>,
    removed: usize,
    cuts: usize,
}

#[derive(Debug)]
struct Write {
    file: File,
    inode: u64,
    offset: u64,
    before: Vec<u8>,
}

impl FaultyDisk {
    /// Leaves this many bytes to new segments; `None` is as many as they like.
    pub(super) fn set_free_bytes(&self, bytes: Option<u64>) {
        self.lock().free_bytes = bytes;
    }

    pub(super) fn fail_next_syncs(&self, count: usize) {
        self.lock().failing_syncs = count;
    }

    /// Fails writes after half of their bytes.
    pub(super) fn fail_next_writes(&self, count: usize) {
        self.lock().failing_writes = count;
    }

    /// Fails to cut files short.
    pub(super) fn fail_next_cuts(&self, count: usize) {
        self.lock().failing_cuts = count;
    }

    /// Cuts that did not fail.
    pub(super) fn cuts(&self) -> usize {
        self.lock().cuts
    }

    pub(super) fn hold_syncs(&self) {
        self.lock().holding_syncs = true;
    }

    pub(super) fn release_syncs(&self) {
        self.lock().holding_syncs = false;
        self.changed.notify_all();
    }

    /// Blocks until a sync is being held.
    pub(super) fn wait_until_held(&self) {
        let state = self.lock();
        drop(self.changed.wait_while(state, |state| state.syncs_held == 0).unwrap());
    }

    /// Lets this many syncs pass and fails everything from the next one on.
    pub(super) fn cut_power_after_syncs(&self, syncs: usize) {
        self.lock().syncs_until_power_cut = Some(syncs);
    }

    /// What the disk holds when power returns: of everything not synced, each sector of a write,
    /// each new name and each removal may or may not have happened.
    pub(super) fn restore_power(&self, rng: &mut impl Rng) {
        let mut state = self.lock();
        for write in std::mem::take(&mut state.unsynced).into_iter().rev() {
            for (place, sector) in write.before.chunks(SECTOR_BYTES).enumerate() {
                if rng.random_bool(0.5) {
                    write.file.write_all_at(sector, write.offset + (place * SECTOR_BYTES) as u64).unwrap();
                }
            }
        }
        for (from, to) in std::mem::take(&mut state.renames).into_iter().rev() {
            if to.exists() && rng.random_bool(0.5) {
                fs::rename(to, from).unwrap();
            }
        }
        for (path, kept) in std::mem::take(&mut state.removals) {
            if rng.random_bool(0.5) {
                fs::rename(kept, path).unwrap();
            } else {
                fs::remove_file(kept).unwrap();
            }
        }
        state.powered_off = false;
        state.syncs_until_power_cut = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.powered_off { Err(io::Error::other("the power is off")) } else { Ok(state) }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<File> {
        let mut state = self.powered()?;
        if let Some(free) = &mut state.free_bytes {
            *free = free.checked_sub(bytes).ok_or(io::ErrorKind::StorageFull)?;
        }
        RealDisk.create(path, bytes)
    }

    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.powered()?;
        let mut before = vec![0; bytes.len()];
        // What lies beyond the file's end was zeros.
        let _ = file.read_at(&mut before, offset)?;
        let inode = file.metadata()?.ino();
        state.unsynced.push(Write { file: file.try_clone()?, inode, offset, before });
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            RealDisk.write_all_at(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        let mut state = self.powered()?;
        state.syncs_held += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.holding_syncs).unwrap();
        state.syncs_held -= 1;
        match &mut state.syncs_until_power_cut {
            Some(0) => {
                state.powered_off = true;
                return Err(io::Error::other("the power went off"));
            }
            Some(syncs) => *syncs -= 1,
            None => {}
        }
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("the sync failed"));
        }
        let inode = file.metadata()?.ino();
        state.unsynced.retain(|write| write.inode != inode);
        Ok(())
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        let mut state = self.powered()?;
        if state.failing_cuts > 0 {
            state.failing_cuts -= 1;
            return Err(io::Error::other("the cut failed"));
        }
        state.cuts += 1;
        let cut = file.metadata()?.len().saturating_sub(bytes);
        if let Some(free) = &mut state.free_bytes {
            *free += cut;
        }
        RealDisk.set_len(file, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.powered()?.renames.push((from.to_owned(), to.to_owned()));
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        let bytes = fs::metadata(path)?.len();
        if let Some(free) = &mut state.free_bytes {
            *free += bytes;
        }
        state.removed += 1;
        let kept = path.with_extension(format!("removed{}", state.removed));
        state.renames.retain(|(_, to)| to != path);
        state.removals.push((path.to_owned(), kept.clone()));
        RealDisk.rename(path, &kept)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        state.renames.clear();
        for (_, kept) in std::mem::take(&mut state.removals) {
            fs::remove_file(kept)?;
        }
        Ok(())
    }

    fn step_bytes(&self) -> u64 {
        4096
    }
}
