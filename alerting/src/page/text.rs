//! The page in full as plain text: the canonical form that every channel cuts down.

use super::title::missed_title;
use super::{Action, Measured, Message, Page, number, resolved_title, title};

/// Title, then the lines.
pub fn full_text(message: &Message) -> String {
    let mut text = message_title(message);
    text.push('\n');
    if !message.line.is_empty() {
        text.push_str(&format!("{}\n", message.line));
    }
    text.push('\n');
    for (label, line) in body_lines(message) {
        text.push_str(&format!("{label:<11}{line}\n"));
    }
    text.push_str(&footer(&message.page));
    text.push('\n');
    text
}

/// What is sent when a channel refuses the full form: title, line and link, nothing else.
pub fn minimal_text(message: &Message) -> String {
    let mut parts = vec![message_title(message)];
    parts.extend((!message.line.is_empty()).then(|| message.line.clone()));
    parts.push(format!("Impact: {}", impact(message)));
    parts.push(format!("Since: {}", since(message)));
    parts.push(message.page.links.board.clone());
    parts.join("\n")
}

/// The title as this message says it.
pub(crate) fn message_title(message: &Message) -> String {
    match message.action {
        Action::Trigger | Action::Update => title(&message.page),
        Action::Resolve => resolved_title(&message.page, message.at),
        Action::Missed => missed_title(&message.page, message.at),
    }
}

/// Label and text of every line, in reading order; the most important first, so that a channel may drop from the end.
pub fn body_lines(message: &Message) -> Vec<(&'static str, String)> {
    let page = &message.page;
    if page.is_of_alerting() {
        return alerting_lines(message);
    }
    if let Measured::Missing { .. } = page.now {
        return missing_lines(message);
    }
    let mut lines = vec![("Impact", impact(message)), ("Since", since(message)), ("Slice", slice(page))];
    if !has_ended(message) {
        lines.push(("Now", page.now.in_full(&page.measure)));
        lines.push(("Usual", usual(page)));
        let codes = codes(page);
        lines.extend((!codes.is_empty()).then_some(("Codes", codes)));
        lines.push(("Looks like", "unclear".to_owned()));
        lines.push(("Ruled out", RULED_OUT.to_owned()));
        lines.push(("Do first", "follow the runbook".to_owned()));
        lines.push(("Changes", "none recorded".to_owned()));
    }
    lines.push(("Data", data(message)));
    lines.extend(page.notes.iter().map(|note| ("Note", note.clone())));
    lines.push(("Board", page.links.board.clone()));
    lines.push(("Runbook", page.links.runbook.clone()));
    lines.push(("Events", page.links.events.clone()));
    lines.extend((!page.samples.is_empty()).then(|| ("Samples", page.samples.join(" · "))));
    lines
}

/// A page about webhooks that are not stored has nothing to say of what they would have told.
fn missing_lines(message: &Message) -> Vec<(&'static str, String)> {
    let page = &message.page;
    let mut lines = vec![("Impact", impact(message)), ("Since", since(message))];
    if !has_ended(message) {
        lines.push(("Now", page.now.in_full(&page.measure)));
        lines.extend(page.notes.iter().map(|note| ("Note", note.clone())));
        lines.push(("Do first", "follow the runbook; delete nothing from queues, logs or spools".to_owned()));
    }
    lines.push(("Data", data(message)));
    lines.push(("Board", page.links.board.clone()));
    lines.push(("Runbook", page.links.runbook.clone()));
    lines.push(("Events", page.links.events.clone()));
    lines
}

/// A page about alerting itself has nothing to say of payments.
fn alerting_lines(message: &Message) -> Vec<(&'static str, String)> {
    let page = &message.page;
    let mut lines = vec![("Impact", impact(message)), ("Since", since(message))];
    lines.extend(page.notes.iter().map(|note| ("Note", note.clone())));
    if !has_ended(message) {
        lines.push(("Do first", "follow the runbook".to_owned()));
    }
    lines.push(("Data", data(message)));
    lines.push(("Board", page.links.board.clone()));
    lines.push(("Runbook", page.links.runbook.clone()));
    lines
}

fn has_ended(message: &Message) -> bool {
    matches!(message.action, Action::Resolve | Action::Missed)
}

fn impact(message: &Message) -> String {
    if has_ended(message) { message.page.impact.in_total() } else { message.page.impact.in_full() }
}

/// `issuer-declines 1f2e3d4c · incident 8 · owner payments-oncall`.
pub(crate) fn footer(page: &Page) -> String {
    let mut footer = format!("{} {} · incident {}", page.rule, page.rule_version, page.incident_id);
    if page.reopened {
        footer.push_str(" (re-opened)");
    }
    if page.flapping {
        footer.push_str(" · flapping: held open until quiet for 30 min");
    }
    footer.push_str(&format!(" · owner {}", page.owner));
    footer
}

/// `2026-11-22 14:02 UTC, paged after 2.5 min`, and at the end `2026-11-22 14:02 to 14:40 UTC`.
pub(crate) fn since(message: &Message) -> String {
    let page = &message.page;
    let at_least = if page.since.is_none() || page.since_at_least { "at least since " } else { "" };
    let since = page.since.unwrap_or(page.paged_at);
    if has_ended(message) {
        let (from, to) = (number::day_clock(since), number::clock_after(message.at, since));
        return format!("{at_least}{from} to {to} UTC");
    }
    if page.since.is_none() {
        return format!("{at_least}{} UTC", number::day_clock(since));
    }
    let after = u64::try_from(page.paged_at.0.saturating_sub(since.0)).unwrap_or(0);
    format!("{at_least}{} UTC, paged after {}", number::day_clock(since), number::duration(after))
}

/// `issuer Harbour Bank`; whether it is the root of the excess was not checked.
fn slice(page: &Page) -> String {
    if page.slice.is_empty() {
        return "broad: no single slice".to_owned();
    }
    format!("{} · share of the excess it explains: not checked", page.headline.slice)
}

fn usual(page: &Page) -> String {
    page.usual.map_or_else(
        || "unclear (nothing to compare with before the onset)".to_owned(),
        |usual| {
            format!(
                "{}, {}–{} UTC",
                usual.measured.in_full(""),
                number::clock_after(usual.from, page.since.unwrap_or(page.paged_at)),
                number::clock_after(usual.to, page.since.unwrap_or(page.paged_at))
            )
        },
    )
}

fn codes(page: &Page) -> String {
    let shown: Vec<String> = page
        .codes
        .iter()
        .map(|code| {
            let own = if code.code.is_empty() || code.code == code.category {
                String::new()
            } else {
                format!(" ({})", code.code)
            };
            format!("{}{own} +{}", code.category, number::count(code.excess))
        })
        .collect();
    shown.join(" · ")
}

/// Until something checks them. That the provider told us late is among them: only our own delay is measured.
const RULED_OUT: &str =
    "nothing · not checked: the provider's own delay · one provider · own deploy · mix shift · card testing";

fn data(message: &Message) -> String {
    let data = message.page.data;
    let Some(complete_to) = data.complete_to else {
        return "not known how far they are complete".to_owned();
    };
    let complete = number::clock_after(complete_to, message.at);
    match (data.frozen, data.lag_ms) {
        (None, Some(lag_ms)) => {
            format!("complete to {complete} UTC, our own lag {}", number::duration(lag_ms))
        }
        (None, None) => format!("complete to {complete} UTC"),
        (Some(health), _) => {
            format!("⚠ frozen ({}): last known at {complete} UTC", health.name().replace('_', " "))
        }
    }
}
