//! Alerting watches itself. Two alarms, because one must not hide the other: nothing can be judged, which concerns
//! every channel; and single rules cannot be evaluated as they should, which concerns theirs. Each is one page
//! however many rules that silences, and ends when it is over.

use payments::UnixMillis;

use super::pages::{self, PageSettings};
use super::tick::Tick;
use super::watermark::Watermark;
use crate::page::{
    Action, DataFreshness, Headline, Impact, Links, Measured, Page, Severity, clock, duration,
};
use crate::rules::{Instants, Rules};
use crate::slice::Slice;
use crate::state::{Episode, Move, Reading, Verdict};

/// The rule's id. No rule file may have this name.
pub const DEGRADED: &str = "alerting-degraded";

/// Slice of the alarm that nothing can be judged: everything.
const BLIND: &str = "{}";
/// Slice of the alarm that single rules are not evaluated as they should be.
const RULES: &str = r#"{"alerting":"rules"}"#;
const RUNBOOK: &str = "docs/runbooks/alerting-degraded.md";
/// Failed evaluations, late ticks or blind ones in a row that are told.
const TICKS_TOLD: u32 = 3;
/// Being blind is told after this long.
const BLIND_MS: u64 = 180_000;
/// The problem must be gone this long.
const RECOVER_MS: u64 = 60_000;

/// What this tick could see.
pub(super) struct Sight<'a> {
    /// How current the data are; `None` when that could not be read.
    pub(super) watermark: Option<Watermark>,
    /// Rules that could not be evaluated.
    pub(super) failed: &'a [String],
    /// Ingest processes whose clock is ahead.
    pub(super) clocks_ahead: &'a [String],
}

impl Sight<'_> {
    /// Whether a rule's evaluation failed; `None` when it was not tried, which is no success.
    pub(super) fn has_failed(&self, rule_id: &str) -> Option<bool> {
        let is_tried = matches!(self.watermark, Some(Watermark::Fresh(_)));
        is_tried.then(|| self.failed.iter().any(|failed| failed == rule_id))
    }

    /// Why nothing could be judged; `None` when something was.
    fn blind(&self, rules: &Rules) -> Option<&'static str> {
        match self.watermark {
            None => Some("ClickHouse does not answer"),
            Some(Watermark::Unknown) => Some("no heartbeat of ingest was stored within a day"),
            Some(Watermark::Stale(_)) => {
                Some("heartbeats are too old: ingest, the queue or the processor stands still")
            }
            Some(Watermark::Fresh(_)) if !rules.is_empty() && self.failed.len() >= rules.len() => {
                Some("every rule's query fails")
            }
            Some(Watermark::Fresh(_)) => None,
        }
    }
}

/// Looks at this tick's failures and freshness, and pages or resolves.
pub(super) fn watch(tick: &mut Tick, rules: &Rules, sight: &Sight<'_>, settings: &PageSettings) {
    let blind = sight.blind(rules);
    count(tick, sight, blind.is_some());
    let (verdict, alarm) = blindness(tick, rules, blind);
    raise(tick, BLIND, verdict, alarm, sight, settings);
    let (verdict, alarm) = troubles(tick, rules, sight, blind.is_some());
    raise(tick, RULES, verdict, alarm, sight, settings);
}

fn count(tick: &mut Tick, sight: &Sight<'_>, is_blind: bool) {
    let (now, first) = (tick.now, tick.after_downtime);
    let is_late = tick.is_late;
    let watch = &mut tick.book.watch;
    if is_blind {
        // A process that has just started has not waited yet, whatever the one before it saw.
        watch.blind_ticks = if first { 1 } else { watch.blind_ticks.saturating_add(1) };
        watch.sighted_to.get_or_insert(now);
    } else {
        watch.blind_ticks = 0;
        watch.sighted_to = sight.watermark.and_then(Watermark::complete_to);
    }
    watch.late_ticks = if is_late { watch.late_ticks.saturating_add(1) } else { 0 };
}

