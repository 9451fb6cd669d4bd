//! Minutes with their counts: when an incident began, what was usual before, and what is now. Pure.

use payments::UnixMillis;

use super::{MINUTE_MS, Window};
use crate::page::Measured;
use crate::stats::{Counts, onset};

/// The onset is looked for this far before the window.
pub(super) const ONSET_MINUTES: i64 = 10;
/// "Now" leaves out the minute of the onset, which is only partly bad, once this many attempts follow it.
const NOW_ATTEMPTS_MIN: u64 = 10;

/// A stretch of minutes with their counts.
pub(super) struct Series {
    pub(super) first: UnixMillis,
    pub(super) counts: Vec<Counts>,
}

/// When it began, and what was usual before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onset {
    pub(super) since: UnixMillis,
    pub(super) at_least: bool,
    pub(super) usual: Counts,
    pub(super) usual_from: UnixMillis,
}

impl Series {
    pub(super) fn minute(&self, index: usize) -> UnixMillis {
        UnixMillis(self.first.0 + i64::try_from(index).unwrap_or(0) * MINUTE_MS)
    }

    fn index(&self, at: UnixMillis) -> usize {
        usize::try_from((at.0 - self.first.0) / MINUTE_MS).unwrap_or(0).min(self.counts.len())
    }

    /// Sum of the minutes that start in `from..to`.
    pub(super) fn between(&self, from: UnixMillis, to: UnixMillis) -> Counts {
        let (from, to) = (self.index(from), self.index(to));
        self.counts.get(from..to).unwrap_or(&[]).iter().copied().sum()
    }

    /// Now: the window after the minute of the onset, or from it while there is little after it.
    pub(super) fn now(&self, window: Window, since: UnixMillis) -> Measured {
        let end = UnixMillis(window.last.0 + MINUTE_MS);
        let after = self.between(window.first.max(UnixMillis(since.0 + MINUTE_MS)), end);
        let from_onset = || self.between(window.first.max(since), end);
        let now = if after.attempts >= NOW_ATTEMPTS_MIN { after } else { from_onset() };
        Measured::Share { count: now.failures, of: now.attempts }
    }

    /// When it began.
    pub(super) fn onset(&self, window: Window, usual_minutes: i64) -> Onset {
        let usual_before = |since: UnixMillis| {
            let from = UnixMillis(since.0 - usual_minutes * MINUTE_MS).max(self.first);
            (from, self.between(from, since))
        };
        let found = |since, at_least| {
            let (usual_from, usual) = usual_before(since);
            Onset { since, at_least, usual, usual_from }
        };
        // What is surely before: all but the window and some minutes before it.
        let early_end = UnixMillis(window.first.0 - ONSET_MINUTES * MINUTE_MS / 2);
        let early = self.between(self.first, early_end);
        let now = self.between(window.first, UnixMillis(window.last.0 + MINUTE_MS));
        let (Some(usual), Some(now)) = (early.share(), now.share()) else {
            // Never seen before: it began with its first failure.
            let first = self.counts.iter().position(|counts| counts.failures > 0);
            return first
                .map_or_else(|| found(window.first, true), |index| found(self.minute(index), index == 0));
        };
        // The last minute of the window is the most certain to be bad: look for its level.
        let last = self.counts.last().copied().unwrap_or_default();
        let level =
            if last.attempts >= NOW_ATTEMPTS_MIN { last.share().unwrap_or(now).max(now) } else { now };
        match onset(&self.counts, usual, level) {
            Some(index) => found(self.minute(index), index == 0),
            None => found(window.first, true),
        }
    }
}
