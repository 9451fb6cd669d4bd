//! From what happened to what is told. Pure.

use payments::UnixMillis;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tick::{Tick, What};
use crate::page::{Action, DataFreshness, Headline, Links, Measured, Page, clock, is_showable, title};
use crate::rules::{Findings, Instants, Rule, Sample};
use crate::slice::Slice;
use crate::state::{CloseReason, Episode, Health, Move};
use crate::storage::Tracked;

/// The board opens this long before the onset.
const BOARD_BEFORE_MS: i64 = 60 * 60_000;

/// What pages need from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSettings {
    /// The board's address as people reach it.
    pub public_url: String,
}

/// A new page.
pub(super) fn open(
    rule: &Rule,
    slice: &Slice,
    episode: &Episode,
    findings: &Findings,
    instants: Instants,
    settings: &PageSettings,
) -> Page {
    Page {
        severity: rule.severity,
        headline: rule.headline(slice, findings),
        incident_id: episode.incident_id,
        dedup_key: episode.dedup_key.clone(),
        reopened: episode.reopened,
        flapping: episode.flapping,
        rule: rule.id.clone(),
        rule_version: rule.version(),
        owner: rule.owner.clone(),
        slice: slice.for_page(),
        since: findings.since,
        since_at_least: findings.since_at_least,
        paged_at: instants.now,
        impact: findings.impact.clone(),
        measure: rule.measure_words().to_owned(),
        now: findings.now,
        usual: findings.usual,
        codes: findings.codes.clone(),
        samples: findings.samples.clone(),
        links: links(slice, findings.since.unwrap_or(instants.now), &rule.runbook, settings),
        data: freshness(instants),
        notes: findings.notes.clone(),
    }
}

/// Newer numbers for an open page. Its title, onset and identity stay.
pub(super) fn refresh(page: &mut Page, findings: &Findings, instants: Instants, ended: bool) {
    page.data = freshness(instants);
    if !findings.impact.unknown.is_empty() && findings.impact.money.is_none() && page.impact.money.is_some() {
        // What could not be looked up now is still known from before.
        return;
    }
    page.impact = findings.impact.clone();
    if !ended {
        page.now = findings.now;
        page.codes.clone_from(&findings.codes);
        page.samples.clone_from(&findings.samples);
        if !findings.notes.is_empty() {
            page.notes.clone_from(&findings.notes);
        }
    }
    page.since = page.since.or(findings.since);
    page.usual = page.usual.or(findings.usual);
}

pub(super) fn freshness(instants: Instants) -> DataFreshness {
    let lag_ms = u64::try_from(instants.now.since(instants.complete_to).as_millis()).unwrap_or(0);
    DataFreshness { complete_to: Some(instants.complete_to), lag_ms: Some(lag_ms), frozen: None }
}

/// What happened, and what was learnt of it.
pub(super) struct News<'a> {
    pub(super) what: &'a What,
    pub(super) sample: Option<&'a Sample>,
    /// Whether the page's numbers are of this tick.
    pub(super) is_refreshed: bool,
}

/// Whether channels are told of it, and how.
pub(super) fn telling(
    news: &News<'_>,
    tracked: &Tracked,
    page: Option<&Page>,
    now: UnixMillis,
    rule: &Rule,
) -> Option<(Action, String)> {
    let (page, sample) = (page?, news.sample);
    let update = |words: &str| Some((Action::Update, format!("Update {} UTC: {words}", clock(now))));
    let measured = |measured: Measured| measured.in_full(rule.measure_words());
    match news.what {
        What::Moved { how: Move::Fired, .. } => Some((Action::Trigger, String::new())),
        What::Moved { how: Move::Resolved(_), .. } => {
            Some((Action::Resolve, resolved_line(page, sample, now, rule)))
        }
        What::Moved { how: Move::Improving, .. } => {
            update(&format!("improving, {} now{}", measured(sample?.measured), usually(page)))
        }
        What::Moved { how: Move::Relapsed, .. } => {
            update(&format!("worse again, {} now{}", measured(sample?.measured), usually(page)))
        }
        What::Moved { how: Move::FreshnessLost(health), .. } => {
            update(&format!("⚠ frozen: {}; last known {}", frozen_words(*health), measured(page.now)))
        }
        What::Moved { how: Move::FreshnessRegained, .. } => {
            let current = if news.is_refreshed { "; the numbers are current again" } else { "" };
            update(&format!("data are back{current}"))
        }
        What::Retired { .. } => Some((Action::Resolve, closed_line(CloseReason::SliceRetired, now))),
        What::Refresh if Tick::has_news(tracked, page, now) => {
            update(&format!("still {}{}", measured(page.now), usually(page)))
        }
        What::Moved { how: Move::Pended | Move::Dropped, .. } | What::Refresh => None,
    }
}

/// `Back to 13% declined (41/320), usually 12%. Confirmed 14:40 UTC.`
fn resolved_line(page: &Page, sample: Option<&Sample>, now: UnixMillis, rule: &Rule) -> String {
    let back = sample.map_or_else(
        || "Back to usual".to_owned(),
        |sample| match sample.measured {
            Measured::Silence { .. } => "Webhooks arrive again".to_owned(),
            Measured::Missing { .. } => "Everything acknowledged is stored".to_owned(),
            measured => format!("Back to {}", measured.in_full(rule.measure_words())),
        },
    );
    format!("{back}{}. Confirmed {} UTC.", usually(page), clock(now))
}

/// `closed: rule changed, 14:40 UTC`.
pub(super) fn closed_line(reason: CloseReason, now: UnixMillis) -> String {
    format!("{}, {} UTC", reason.words(), clock(now))
}