/// What a page about alerting says.
struct Alarm {
    severity: Severity,
    headline: Headline,
    measured: Measured,
    since: Option<UnixMillis>,
    channels: Vec<String>,
    notes: Vec<String>,
    over: &'static str,
}

/// Whatever the cause: what counts is how long ago something was last judged.
fn blindness(tick: &Tick, rules: &Rules, cause: Option<&str>) -> (Verdict, Alarm) {
    let watch = tick.book.watch;
    let sighted_to = watch.sighted_to.unwrap_or(tick.now);
    let ms = u64::try_from(tick.now.since(sighted_to).as_millis()).unwrap_or(u64::MAX);
    let verdict = match cause {
        None => Verdict::Clear,
        Some(_) if ms >= BLIND_MS && watch.blind_ticks >= TICKS_TOLD => Verdict::Breach,
        Some(_) => Verdict::Between,
    };
    let alarm = Alarm {
        severity: Severity::Critical,
        headline: pages::headline("Alerting is blind:", format!("nothing judged for {}", duration(ms))),
        measured: Measured::Silence { ms },
        since: Some(sighted_to),
        channels: channels(rules, |_| true),
        notes: cause.map(str::to_owned).into_iter().collect(),
        over: "Rules are evaluated on fresh data again.",
    };
    (verdict, alarm)
}

/// Rules that fail, come late, leave slices out, or cannot know how current their data are.
fn troubles(tick: &Tick, rules: &Rules, sight: &Sight<'_>, is_blind: bool) -> (Verdict, Alarm) {
    let failing: Vec<&str> = rules.keys().map(String::as_str).filter(|id| tick.failures(id) > 0).collect();
    let told: Vec<&str> = failing.iter().copied().filter(|id| tick.failures(id) >= TICKS_TOLD).collect();
    let is_late = tick.book.watch.late_ticks >= TICKS_TOLD;
    let of_all = is_late || !sight.clocks_ahead.is_empty();
    let mut notes: Vec<String> = told.iter().map(|rule| format!("cannot be evaluated: {rule}")).collect();
    if is_late {
        notes.push(
            "rules are evaluated more than a minute apart: the machine or ClickHouse is too slow".to_owned(),
        );
    }
    notes.extend(
        tick.left_out
            .keys()
            .map(|rule| format!("too many slices are open or pending, others are not watched: {rule}")),
    );
    notes.extend(
        sight
            .clocks_ahead
            .iter()
            .map(|ingest| format!("the clock of {ingest} is ahead: how current its data are cannot be told")),
    );
    let verdict = match (notes.is_empty(), failing.is_empty() && !tick.is_late && !is_blind) {
        (false, _) => Verdict::Breach,
        (true, true) => Verdict::Clear,
        (true, false) => Verdict::Between,
    };
    let concerned = |id: &str| of_all || told.contains(&id) || tick.left_out.contains_key(id);
    let alarm = Alarm {
        severity: Severity::Error,
        headline: pages::headline("Alerting degraded:", words(&told, notes.len())),
        measured: Measured::BlindRules { count: rules.keys().filter(|id| concerned(id)).count() as u64 },
        since: None,
        channels: channels(rules, concerned),
        notes,
        over: "Every rule is evaluated on fresh data again.",
    };
    (verdict, alarm)
}

/// `issuer-declines cannot be evaluated`, how many cannot, or that there is something else.
fn words(failing: &[&str], troubles: usize) -> String {
    match failing {
        [] if troubles == 1 => "a problem of its own, see the note".to_owned(),
        [] => format!("{troubles} problems of its own, see the notes"),
        [one] => format!("{one} cannot be evaluated"),
        many => format!("{} rules cannot be evaluated", many.len()),
    }
}

fn channels(rules: &Rules, concerned: impl Fn(&str) -> bool) -> Vec<String> {
    let concerned = rules.values().filter(|rule| concerned(&rule.id));
    let mut channels: Vec<String> = concerned.flat_map(|rule| rule.channels.iter().cloned()).collect();
    channels.sort();
    channels.dedup();
    channels
}

