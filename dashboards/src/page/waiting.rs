//! The first page: nothing has come yet, and this is how to begin.

use maud::{Markup, html};

use super::{Context, panel};
use crate::model::Snapshot;

/// Addresses listed.
const ADDRESSES_MAX: usize = 8;

pub(super) fn section(snapshot: &Snapshot, context: &Context) -> Markup {
    let sources = snapshot.sources.value().map(Vec::as_slice).unwrap_or_default();
    let body = html! {
        div .waiting-body {
            @if sources.is_empty() {
                p { "No source is configured. Add one to the configuration, " code { "[[sources]]" } ", and start again." }
            } @else {
                p { "Point a provider at one of these addresses, and the first payment shows here seconds after it is acknowledged:" }
                ul .addresses {
                    @for source in sources.iter().take(ADDRESSES_MAX) {
                        li {
                            code { "POST " (context.ingest_url) "/webhooks/" (crate::words::name(&source.name)) }
                            span .muted { (crate::words::name(&source.provider)) }
                        }
                    }
                }
                @if sources.len() > ADDRESSES_MAX { p .muted { "and " (sources.len() - ADDRESSES_MAX) " more" } }
                p { "No provider at hand? This posts simulated, really signed webhooks to all of them:" }
                pre { code { "tillwatch simulate" } }
            }
        }
    };
    panel::section("waiting", "How to begin", &html! {}, &body)
}
