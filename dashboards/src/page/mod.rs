//! The page: one function per section, in the order in which they are read.

mod alerts;
mod completeness;
mod declines;
mod footer;
mod headline;
mod history;
mod issuers;
mod judging;
mod panel;
mod sources;
mod state;
mod waiting;

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::Snapshot;
use state::State;

/// The one stylesheet. Its hash stands in the Content-Security-Policy.
pub(crate) const STYLE: &str = include_str!("board.css");
/// The one script: fetches the fragment again and again, and says so when it cannot. Likewise.
pub(crate) const SCRIPT: &str = include_str!("refresh.js");

/// What the page says beside the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Of Tillwatch.
    pub(crate) version: String,
    /// Where providers post, for the hint on an empty page: `http://127.0.0.1:8080`.
    pub(crate) ingest_url: String,
}

/// The whole page.
pub(crate) fn document(snapshot: &Snapshot, context: &Context) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (State::of(snapshot).title()) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body {
                a .skip href="#board" { "Skip to the numbers" }
                p #lost .lost hidden {}
                p #said .visually-hidden role="status" {}
                div #board { (fragment(snapshot, context)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// What is fetched again and again.
pub(crate) fn fragment(snapshot: &Snapshot, context: &Context) -> Markup {
    let state = State::of(snapshot);
    html! {
        div #snapshot data-title=(state.title()) data-state=(state.words()) data-second=(crate::number::second(snapshot.now)) {
            (crate::chart::hatch())
            (state.render(snapshot))
            main {
                @if state.is_waiting() {
                    (waiting::section(snapshot, context))
                } @else if !state.is_ignorant() {
                    (alerts::active(snapshot))
                    (headline::section(snapshot))
                    (history::section(snapshot))
                    (sources::section(snapshot))
                    (completeness::section(snapshot))
                    div .pair {
                        (declines::section(snapshot))
                        (issuers::section(snapshot))
                    }
                    (alerts::resolved(snapshot))
                }
            }
            (footer::footer(snapshot, context))
        }
    }
}

/// A tower, 16 by 16.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath \
                    d='M5 2h6v4H5zM6 6h4l1 8H5z' fill='%234f46e5'/%3E%3C/svg%3E";