/// Moves the alarm of `slice`, and tells.
fn raise(
    tick: &mut Tick,
    slice: &str,
    verdict: Verdict,
    alarm: Alarm,
    sight: &Sight<'_>,
    settings: &PageSettings,
) {
    let key = (DEGRADED.to_owned(), slice.to_owned());
    if verdict != Verdict::Breach && !tick.book.slices.contains_key(&key) {
        return;
    }
    // Wall clock on purpose: this rule is about event time standing still.
    let (now, reading) = (tick.now, Reading::Known(verdict));
    let timing = tick.timing(0, RECOVER_MS);
    let Some((from, moved)) = tick.step_key(&key, Some(Slice::default()), now, reading, timing) else {
        return;
    };
    let Some(tracked) = tick.book.slices.get_mut(&key) else { return };
    match moved {
        Some(Move::Fired) => {
            let Some(episode) = tracked.state.episode.clone() else { return };
            tracked.channels.clone_from(&alarm.channels);
            tracked.told_at = now;
            let channels = alarm.channels.clone();
            let page = page(alarm, &episode, now, sight, settings);
            tracked.page = Some(page.clone());
            tick.record(&key, Some(from), "fired", now, Some(&page));
            tick.queue(&channels, Action::Trigger, String::new(), page);
        }
        Some(Move::Resolved(_)) => {
            let (page, channels) = (tracked.page.take(), tracked.channels.clone());
            tick.record(&key, Some(from), "resolved", now, page.as_ref());
            if let Some(page) = page {
                let line = format!("{} Confirmed {} UTC.", alarm.over, clock(now));
                tick.queue(&channels, Action::Resolve, line, page);
            }
        }
        _ if verdict == Verdict::Breach => widen(tick, &key, alarm),
        // Whether it improves is not worth a message; that it ended is.
        _ => {}
    }
}

/// An open alarm concerns more than it did: channels that know nothing of it yet are paged, the others are told.
fn widen(tick: &mut Tick, key: &(String, String), alarm: Alarm) {
    let Some(tracked) = tick.book.slices.get_mut(key) else { return };
    let Some(page) = tracked.page.as_mut() else { return };
    let gained: Vec<String> = alarm.notes.into_iter().filter(|note| !page.notes.contains(note)).collect();
    let known = tracked.channels.clone();
    let new: Vec<String> = alarm.channels.into_iter().filter(|channel| !known.contains(channel)).collect();
    if gained.is_empty() && new.is_empty() {
        return;
    }
    page.notes.extend(gained.iter().cloned());
    page.now = alarm.measured;
    tracked.channels.extend(new.iter().cloned());
    let page = page.clone();
    let line = format!("Update {} UTC: {}", clock(tick.now), gained.join("; "));
    tick.queue(&new, Action::Trigger, String::new(), page.clone());
    if !gained.is_empty() {
        tick.queue(&known, Action::Update, line, page);
    }
}

fn page(
    alarm: Alarm,
    episode: &Episode,
    now: UnixMillis,
    sight: &Sight<'_>,
    settings: &PageSettings,
) -> Page {
    let complete_to = sight.watermark.and_then(Watermark::complete_to);
    let data = complete_to
        .map_or_else(DataFreshness::default, |complete_to| pages::freshness(Instants { now, complete_to }));
    let links = pages::links(&Slice::default(), alarm.since.unwrap_or(now), RUNBOOK, settings);
    Page {
        severity: alarm.severity,
        headline: alarm.headline,
        incident_id: episode.incident_id,
        dedup_key: episode.dedup_key.clone(),
        reopened: episode.reopened,
        flapping: episode.flapping,
        rule: DEGRADED.to_owned(),
        rule_version: "built-in".to_owned(),
        owner: "whoever runs Tillwatch".to_owned(),
        slice: Vec::new(),
        since: alarm.since,
        since_at_least: false,
        paged_at: now,
        impact: Impact::unknown("payments may be fine, but nobody would be paged if they were not"),
        measure: "rules".to_owned(),
        now: alarm.measured,
        usual: None,
        codes: Vec::new(),
        samples: Vec::new(),
        links: Links { events: String::new(), ..links },
        data,
        notes: alarm.notes,
    }
}
