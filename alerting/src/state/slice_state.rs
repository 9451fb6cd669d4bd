//! A slice's phase together with its incident: opening, re-opening, flapping, closing.

use payments::UnixMillis;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::machine::{Change, Health, Phase, Reading, Timing, advance, elapsed_ms};

/// Firing again within this time re-opens the same incident.
const REOPEN_MS: i64 = 30 * 60_000;
/// This many episodes within [`FLAPPING_WINDOW_MS`] are flapping.
const FLAPPING_EPISODES: usize = 3;
const FLAPPING_WINDOW_MS: i64 = 2 * 3_600_000;
/// A flapping incident is held open until it has been quiet for this long.
const FLAPPING_HOLD_MS: u64 = 30 * 60_000;
/// Readings without data, one after another, before people are told: one failed query is no news.
const FROZEN_TICKS_TOLD: u32 = 4;
/// A slice with hardly enough traffic freezes and thaws all the time: that is told this often at most.
const NO_DATA_TOLD_MS: i64 = 30 * 60_000;
/// A slice without data for this long is retired.
const RETIRE_MS: i64 = 24 * 3_600_000;

/// One stretch of firing, paged once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// The incident it belongs to; a re-opened incident has several episodes.
    pub incident_id: u64,
    /// Identifies the page at every channel: 32 hex digits.
    pub dedup_key: String,
    /// Event time at which it fired.
    pub started_at: UnixMillis,
    /// Whether it re-opened an incident that had been resolved.
    pub reopened: bool,
    /// Whether it is held open because it fired too often.
    pub flapping: bool,
}

/// An episode that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Of this incident.
    pub incident_id: u64,
    /// Event time at which it fired.
    pub started_at: UnixMillis,
    /// Event time at which it was resolved.
    pub ended_at: UnixMillis,
}

/// What a rule knows of one slice; everything a restart needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceState {
    /// Where it stands.
    pub phase: Phase,
    /// Whether the last reading said anything.
    pub health: Health,
    /// Since when (wall clock) the health is what it is.
    pub health_since: UnixMillis,
    /// Event time of the last known reading.
    pub last_at: Option<UnixMillis>,
    /// Unknown readings since then.
    pub frozen_ticks: u32,
    /// Whether people were told that the incident is frozen.
    pub frozen_told: bool,
    /// When (wall clock) people were last told that there is too little data.
    #[serde(default)]
    pub no_data_told_at: Option<UnixMillis>,
    /// The open episode. Invariant: present exactly while the phase is open.
    pub episode: Option<Episode>,
    /// Ended episodes of the last two hours.
    pub past: Vec<Past>,
}

/// Why an incident ended other than by recovering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CloseReason {
    /// The rule file was edited.
    RuleChanged,
    /// The rule file is gone.
    RuleDeleted,
    /// The slice had no data for too long.
    SliceRetired,
}

impl CloseReason {
    /// For people: `closed: rule changed`.
    pub fn words(self) -> &'static str {
        match self {
            Self::RuleChanged => "closed: rule changed",
            Self::RuleDeleted => "closed: rule deleted",
            Self::SliceRetired => "closed: no traffic for 24 h, recovery cannot be confirmed",
        }
    }

    /// The stable name, as it stands in tables and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What happened to a slice in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Over the line.
    Pended,
    /// Back before it paged: a near miss.
    Dropped,
    /// Page.
    Fired,
    /// Recovery began.
    Improving,
    /// Recovery was a false hope.
    Relapsed,
    /// Recovered: the episode that ended.
    Resolved(Episode),
    /// Frozen long enough that people should know.
    FreshnessLost(Health),
    /// Readings are back after that.
    FreshnessRegained,
}

/// Identifies a page at every channel: the same incident on any replica and after any restart has the same key.
pub fn dedup_key(rule_id: &str, slice_key: &str, episode_start: UnixMillis) -> String {
    let digest = Sha256::digest(format!("{rule_id}|{slice_key}|{}", episode_start.0));
    hex::encode(digest).chars().take(32).collect()
}

