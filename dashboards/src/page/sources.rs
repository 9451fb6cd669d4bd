//! Freshness: does every source still send.

use maud::{Markup, html};

use super::panel;
use crate::model::{Pulse, Snapshot, Source};
use crate::number;

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let body = panel::body(&snapshot.sources, snapshot, |sources| {
        html! {
            table {
                thead { tr {
                    th scope="col" { "Source" }
                    th scope="col" { "State" }
                    th scope="col" .number { "Webhooks now" span .th-note { "usual" } }
                    th scope="col" .number { "Parked" span .th-note { "24 h" } }
                } }
                tbody { @for source in sources { (row(source, snapshot)) } }
            }
        }
    });
    // The state of each source says its own age; the rates need one when they are old.
    let aside = if panel::is_old(snapshot) {
        panel::age(snapshot)
    } else {
        html! {}
    };
    panel::section("sources", "Sources", &aside, &body)
}

fn row(source: &Source, snapshot: &Snapshot) -> Markup {
    html! {
        tr {
            th scope="row" {
                (panel::name(&source.name))
                span .sub {
                    (crate::words::name(&source.provider))
                    @if !source.configured { " · no longer configured" }
                }
            }
            td {
                span class={ "pulse " (class(source.pulse)) } { (shape(source.pulse)) (word(source.pulse)) }
                span .sub { (last(source, snapshot)) }
            }
            td .number {
                (number::short(source.rate_now)) "/min"
                span .sub { (number::short(source.rate_usual)) "/min" }
            }
            td .number {
                @if source.parked_24h > 0 { span .parked { (number::grouped(source.parked_24h)) } } @else { "0" }
            }
        }
    }
}

fn last(source: &Source, snapshot: &Snapshot) -> String {
    match source.last_received_at {
        None => "none in the last day".to_owned(),
        Some(at) => format!("last {} ago", number::duration(snapshot.now.0 - at.0)),
    }
}

fn word(pulse: Pulse) -> &'static str {
    match pulse {
        Pulse::Receiving => "Receiving",
        Pulse::Slow => "Slow",
        Pulse::Silent => "Silent",
        Pulse::Quiet => "Quiet",
        Pulse::Waiting => "Waiting",
        Pulse::Unknown => "Not known",
    }
}

fn class(pulse: Pulse) -> &'static str {
    match pulse {
        Pulse::Receiving => "receiving",
        Pulse::Slow => "slow",
        Pulse::Silent => "silent",
        Pulse::Quiet | Pulse::Waiting => "quiet",
        Pulse::Unknown => "not-known",
    }
}

/// A full dot, a half one, a triangle, a ring, a square: told apart without colour.
fn shape(pulse: Pulse) -> Markup {
    html! {
        svg .shape viewBox="0 0 16 16" width="10" height="10" aria-hidden="true" focusable="false" {
            @match pulse {
                Pulse::Receiving => circle cx="8" cy="8" r="7" {},
                Pulse::Slow => path d="M8 1a7 7 0 0 1 0 14ZM8 1a7 7 0 0 0 0 14V13a5 5 0 0 1 0-10Z" {},
                Pulse::Silent => path d="M8 .5 16 15H0Z" {},
                Pulse::Quiet | Pulse::Waiting => circle .ring cx="8" cy="8" r="6" {},
                Pulse::Unknown => rect x="2" y="2" width="12" height="12" rx="2" {},
            }
        }
    }
}
