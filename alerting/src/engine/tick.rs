//! One tick's work on a copy of the memory: judging samples and moving slices. What is told of it is in `tell`. Pure.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use payments::UnixMillis;

use super::pages;
use crate::page::{Action, Message};
use crate::rules::{Evaluation, Held, Rule, Sample};
use crate::state::{CloseReason, Health, Move, Phase, Reading, Timing};
use crate::storage::transitions::Transition;
use crate::storage::{Book, TickChanges, Tracked};

/// Numbers of an open page are looked up again after this long.
const REFRESH_MS: i64 = 60_000;
/// Slices of one rule that may be open or pending at once: beyond it something else is wrong.
const TRACKED_MAX: usize = 1_000;

/// Rule id and slice key.
pub(super) type Key = (String, String);

/// Something about one slice that may have to be told.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) key: Key,
    pub(super) what: What,
    /// What was measured, when something was.
    pub(super) sample: Option<Sample>,
    /// Whether the rule left slices out.
    pub(super) truncated: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Moved {
        from: &'static str,
        how: Move,
    },
    /// Still open: is there news?
    Refresh,
    /// Without data for too long.
    Retired {
        from: &'static str,
    },
}

impl What {
    pub(super) fn is_fired(&self) -> bool {
        matches!(self, Self::Moved { how: Move::Fired, .. })
    }
}

impl Happening {
    pub(super) fn wants_findings(&self) -> bool {
        match &self.what {
            What::Refresh => true,
            What::Moved { how, .. } => {
                matches!(
                    how,
                    Move::Fired
                        | Move::Improving
                        | Move::Relapsed
                        | Move::Resolved(_)
                        | Move::FreshnessRegained
                )
            }
            What::Retired { .. } => false,
        }
    }
}

/// One tick.
pub(super) struct Tick {
    pub(super) now: UnixMillis,
    pub(super) book: Book,
    /// Slices that breached but are not watched, because too many of their rule are: how many, by rule.
    pub(super) left_out: BTreeMap<String, usize>,
    /// Whether this process ticked last longer ago than it should have.
    pub(super) is_late: bool,
    /// Whether this is the process's first tick.
    pub(super) after_downtime: bool,
    gap_ms_max: u64,
    pub(super) transitions: Vec<Transition>,
    pub(super) messages: Vec<(String, Message)>,
}