impl SliceState {
    /// One tick. `at` is the event time the reading is about, `now` the wall clock; `incident_id` is used if a new
    /// incident opens. Returns at most one move.
    ///
    /// Invariant: an unknown reading, and one that is not newer than the last, changes neither phase nor timer.
    pub fn step(
        &mut self,
        at: UnixMillis,
        now: UnixMillis,
        reading: Reading,
        timing: Timing,
        key: (&str, &str),
        incident_id: u64,
    ) -> Option<Move> {
        let verdict = match reading {
            Reading::Unknown(health) => return self.freeze(health, now),
            Reading::Known(_) if self.last_at.is_some_and(|last| at <= last) => return None,
            Reading::Known(verdict) => verdict,
        };
        let frozen = self.frozen_ticks > 0;
        let elapsed = if frozen { 0 } else { elapsed_ms(self.last_at, at, timing) };
        self.set_health(Health::Fresh, now);
        self.frozen_ticks = 0;
        self.last_at = Some(at);
        let told = std::mem::take(&mut self.frozen_told);
        let (phase, change) = advance(self.phase, verdict, elapsed, self.held(timing));
        self.phase = phase;
        match change {
            Some(Change::Pended) => Some(Move::Pended),
            Some(Change::Dropped) => Some(Move::Dropped),
            Some(Change::Improving) => Some(Move::Improving),
            Some(Change::Relapsed) => Some(Move::Relapsed),
            Some(Change::Fired) => {
                self.open(at, key, incident_id);
                Some(Move::Fired)
            }
            Some(Change::Resolved) => self.close(at).map(Move::Resolved),
            None => (told && self.phase.is_open()).then_some(Move::FreshnessRegained),
        }
    }

    /// Ends an open episode without recovery; the slice starts anew.
    pub fn abandon(&mut self, at: UnixMillis) -> Option<Episode> {
        let ended = self.close(at);
        // The last reading stays: were it judged again, a new episode could get the key of the old one.
        *self = Self { past: std::mem::take(&mut self.past), last_at: self.last_at, ..Self::default() };
        ended
    }

    /// Whether it has had too little data to judge by for so long that nobody waits for its recovery any more. Counted
    /// from the last reading, so that a failed query in between does not start the wait anew.
    pub fn is_retired(&self, now: UnixMillis) -> bool {
        let last = self.last_at.unwrap_or(self.health_since);
        self.health == Health::NoData && now.0 - last.0 > RETIRE_MS
    }

    /// Forgets times that lie ahead of `now`: the clock was set back, and waiting for them could take forever.
    pub fn set_back(&mut self, now: UnixMillis) {
        self.last_at = self.last_at.filter(|last| *last <= now);
        self.no_data_told_at = self.no_data_told_at.filter(|told| *told <= now);
        self.health_since = self.health_since.min(now);
    }

    /// Whether there is nothing worth keeping at event time `at`.
    pub fn is_forgettable(&self, at: UnixMillis) -> bool {
        self.phase == Phase::Inactive
            && self.past.iter().all(|past| at.0 - past.ended_at.0 > FLAPPING_WINDOW_MS)
    }

    /// Whether an incident that opens at `at` continues the last one.
    pub fn reopens(&self, at: UnixMillis) -> bool {
        self.past.last().is_some_and(|past| at.0 - past.ended_at.0 <= REOPEN_MS)
    }

    fn freeze(&mut self, health: Health, now: UnixMillis) -> Option<Move> {
        self.set_health(health, now);
        self.frozen_ticks = self.frozen_ticks.saturating_add(1);
        let again = health != Health::NoData
            || self.no_data_told_at.is_none_or(|told| now.0 - told.0 >= NO_DATA_TOLD_MS);
        let tell =
            self.phase.is_open() && !self.frozen_told && self.frozen_ticks >= FROZEN_TICKS_TOLD && again;
        self.frozen_told |= tell;
        if tell && health == Health::NoData {
            self.no_data_told_at = Some(now);
        }
        tell.then_some(Move::FreshnessLost(health))
    }

    fn set_health(&mut self, health: Health, now: UnixMillis) {
        if self.health != health || self.health_since == UnixMillis::default() {
            self.health = health;
            self.health_since = now;
        }
    }

    fn held(&self, timing: Timing) -> Timing {
        let flapping = self.episode.as_ref().is_some_and(|episode| episode.flapping);
        let recover_for_ms =
            if flapping { timing.recover_for_ms.max(FLAPPING_HOLD_MS) } else { timing.recover_for_ms };
        Timing { recover_for_ms, ..timing }
    }

    fn open(&mut self, at: UnixMillis, (rule_id, slice_key): (&str, &str), incident_id: u64) {
        let recent = self.past.iter().filter(|past| at.0 - past.started_at.0 <= FLAPPING_WINDOW_MS).count();
        let reopened = self.past.last().filter(|_| self.reopens(at));
        self.episode = Some(Episode {
            incident_id: reopened.map_or(incident_id, |past| past.incident_id),
            dedup_key: dedup_key(rule_id, slice_key, at),
            started_at: at,
            reopened: reopened.is_some(),
            flapping: recent + 1 >= FLAPPING_EPISODES,
        });
    }

    fn close(&mut self, at: UnixMillis) -> Option<Episode> {
        let episode = self.episode.take()?;
        self.phase = Phase::Inactive;
        self.past.retain(|past| at.0 - past.ended_at.0 <= FLAPPING_WINDOW_MS);
        self.past.push(Past {
            incident_id: episode.incident_id,
            started_at: episode.started_at,
            ended_at: at,
        });
        Some(episode)
    }
}
