//! What a tick tells: pages, messages and history. Pure.

use payments::UnixMillis;

use super::pages::{self, PageSettings};
use super::tick::{Happening, Key, Tick, What};
use crate::page::{Action, Message, Page};
use crate::rules::{Findings, Instants, Rule};
use crate::state::{CloseReason, Health, Move};
use crate::storage::Tracked;
use crate::storage::transitions::Transition;

/// Channels are told again after this long, whatever happens.
const TELL_MS: i64 = 30 * 60_000;
/// A doubled cost is told, but not more often than this.
const TELL_DOUBLED_MS: i64 = 120_000;
impl Tick {
    /// Writes history and messages for a happening.
    pub(super) fn tell(
        &mut self,
        rule: &Rule,
        happening: &Happening,
        findings: Option<&Findings>,
        instants: Instants,
        settings: &PageSettings,
    ) {
        let Happening { key, what, sample, .. } = happening;
        let page = self.page(rule, happening, findings, instants, settings);
        let Some(tracked) = self.book.slices.get_mut(key) else { return };
        // What could not be looked up is due again at the next tick.
        if findings.is_some_and(|findings| findings.since.is_some()) {
            tracked.refreshed_at = self.now;
        }
        if what.is_fired() {
            tracked.channels.clone_from(&rule.channels);
            tracked.accrued = None;
        }
        if let Some(accrued) = findings.and_then(|findings| findings.accrued.clone()) {
            tracked.accrued = Some(accrued);
        }
        let news = pages::News { what, sample: sample.as_ref(), is_refreshed: findings.is_some() };
        let telling = pages::telling(&news, tracked, page.as_ref(), self.now, rule);
        let told = telling.is_some();
        if told {
            tracked.told_at = self.now;
            tracked.told_per_minute = page.as_ref().and_then(|page| page.impact.per_minute());
        }
        let ended = matches!(what, What::Moved { how: Move::Resolved(_), .. } | What::Retired { .. });
        tracked.page = if ended { None } else { page.clone() };
        let channels = tracked.channels.clone();
        if let (Some((action, line)), Some(page)) = (telling, &page) {
            self.queue(&channels, action, line, page.clone());
        }
        if let Some((from, reason)) = telling_reason(what, told) {
            self.record(key, from, reason, instants.complete_to, page.as_ref());
        }
    }

    /// The page as it stands after a happening; `None` while nothing is open.
    fn page(
        &self,
        rule: &Rule,
        happening: &Happening,
        findings: Option<&Findings>,
        instants: Instants,
        settings: &PageSettings,
    ) -> Option<Page> {
        let tracked = self.book.slices.get(&happening.key)?;
        let (state, what) = (&tracked.state, &happening.what);
        let mut page = match &tracked.page {
            Some(page) if !what.is_fired() => page.clone(),
            _ => pages::open(rule, &tracked.slice, state.episode.as_ref()?, findings?, instants, settings),
        };
        if let Some(findings) = findings {
            let ended = matches!(what, What::Moved { how: Move::Resolved(_), .. });
            pages::refresh(&mut page, findings, instants, ended);
        }
        if what.is_fired() && happening.truncated {
            page.notes.push("the rule watches its largest slices only; others were left out".to_owned());
        }
        page.data.frozen = (state.health != Health::Fresh).then_some(state.health);
        Some(page)
    }

    /// Queues a message for every channel of a page.
    pub(super) fn queue(&mut self, channels: &[String], action: Action, line: String, page: Page) {
        let message = Message { action, line, at: self.now, page };
        self.messages.extend(channels.iter().map(|channel| (channel.clone(), message.clone())));
    }

    /// Adds a line of history.
    pub(super) fn record(
        &mut self,
        key: &Key,
        from: Option<&'static str>,
        reason: &str,
        at: UnixMillis,
        page: Option<&Page>,
    ) {
        let Some(tracked) = self.book.slices.get(key) else { return };
        let to_state = tracked.state.phase.name();
        self.transitions.push(Transition {
            id: Transition::id_of(&key.0, &key.1, at, to_state, reason),
            at,
            decided_at: self.now,
            rule_id: key.0.clone(),
            slice_key: key.1.clone(),
            incident_id: page.map_or(0, |page| page.incident_id),
            dedup_key: page.map_or_else(String::new, |page| page.dedup_key.clone()),
            from_state: from.unwrap_or(to_state).to_owned(),
            to_state: to_state.to_owned(),
            severity: page.map_or("", |page| page.severity.name()).to_owned(),
            reason: reason.to_owned(),
            details: pages::details(tracked, page, (to_state, reason), (at, self.now)),
        });
    }

    /// Whether an open page has news worth telling.
    pub(super) fn has_news(tracked: &Tracked, page: &Page, now: UnixMillis) -> bool {
        let since_told = now.0 - tracked.told_at.0;
        let doubled = match (tracked.told_per_minute, page.impact.per_minute()) {
            (Some(told), Some(cost)) => cost >= 2.0 * told && cost >= 1.0,
            _ => false,
        };
        since_told >= TELL_MS || (doubled && since_told >= TELL_DOUBLED_MS)
    }
}

/// How history names what happened, and the phase before; nothing for a refresh that was not told.
fn telling_reason(what: &What, told: bool) -> Option<(Option<&'static str>, &'static str)> {
    match what {
        What::Moved { from, how } => {
            let reason = match how {
                Move::Pended => "pending",
                Move::Dropped => "near_miss",
                Move::Fired => "fired",
                Move::Improving => "improving",
                Move::Relapsed => "relapsed",
                Move::Resolved(_) => "resolved",
                Move::FreshnessLost(_) => "freshness_lost",
                Move::FreshnessRegained => "freshness_regained",
            };
            Some((Some(from), reason))
        }
        What::Retired { from } => Some((Some(from), CloseReason::SliceRetired.name())),
        What::Refresh => told.then_some((None, "update")),
    }
}
