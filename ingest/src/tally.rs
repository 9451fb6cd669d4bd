//! Counts what was acknowledged, by source and minute of arrival: one side of the proof that nothing is lost. The other
//! side is what is stored; `completeness` in ClickHouse compares them (docs/adr/0010-completeness.md).
//!
//! Invariant: a webhook is counted as acknowledged only after the queue said that it is durable, and every webhook that
//! was handed to the queue is counted exactly once: acknowledged, uncertain, or (when it surely is not stored) not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use payments::tally::{UNCERTAIN_NAMED_MAX, fingerprint};
use payments::{Tally, UnixMillis};
use uuid::Uuid;

/// Minutes counted at once, for each source: a day. Only while the queue takes nothing for so long are there more, and
/// then the oldest is forgotten: too little is counted, and nothing is called missing for that.
const MINUTES_MAX: usize = 1_440;

/// A minute is kept this long, for webhooks that are answered late, and then told once more: a tally may be lost with a
/// queue that is purged, or met by a processor that does not know it yet. A webhook that comes later still begins a cell of
/// its own.
const KEPT: Duration = Duration::from_mins(5);

/// What is counted of one source.
#[derive(Debug)]
pub(crate) struct SourceTally {
    pub(crate) source: String,
    /// The source's lane: behind a webhook in the queue stands the tally that counts it.
    pub(crate) lane: usize,
    minutes: Mutex<Minutes>,
}

#[derive(Debug, Default)]
struct Minutes {
    cells: BTreeMap<UnixMillis, Cell>,
    forgotten: u64,
}

#[derive(Debug)]
struct Cell {
    id: Uuid,
    acknowledged: u64,
    fingerprint: u64,
    uncertain: u64,
    uncertain_ids: Vec<Uuid>,
    /// How many were counted when it was last told.
    told: u64,
    /// Whether it was told when it was old already.
    is_told_again: bool,
}

/// A webhook that was handed to the queue, before it is known what became of it. Dropped without that (its sender went
/// away, or the process had to end), it is counted as uncertain.
#[derive(Debug)]
#[must_use]
pub(crate) struct Handed<'a> {
    tally: &'a SourceTally,
    id: Uuid,
    received_at: UnixMillis,
    is_counted: bool,
}

impl SourceTally {
    pub(crate) fn new(source: &str, lane: usize) -> Self {
        Self { source: source.to_owned(), lane, minutes: Mutex::default() }
    }

    /// A webhook is handed to the queue.
    pub(crate) fn handed(&self, id: Uuid, received_at: UnixMillis) -> Handed<'_> {
        Handed { tally: self, id, received_at, is_counted: false }
    }

    /// What was counted and not told yet, or is to be told once more: at most `cells_max`, the oldest first.
    pub(crate) fn untold(&self, instance: &str, now: UnixMillis, cells_max: usize) -> Vec<Tally> {
        let minutes = self.minutes();
        let untold = minutes.cells.iter().filter(|(minute, cell)| !cell.is_told(**minute, now));
        let tally = |(minute, cell): (&UnixMillis, &Cell)| Tally {
            cell: cell.id,
            minute: *minute,
            instance: instance.to_owned(),
            source: self.source.clone(),
            acknowledged: cell.acknowledged,
            fingerprint: cell.fingerprint,
            uncertain: cell.uncertain,
            uncertain_ids: cell.uncertain_ids.clone(),
        };
        untold.take(cells_max).map(tally).collect()
    }

    /// `tally` is durable, which was sent at `now`.
    pub(crate) fn told(&self, tally: &Tally, now: UnixMillis) {
        let mut minutes = self.minutes();
        if let Some(cell) = minutes.cells.get_mut(&tally.minute).filter(|cell| cell.id == tally.cell) {
            cell.told = cell.told.max(tally.acknowledged.saturating_add(tally.uncertain));
            cell.is_told_again |= is_old(tally.minute, now);
        }
    }

    /// Lets go of old minutes that were told; returns how many had to be forgotten untold since the last call.
    pub(crate) fn tidy(&self, now: UnixMillis) -> u64 {
        let mut minutes = self.minutes();
        minutes.cells.retain(|minute, cell| !is_old(*minute, now) || !cell.is_told(*minute, now));
        std::mem::take(&mut minutes.forgotten)
    }

    fn count(&self, id: Uuid, received_at: UnixMillis, is_acknowledged: bool) {
        let mut minutes = self.minutes();
        let minute = received_at.minute();
        if !minutes.cells.contains_key(&minute) && minutes.cells.len() >= MINUTES_MAX {
            minutes.cells.pop_first();
            minutes.forgotten = minutes.forgotten.saturating_add(1);
        }
        let cell = minutes.cells.entry(minute).or_insert_with(Cell::new);
        if is_acknowledged {
            cell.acknowledged = cell.acknowledged.saturating_add(1);
            cell.fingerprint = cell.fingerprint.wrapping_add(fingerprint(id));
        } else {
            cell.uncertain = cell.uncertain.saturating_add(1);
            if cell.uncertain_ids.len() < UNCERTAIN_NAMED_MAX {
                cell.uncertain_ids.push(id);
            }
        }
    }

    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        // Invariant: nothing that holds it panics half-way.
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    fn new() -> Self {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        Self {
            id,
            acknowledged: 0,
            fingerprint: 0,
            uncertain: 0,
            uncertain_ids: Vec::new(),
            told: 0,
            is_told_again: false,
        }
    }

    fn is_told(&self, minute: UnixMillis, now: UnixMillis) -> bool {
        self.counted() == self.told && (self.is_told_again || !is_old(minute, now))
    }

    fn counted(&self) -> u64 {
        self.acknowledged.saturating_add(self.uncertain)
    }
}