impl Tick {
    /// A tick at `now` of a process that ticked last at `ticked_at`.
    pub(super) fn new(
        book: Book,
        now: UnixMillis,
        interval: Duration,
        ticked_at: Option<UnixMillis>,
    ) -> Self {
        // Four missed ticks, or a minute, are a gap rather than jitter.
        let gap_ms_max =
            u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).saturating_mul(4).max(60_000);
        let is_late = ticked_at.is_some_and(|last| now.since(last).as_millis() > u128::from(gap_ms_max));
        let mut tick = Self {
            now,
            book,
            left_out: BTreeMap::new(),
            is_late,
            after_downtime: ticked_at.is_none(),
            gap_ms_max,
            transitions: Vec::new(),
            messages: Vec::new(),
        };
        tick.set_back();
        tick
    }

    /// Nothing that is remembered lies ahead of now, or a clock that was set back would stop everything until then.
    fn set_back(&mut self) {
        let now = self.now;
        for tracked in self.book.slices.values_mut() {
            tracked.state.set_back(now);
            tracked.told_at = tracked.told_at.min(now);
            tracked.refreshed_at = tracked.refreshed_at.min(now);
        }
        self.book.watch.sighted_to = self.book.watch.sighted_to.map(|to| to.min(now));
    }

    pub(super) fn into_changes(self) -> TickChanges {
        TickChanges { book: self.book, transitions: self.transitions, messages: self.messages }
    }

    /// The timers of what must last `for_ms` and `recover_for_ms`.
    pub(super) fn timing(&self, for_ms: u64, recover_for_ms: u64) -> Timing {
        let (gap_ms_max, after_downtime) = (self.gap_ms_max, self.after_downtime);
        Timing { for_ms, recover_for_ms, gap_ms_max, after_downtime }
    }

    pub(super) fn failures(&self, rule_id: &str) -> u32 {
        self.book.rules.get(rule_id).map_or(0, |record| record.failures)
    }

    /// Counts failed evaluations in a row; `None` when the rule was not tried.
    pub(super) fn count_failure(&mut self, rule_id: &str, hash: &str, failed: Option<bool>) {
        let record = self.book.rules.entry(rule_id.to_owned()).or_default();
        hash.clone_into(&mut record.hash);
        record.failures = match failed {
            Some(true) => record.failures.saturating_add(1),
            Some(false) => 0,
            None => record.failures,
        };
    }

    /// What is known of a slice that is open or pending.
    pub(super) fn held(&self, key: &Key) -> Option<Held> {
        let tracked = self.book.slices.get(key).filter(|tracked| tracked.state.phase != Phase::Inactive)?;
        let page = tracked.page.as_ref();
        Some(Held {
            slice: tracked.slice.clone(),
            is_open: tracked.state.phase.is_open(),
            since: page.and_then(|page| page.since),
            usual: page.and_then(|page| page.usual),
            accrued: tracked.accrued.clone(),
        })
    }

    /// All of a rule.
    pub(super) fn held_by(&self, rule_id: &str) -> Vec<Held> {
        self.keys_of(rule_id).iter().filter_map(|key| self.held(key)).collect()
    }

    /// Moves every slice of `rule` that has a sample, or had one.
    pub(super) fn judge(&mut self, rule: &Rule, evaluation: &Evaluation, at: UnixMillis) -> Vec<Happening> {
        let mut happenings = Vec::new();
        let mut seen = HashSet::new();
        for sample in &evaluation.samples {
            let key = (rule.id.clone(), sample.slice.key());
            let reading = sample.verdict.map_or(Reading::Unknown(Health::NoData), Reading::Known);
            seen.insert(key.clone());
            let is_new = !self.book.slices.contains_key(&key);
            let is_quiet = sample.verdict != Some(crate::state::Verdict::Breach);
            if is_new && is_quiet {
                continue;
            }
            if is_new && self.tracked(&rule.id) >= TRACKED_MAX {
                *self.left_out.entry(rule.id.clone()).or_default() += 1;
                continue;
            }
            let happening = self.step(rule, key, at, reading, Some(sample));
            happenings.extend(happening.map(|h| Happening { truncated: evaluation.truncated, ..h }));
        }
        happenings.extend(self.unknown(rule, Health::NoData, at, &seen));
        happenings
    }

    /// Nothing can be said of any slice of `rule`.
    pub(super) fn freeze(&mut self, rule: &Rule, health: Health) -> Vec<Happening> {
        self.unknown(rule, health, self.now, &HashSet::new())
    }

    fn unknown(
        &mut self,
        rule: &Rule,
        health: Health,
        at: UnixMillis,
        seen: &HashSet<Key>,
    ) -> Vec<Happening> {
        let of_rule = self.keys_of(&rule.id);
        let unseen = of_rule.into_iter().filter(|key| !seen.contains(key));
        unseen.filter_map(|key| self.step(rule, key, at, Reading::Unknown(health), None)).collect()
    }

    fn keys_of(&self, rule_id: &str) -> Vec<Key> {
        self.book.slices.keys().filter(|key| key.0 == rule_id).cloned().collect()
    }

    fn tracked(&self, rule_id: &str) -> usize {
        self.book.slices.keys().filter(|key| key.0 == rule_id).count()
    }

    /// Moves one slice; tells what happened, if anything did.
    fn step(
        &mut self,
        rule: &Rule,
        key: Key,
        at: UnixMillis,
        reading: Reading,
        sample: Option<&Sample>,
    ) -> Option<Happening> {
        let timing = self.timing(rule.for_s * 1000, rule.recover_for_s * 1000);
        let slice = sample.map(|sample| sample.slice.clone());
        let (from, moved) = self.step_key(&key, slice, at, reading, timing)?;
        let tracked = self.book.slices.get_mut(&key)?;
        let state = &tracked.state;
        let what = match moved {
            Some(how) => What::Moved { from, how },
            None if state.is_retired(self.now) => {
                tracked.state.abandon(at)?;
                What::Retired { from }
            }
            None if state.phase.is_open()
                && sample.is_some()
                && matches!(reading, Reading::Known(_))
                && self.now.0 - tracked.refreshed_at.0 >= REFRESH_MS =>
            {
                What::Refresh
            }
            None => return None,
        };
        Some(Happening { key, what, sample: sample.cloned(), truncated: false })
    }

    /// Moves one slice; returns the phase before, and the move. `None` for a slice nobody knows.
    pub(super) fn step_key(
        &mut self,
        key: &Key,
        slice: Option<crate::slice::Slice>,
        at: UnixMillis,
        reading: Reading,
        timing: Timing,
    ) -> Option<(&'static str, Option<Move>)> {
        if let Some(slice) = slice {
            self.book.slices.entry(key.clone()).or_insert_with(|| Tracked::new(slice));
        }
        let next_incident = self.book.last_incident_id + 1;
        let tracked = self.book.slices.get_mut(key)?;
        let from = tracked.state.phase.name();
        let moved = tracked.state.step(at, self.now, reading, timing, (&key.0, &key.1), next_incident);
        if let (Some(Move::Fired), Some(episode)) = (&moved, &tracked.state.episode) {
            self.book.last_incident_id = self.book.last_incident_id.max(episode.incident_id);
        }
        Some((from, moved))
    }

    /// Ends everything of a rule that was edited or is gone. What ended is remembered as after any other end: the
    /// same incident is re-opened if it fires again.
    pub(super) fn close_rule(&mut self, rule_id: &str, reason: CloseReason, at: UnixMillis) {
        for key in self.keys_of(rule_id) {
            let Some(tracked) = self.book.slices.get_mut(&key) else { continue };
            let from = tracked.state.phase.name();
            let ended = tracked.state.abandon(at);
            let page = tracked.page.take();
            let channels = std::mem::take(&mut tracked.channels);
            if let (Some(_), Some(page)) = (ended, page) {
                self.record(&key, Some(from), reason.name(), at, Some(&page));
                self.queue(&channels, Action::Resolve, pages::closed_line(reason, self.now), page);
            }
        }
        self.book.rules.remove(rule_id);
    }

    /// Forgets slices about which there is nothing to remember.
    pub(super) fn forget_quiet(&mut self, at: UnixMillis) {
        self.book.slices.retain(|_, tracked| !tracked.state.is_forgettable(at));
    }
}
