//! What every panel does alike: a heading, and the truth about its age.

use maud::{Markup, html};

use crate::model::{Alert, Headline, Panel, Snapshot};
use crate::{number, words};

/// A section with a heading; `aside` stands beside it.
pub(super) fn section(id: &str, title: &str, aside: &Markup, body: &Markup) -> Markup {
    let heading = format!("{id}-title");
    html! {
        section #(id) .panel aria-labelledby=(heading) {
            div .panel-head {
                h2 #(heading) { (title) }
                (aside)
            }
            (body)
        }
    }
}

/// The panel's body: what is known, with its age if it could not be asked again; or that nothing is known.
pub(super) fn body<T>(panel: &Panel<T>, snapshot: &Snapshot, render: impl FnOnce(&T) -> Markup) -> Markup {
    html! {
        (note(panel, snapshot))
        @if let Some(value) = panel.value() { (render(value)) }
    }
}

/// What is wrong with this panel alone; what is wrong with the whole page is said once, at its top.
fn note<T>(panel: &Panel<T>, snapshot: &Snapshot) -> Markup {
    let page_failed = snapshot.feed.failure.is_some();
    html! {
        @match (&panel.failure, &panel.known) {
            (Some(_), Some(known)) if page_failed => {
                p .empty { "As known at " (number::second(known.at)) " UTC." }
            }
            (Some(failure), Some(known)) => {
                p .panel-failure role="note" {
                    (warning_shape()) "Not updated: " (failure) ". Shown is what was known at "
                    (number::second(known.at)) " UTC, "
                    strong { (number::duration(snapshot.now.0 - known.at.0)) " ago" } "."
                }
            }
            (Some(failure), None) => {
                p .panel-failure role="note" { (warning_shape()) "Not known: " (failure) "." }
            }
            (None, None) => p .empty { "Not known yet." },
            (None, Some(_)) => {}
        }
    }
}

/// Which minutes "now" is, unless it is now: an old number never stands without its age.
pub(super) fn age(snapshot: &Snapshot) -> Markup {
    let Some((now, age)) =
        snapshot.headline.value().map(|headline| (&headline.now, snapshot.now.0 - headline.now.to.0))
    else {
        return html! {};
    };
    html! {
        @if is_old(snapshot) {
            p .aside .old {
                (number::minute(now.from)) "–" (number::minute(now.to)) " UTC, " strong { (number::duration(age)) " ago" }
            }
        } @else { p .aside { "now" } }
    }
}

/// What "now" is compared with, for the head of a column.
pub(super) fn compared_with(snapshot: &Snapshot) -> String {
    let known = snapshot.headline.value().and_then(Headline::compared_with);
    known.unwrap_or_else(|| "hour before".to_owned())
}

/// Whether "now" is too long ago. The last complete minute ends up to a minute before the data do.
pub(super) fn is_old(snapshot: &Snapshot) -> bool {
    let ended = snapshot.headline.value().map(|headline| headline.now.to);
    let age_ms = ended.map_or(0, |ended| snapshot.now.0 - ended.0);
    age_ms > snapshot.stale_after_ms.saturating_add(60_000) || snapshot.feed.failure.is_some()
}

/// A triangle: what is wrong, without relying on colour.
pub(super) fn warning_shape() -> Markup {
    html! {
        svg .shape viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" focusable="false" {
            path d="M8 1.5 15 14.5H1Z" {}
        }
    }
}

/// A name from outside, which cannot reorder what stands around it.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (words::name(text)) } }
}

/// An alert's title, without the severity that its badge says already.
pub(super) fn name_of_alert(alert: &Alert) -> Markup {
    let title = words::sentence(&alert.title);
    let label = format!("{} ", alert.severity.label());
    html! { bdi { (title.strip_prefix(&label).unwrap_or(&title)) } }
}