fn usually(page: &Page) -> String {
    page.usual.map_or_else(String::new, |usual| {
        let words = match usual.measured {
            Measured::Share { count, of } if of > 0 => crate::page::percent(count as f64 / of as f64),
            Measured::Latency { ms, .. } => crate::page::millis(ms),
            other => other.in_full(""),
        };
        format!(", usually {words}")
    })
}

fn frozen_words(health: Health) -> &'static str {
    match health {
        Health::Fresh => "nothing",
        Health::Stale => "no fresh data arrive",
        Health::NoData => "too little traffic to judge by",
        Health::Error => "ClickHouse does not answer",
    }
}

/// Where to look, from an hour before `since`. The board's address carries the slice, although today's board shows
/// everything; the command cuts by it.
pub(super) fn links(slice: &Slice, since: UnixMillis, runbook: &str, settings: &PageSettings) -> Links {
    let mut board =
        format!("{}/?from={}", settings.public_url.trim_end_matches('/'), since.0 - BOARD_BEFORE_MS);
    for (dimension, value) in slice.values() {
        let _ = write!(board, "&{}={}", dimension.name(), percent_encoded(value));
    }
    Links { board, runbook: runbook.to_owned(), events: events_command(slice, since) }
}

/// A command to copy into a POSIX shell. Values are quoted; one that a page could not show as it is (control and
/// direction characters, very long ones) is left out.
fn events_command(slice: &Slice, since: UnixMillis) -> String {
    let mut command = format!("tillwatch events --from {}", since.minute());
    for (dimension, value) in slice.values().filter(|(_, value)| is_showable(value)) {
        let _ = write!(command, " --where {}='{}'", dimension.name(), value.replace('\'', r"'\''"));
    }
    command
}

/// RFC 3986: everything but unreserved characters. At most the start of a very long value: a filter, not an archive.
fn percent_encoded(value: &str) -> String {
    let mut out = String::new();
    for byte in value.chars().take(100).collect::<String>().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What a board needs to show an incident without knowing rules; see `docs/alerting.md`.
#[derive(Serialize)]
struct Details<'a> {
    title: String,
    severity: &'static str,
    state: &'a str,
    reason: &'a str,
    incident_id: u64,
    dedup_key: &'a str,
    slice: BTreeMap<&'static str, &'a str>,
    runbook: &'a str,
    since: Option<String>,
    paged_at: Option<String>,
    impact: String,
    impact_per_minute: Option<f64>,
    impact_so_far: Option<f64>,
    impact_currency: Option<&'a str>,
    now: String,
    usual: String,
    frozen: Option<&'static str>,
    event_time: String,
    updated_at: String,
}

/// The details of a transition as JSON.
pub(super) fn details(
    tracked: &Tracked,
    page: Option<&Page>,
    (state, reason): (&str, &str),
    (at, now): (UnixMillis, UnixMillis),
) -> String {
    let money = page.and_then(|page| page.impact.money.as_ref());
    let health = tracked.state.health;
    let details = Details {
        title: page.map_or_else(String::new, title),
        severity: page.map_or("", |page| page.severity.name()),
        state,
        reason,
        incident_id: page.map_or(0, |page| page.incident_id),
        dedup_key: page.map_or("", |page| page.dedup_key.as_str()),
        slice: tracked.slice.values().map(|(dimension, value)| (dimension.name(), value)).collect(),
        runbook: page.map_or("", |page| page.links.runbook.as_str()),
        since: page.and_then(|page| page.since).map(|since| since.to_string()),
        paged_at: page.map(|page| page.paged_at.to_string()),
        impact: page.map_or_else(String::new, |page| page.impact.in_full()),
        impact_per_minute: money.map(|money| money.per_minute.round()),
        impact_so_far: money.map(|money| money.so_far.round()),
        impact_currency: money.map(|money| money.currency.as_str()),
        now: page.map_or_else(String::new, |page| page.now.in_full(&page.measure)),
        usual: page.and_then(|page| page.usual).map_or_else(String::new, |usual| usual.measured.in_full("")),
        frozen: (health != Health::Fresh).then(|| health.name()),
        event_time: at.to_string(),
        updated_at: now.to_string(),
    };
    // Invariant: texts and finite numbers only (a non-finite one becomes null): writing it cannot fail.
    serde_json::to_string(&details).unwrap_or_default()
}

/// A page about alerting itself.
pub(super) fn headline(before: &str, after: String) -> Headline {
    Headline { before: before.to_owned(), slice: String::new(), after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::Dimension;

    fn command(issuer: &str) -> String {
        events_command(&Slice::new(&[Dimension::Issuer], vec![issuer.to_owned()]), UnixMillis(0))
    }

    #[test]
    fn the_command_means_the_slice_whatever_its_name_and_nothing_else_to_a_shell() {
        let issuers =
            ["Harbour Bank", "Müller & Söhne (Bank)", "O'Hara/National", "$(reboot) `reboot` \\ \"", ""];
        for issuer in issuers {
            let words = std::process::Command::new("sh")
                .args(["-c", &format!("tillwatch() {{ printf '%s\\n' \"$@\"; }}; {}", command(issuer))])
                .output()
                .unwrap();
            let words = String::from_utf8(words.stdout).unwrap();
            let expected = format!("events\n--from\n1970-01-01T00:00:00.000Z\n--where\nissuer={issuer}\n");
            assert_eq!(words, expected);
        }
    }

    #[test]
    fn a_name_that_a_page_cannot_show_is_left_out() {
        for issuer in ["a\nb", "a\u{202e}b", "\u{1b}[2J", &"x".repeat(200)] {
            assert_eq!(command(issuer), "tillwatch events --from 1970-01-01T00:00:00.000Z");
        }
    }
}