fn is_old(minute: UnixMillis, now: UnixMillis) -> bool {
    minute < now.minus(KEPT).minute()
}

impl Handed<'_> {
    /// The queue said that it is durable.
    pub(crate) fn acknowledged(mut self) {
        self.is_counted = true;
        self.tally.count(self.id, self.received_at, true);
    }

    /// The queue said that it did not take it.
    pub(crate) fn refused(mut self) {
        self.is_counted = true;
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            self.tally.count(self.id, self.received_at, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_END: UnixMillis = UnixMillis(1_795_320_000_000);

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Minute, acknowledged, fingerprint, uncertain of each untold cell.
    fn untold(tally: &SourceTally) -> Vec<(i64, u64, u64, u64)> {
        let tallies = tally.untold("i", HOUR_END, usize::MAX);
        tallies.iter().map(|t| (t.minute.0, t.acknowledged, t.fingerprint, t.uncertain)).collect()
    }

    fn tell(tally: &SourceTally) {
        tell_at(tally, HOUR_END);
    }

    fn tell_at(tally: &SourceTally, now: UnixMillis) {
        tally.untold("i", now, usize::MAX).iter().for_each(|one| tally.told(one, now));
    }

    #[test]
    fn each_webhook_is_counted_once_in_the_minute_it_arrived_in() {
        let tally = SourceTally::new("s", 0);
        let (last, first) = (UnixMillis(HOUR_END.0 - 1), HOUR_END);
        tally.handed(id(5), last).acknowledged();
        tally.handed(id(6), last).acknowledged();
        tally.handed(id(7), first).acknowledged();
        tally.handed(id(8), first).refused();
        drop(tally.handed(id(9), first));
        assert_eq!(untold(&tally), [(HOUR_END.0 - 60_000, 2, 11, 0), (HOUR_END.0, 1, 7, 1)]);
        assert_eq!(tally.untold("i", HOUR_END, 9)[1].uncertain_ids, [id(9)]);
    }

    #[test]
    fn the_fingerprint_wraps() {
        let tally = SourceTally::new("s", 0);
        tally.handed(id(u128::MAX), HOUR_END).acknowledged();
        tally.handed(id(3), HOUR_END).acknowledged();
        assert_eq!(untold(&tally), [(HOUR_END.0, 2, 2, 0)]);
    }

    #[test]
    fn what_was_told_is_not_told_again_until_it_has_grown() {
        let tally = SourceTally::new("s", 0);
        tally.handed(id(1), HOUR_END).acknowledged();
        let before = tally.untold("i", HOUR_END, 9);
        tally.handed(id(2), HOUR_END).acknowledged();
        // It grew while it was on its way.
        tally.told(&before[0], HOUR_END);
        assert_eq!(untold(&tally), [(HOUR_END.0, 2, 3, 0)]);
        tell(&tally);
        assert_eq!(untold(&tally), []);
        // A word that comes late takes nothing back.
        tally.told(&before[0], HOUR_END);
        assert_eq!(untold(&tally), []);
    }

    #[test]
    fn a_minute_is_told_once_more_when_it_is_old_and_let_go_and_a_late_one_begins_another_cell() {
        let tally = SourceTally::new("s", 0);
        let later = UnixMillis(HOUR_END.0 + 10 * 60_000);
        tally.handed(id(1), HOUR_END).acknowledged();
        let first = tally.untold("i", HOUR_END, 9)[0].cell;
        assert_eq!(tally.tidy(later), 0);
        assert_eq!(untold(&tally).len(), 1, "not told yet");
        tell(&tally);
        tally.tidy(UnixMillis(HOUR_END.0 + 4 * 60_000));
        tally.handed(id(2), HOUR_END).acknowledged();
        assert_eq!(tally.untold("i", HOUR_END, 9)[0].cell, first, "not old yet");
        tell(&tally);
        assert_eq!(untold(&tally), []);
        tally.tidy(later);
        let again = tally.untold("i", later, 9);
        assert_eq!((again.len(), again[0].cell, again[0].acknowledged), (1, first, 2), "told once more");
        tell_at(&tally, later);
        assert_eq!(tally.untold("i", later, 9), []);
        tally.tidy(later);
        // The clock was set back: a count that began anew under the first name would be taken for an older copy of it.
        tally.handed(id(3), HOUR_END).acknowledged();
        let second = tally.untold("i", HOUR_END, 9);
        assert_ne!(second[0].cell, first);
        assert_eq!(second[0].acknowledged, 1);
    }

    #[test]
    fn another_process_counts_in_a_cell_of_its_own() {
        let cells = [(); 2].map(|()| {
            let tally = SourceTally::new("s", 0);
            tally.handed(id(1), HOUR_END).acknowledged();
            tally.untold("same instance", HOUR_END, 9)[0].cell
        });
        assert_ne!(cells[0], cells[1]);
    }

    #[test]
    fn minutes_and_names_are_bounded() {
        let tally = SourceTally::new("s", 0);
        for minute in 0..2_000 {
            drop(tally.handed(id(1), UnixMillis(minute * 60_000)));
        }
        let kept = tally.untold("i", HOUR_END, usize::MAX);
        assert_eq!((kept.len(), kept[0].minute.0), (MINUTES_MAX, 560 * 60_000));
        assert_eq!((tally.tidy(UnixMillis(0)), tally.tidy(UnixMillis(0))), (560, 0));
        assert_eq!(tally.untold("i", HOUR_END, 3).len(), 3);
        for number in 0..1_000 {
            drop(tally.handed(id(number), HOUR_END));
        }
        let last = tally.untold("i", HOUR_END, usize::MAX).pop().unwrap();
        assert_eq!((last.uncertain, last.uncertain_ids.len()), (1_000, UNCERTAIN_NAMED_MAX));
    }
}
