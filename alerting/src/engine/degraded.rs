//! Alerting watches itself: one page when rules cannot be evaluated or the data are stale, however many rules that
//! silences, and its end when they can be again.

use payments::UnixMillis;

use super::pages::{self, PageSettings};
use super::tick::Tick;
use super::watermark::Watermark;
use crate::page::{Action, Impact, Measured, Page, Severity, clock, duration};
use crate::rules::{Instants, Rules};
use crate::slice::Slice;
use crate::state::{Move, Reading, Timing, Verdict};

/// The rule's id. No rule file may have this name.
pub const DEGRADED: &str = "alerting-degraded";

const RUNBOOK: &str = "docs/runbooks/alerting-degraded.md";
/// Failed evaluations in a row that are told.
const FAILURES_TOLD: u32 = 3;
/// Being blind is told after this long.
const BLIND_MS: u64 = 180_000;
/// The problem must be gone this long.
const RECOVER_MS: u64 = 60_000;

/// Looks at this tick's failures and freshness, and pages or resolves.
pub(super) fn watch(
    tick: &mut Tick,
    rules: &Rules,
    watermark: Option<Watermark>,
    instants: Instants,
    settings: &PageSettings,
) {
    let failing: Vec<&str> = rules.keys().filter(|id| tick.failures(id) > 0).map(String::as_str).collect();
    let told: Vec<&str> = failing.iter().copied().filter(|id| tick.failures(id) >= FAILURES_TOLD).collect();
    let blind_ms = match watermark {
        Some(Watermark::Stale(complete_to)) => {
            u64::try_from(tick.now.since(complete_to).as_millis()).unwrap_or(u64::MAX)
        }
        _ => 0,
    };
    // Counted from our own start too: after an outage of the whole machine the first tick is not yet an incident.
    let stale_ticks = if blind_ms > 0 { tick.failures(DEGRADED).saturating_add(1) } else { 0 };
    if stale_ticks > 0 || tick.book.rules.contains_key(DEGRADED) {
        let record = tick.book.rules.entry(DEGRADED.to_owned()).or_default();
        record.failures = stale_ticks;
    }
    let blind = blind_ms >= BLIND_MS && stale_ticks >= FAILURES_TOLD;
    let verdict = match (blind || !told.is_empty(), failing.is_empty() && blind_ms == 0) {
        (true, _) => Verdict::Breach,
        (false, true) => Verdict::Clear,
        (false, false) => Verdict::Between,
    };
    let key = (DEGRADED.to_owned(), Slice::default().key());
    if verdict != Verdict::Breach && !tick.book.slices.contains_key(&key) {
        return;
    }
    let timing = Timing { for_ms: 0, recover_for_ms: RECOVER_MS, gap_ms_max: tick.gap_ms_max() };
    // Wall clock on purpose: this rule is about event time standing still.
    let (now, reading) = (tick.now, Reading::Known(verdict));
    let Some((from, moved)) = tick.step_key(&key, Some(Slice::default()), now, reading, timing) else {
        return;
    };
    match moved {
        Some(Move::Fired) => {
            let Some(tracked) = tick.book.slices.get_mut(&key) else { return };
            let Some(episode) = tracked.state.episode.clone() else { return };
            tracked.channels = channels(rules, &told, blind);
            tracked.told_at = now;
            let problem = Problem { blind_ms: blind.then_some(blind_ms), failing: &told };
            let page = problem.page(&episode, instants, settings);
            tracked.page = Some(page.clone());
            let channels = tracked.channels.clone();
            tick.record(&key, Some(from), "fired", now, Some(&page));
            tick.queue(&channels, Action::Trigger, String::new(), page);
        }
        Some(Move::Resolved(_)) => {
            let Some(tracked) = tick.book.slices.get_mut(&key) else { return };
            let (page, channels) = (tracked.page.take(), tracked.channels.clone());
            tick.record(&key, Some(from), "resolved", now, page.as_ref());
            if let Some(page) = page {
                let line =
                    format!("Every rule is evaluated on fresh data again. Confirmed {} UTC.", clock(now));
                tick.queue(&channels, Action::Resolve, line, page);
            }
        }
        // Whether it improves is not worth a message; that it ended is.
        _ => {}
    }
}

/// Being blind concerns every rule's channels, a failing rule only its own.
fn channels(rules: &Rules, failing: &[&str], blind: bool) -> Vec<String> {
    let concerned = rules.values().filter(|rule| blind || failing.contains(&rule.id.as_str()));
    let mut channels: Vec<String> = concerned.flat_map(|rule| rule.channels.iter().cloned()).collect();
    channels.sort();
    channels.dedup();
    channels
}

struct Problem<'a> {
    blind_ms: Option<u64>,
    failing: &'a [&'a str],
}

impl Problem<'_> {
    fn page(&self, episode: &crate::state::Episode, instants: Instants, settings: &PageSettings) -> Page {
        let (severity, headline, now) = match self.blind_ms {
            Some(ms) => (
                Severity::Critical,
                pages::headline("Alerting is blind:", format!("no fresh data for {}", duration(ms))),
                Measured::Silence { ms },
            ),
            None => (
                Severity::Error,
                pages::headline("Alerting degraded:", words(self.failing)),
                Measured::BlindRules { count: self.failing.len() as u64 },
            ),
        };
        let since: UnixMillis = instants.complete_to.min(instants.now);
        Page {
            severity,
            headline,
            incident_id: episode.incident_id,
            dedup_key: episode.dedup_key.clone(),
            reopened: episode.reopened,
            flapping: episode.flapping,
            rule: DEGRADED.to_owned(),
            rule_version: "built-in".to_owned(),
            owner: "whoever runs Tillwatch".to_owned(),
            slice: Vec::new(),
            since: self.blind_ms.map(|_| since),
            since_at_least: false,
            paged_at: instants.now,
            impact: Impact::unknown("payments may be fine, but nobody would be paged if they were not"),
            measure: "rules".to_owned(),
            now,
            usual: None,
            codes: Vec::new(),
            samples: Vec::new(),
            links: pages::links(&Slice::default(), since, RUNBOOK, settings),
            data: pages::freshness(instants),
            notes: self.failing.iter().map(|rule| format!("cannot be evaluated: {rule}")).collect(),
        }
    }
}

/// `issuer-declines cannot be evaluated`, or how many.
fn words(failing: &[&str]) -> String {
    match failing {
        [one] => format!("{one} cannot be evaluated"),
        many => format!("{} rules cannot be evaluated", many.len()),
    }
}
