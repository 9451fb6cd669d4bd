//! What fires now, and what was resolved lately.

use maud::{Markup, html};

use super::judging::Judging;
use super::panel;
use crate::model::{Alert, Severity, Snapshot};
use crate::{number, words};

/// Firing incidents, and whether anybody looks for them; nothing at all when there are none and somebody does.
pub(super) fn active(snapshot: &Snapshot) -> Markup {
    let is_quiet = snapshot.alerts.value().is_none_or(|alerts| alerts.active.is_empty());
    let judging = Judging::of(snapshot);
    if is_quiet && snapshot.alerts.failure.is_none() && !judging.is_dead() {
        return html! {};
    }
    let aside = html! {
        @if let Some(judged_to) = judging.judged_to(snapshot.now) { p .aside { (judged_to) } }
    };
    let body = panel::body(&snapshot.alerts, snapshot, |alerts| {
        html! {
            (judging.warning(snapshot.now))
            @if alerts.active.is_empty() {
                @if judging != Judging::Never { p .empty { "None were firing." } }
            } @else {
                ul .alerts {
                    @for alert in &alerts.active { li { (card(alert, snapshot)) } }
                }
                @let more = (alerts.active_count + alerts.unheard_count).saturating_sub(alerts.active.len());
                @if more > 0 { p .empty { "and " (more) " less urgent ones" } }
            }
        }
    });
    panel::section("alerts", "Active alerts", &aside, &body)
}

/// Lately resolved incidents.
pub(super) fn resolved(snapshot: &Snapshot) -> Markup {
    let Some(alerts) = snapshot.alerts.value().filter(|alerts| !alerts.resolved.is_empty()) else {
        return html! {};
    };
    let body = html! {
        ul .resolved {
            @for alert in &alerts.resolved {
                @if let Some(ended) = alert.resolved_at {
                    li {
                        span .resolved-title { (panel::name_of_alert(alert)) }
                        span .resolved-when {
                            "resolved " (number::moment(ended, snapshot.now)) " UTC, "
                            (number::duration(snapshot.now.0 - ended.0)) " ago · lasted "
                            (number::duration(ended.0 - alert.since.0))
                        }
                    }
                }
            }
        }
    };
    panel::section("resolved", "Recently resolved", &html! {}, &body)
}

fn card(alert: &Alert, snapshot: &Snapshot) -> Markup {
    let now = snapshot.now;
    let age = number::duration(now.0 - alert.heard_at.0);
    html! {
        article class={ "alert " (alert.severity.name()) } {
            div .alert-head {
                (badge(alert.severity))
                h3 { (panel::name_of_alert(alert)) }
                span .incident { "incident " (words::name(&alert.incident)) }
            }
            @if alert.recovering || alert.frozen.is_some() || alert.unheard {
                p .tags {
                    @if alert.unheard { span .tag .unheard { "not heard of for " (age) ": is alerting running?" } }
                    @if alert.recovering { span .tag { "recovering" } }
                    @if let Some(frozen) = &alert.frozen { span .tag .frozen { "frozen: " (frozen_words(frozen)) } }
                }
            }
            dl .facts {
                div {
                    dt { "Since" }
                    dd {
                        (number::moment(alert.since, now)) " UTC, "
                        strong { (number::duration(now.0 - alert.since.0)) }
                    }
                }
                @if !alert.impact.is_empty() {
                    div {
                        dt { "Impact" }
                        dd {
                            (words::sentence(&alert.impact))
                            span .sub { "as of " (number::moment(alert.heard_at, now)) " UTC, " (age) " ago" }
                        }
                    }
                }
                @if !alert.slice.is_empty() { div { dt { "Slice" } dd { bdi { (words::sentence(&alert.slice)) } } } }
                @if !alert.runbook.is_empty() { div { dt { "Runbook" } dd { (runbook(&alert.runbook, &alert.incident)) } } }
            }
        }
    }
}

/// A link if it is a web address; else the path as text.
fn runbook(runbook: &str, incident: &str) -> Markup {
    html! {
        @match words::web_address(runbook) {
            Some(address) => a #{ "runbook-" (incident) } href=(address) rel="noreferrer" { (words::sentence(address.split_once("//").map_or(address, |(_, rest)| rest))) },
            None => code { (words::sentence(runbook)) },
        }
    }
}

/// `P1 critical`: the shape differs with the urgency, not only the colour.
fn badge(severity: Severity) -> Markup {
    html! {
        span class={ "badge " (severity.name()) } { b { (severity.label()) } " " (severity.name()) }
    }
}

fn frozen_words(reason: &str) -> String {
    match reason {
        "stale" => "data are stale".to_owned(),
        "no_data" => "no data".to_owned(),
        "error" => "cannot be evaluated".to_owned(),
        other => words::name(other),
    }
}
