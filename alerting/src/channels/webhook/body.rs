//! The JSON body. Its fields only ever grow; receivers ignore what they do not know.

use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::channels::Outgoing;
use crate::page::{Action, Measured, Page, full_text, minimal_text};

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    incident_id: u64,
    dedup_key: String,
    seq: u32,
    state: &'static str,
    severity: &'static str,
    title: String,
    text: String,
    rule: Rule,
    slice: BTreeMap<String, String>,
    since: Option<String>,
    paged_at: String,
    reopened: bool,
    flapping: bool,
    trigger_undelivered: bool,
    impact: Impact,
    observed: Measured,
    usual: Option<Usual>,
    codes: Vec<Code>,
    links: Links,
    sample_event_ids: Vec<String>,
    data_freshness: Freshness,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Rule {
    id: String,
    version: String,
    owner: String,
}

#[derive(Serialize)]
struct Impact {
    estimated: bool,
    payments: Option<f64>,
    currency: Option<String>,
    per_minute: Option<f64>,
    so_far: Option<f64>,
    unconverted_failures: u64,
    unknown: String,
}

#[derive(Serialize)]
struct Usual {
    observed: Measured,
    from: String,
    to: String,
}

#[derive(Serialize)]
struct Code {
    category: String,
    code: String,
    excess: f64,
}

#[derive(Serialize)]
struct Links {
    board: String,
    runbook: String,
    events: String,
}

#[derive(Serialize)]
struct Freshness {
    complete_to: Option<String>,
    lag_ms: Option<u64>,
    frozen: Option<&'static str>,
}

/// The body of a message.
pub(super) fn json(outgoing: &Outgoing<'_>) -> Bytes {
    let message = outgoing.message;
    let body = Body { kind: kind(message.action), timestamp: message.at.to_string(), data: data(outgoing) };
    // Invariant: text keys and finite numbers only (a non-finite one becomes null): writing it cannot fail.
    serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default()
}

fn kind(action: Action) -> &'static str {
    match action {
        Action::Trigger => "alert.triggered",
        Action::Update => "alert.updated",
        Action::Resolve | Action::Missed => "alert.resolved",
    }
}

fn data(outgoing: &Outgoing<'_>) -> Data {
    let message = outgoing.message;
    let page = &message.page;
    let text = if outgoing.minimal { minimal_text(message) } else { full_text(message) };
    Data {
        incident_id: page.incident_id,
        dedup_key: outgoing.dedup_key.to_owned(),
        seq: outgoing.seq,
        state: match message.action {
            Action::Trigger | Action::Update => "firing",
            Action::Resolve | Action::Missed => "resolved",
        },
        severity: page.severity.name(),
        title: crate::page::message_title(message),
        text,
        rule: Rule { id: page.rule.clone(), version: page.rule_version.clone(), owner: page.owner.clone() },
        slice: page.slice.iter().map(|part| (part.dimension.clone(), part.value.clone())).collect(),
        since: page.since.map(|since| since.to_string()),
        paged_at: page.paged_at.to_string(),
        reopened: page.reopened,
        flapping: page.flapping,
        trigger_undelivered: message.action == Action::Missed,
        impact: impact(page),
        observed: page.now,
        usual: page.usual.map(|usual| Usual {
            observed: usual.measured,
            from: usual.from.to_string(),
            to: usual.to.to_string(),
        }),
        codes: page
            .codes
            .iter()
            .map(|code| Code {
                category: code.category.clone(),
                code: code.code.clone(),
                excess: code.excess.round(),
            })
            .collect(),
        links: Links {
            board: page.links.board.clone(),
            runbook: page.links.runbook.clone(),
            events: page.links.events.clone(),
        },
        sample_event_ids: page.samples.clone(),
        data_freshness: Freshness {
            complete_to: page.data.complete_to.map(|at| at.to_string()),
            lag_ms: page.data.lag_ms,
            frozen: page.data.frozen.map(crate::state::Health::name),
        },
        notes: page.notes.clone(),
    }
}

fn impact(page: &Page) -> Impact {
    let money = page.impact.money.as_ref();
    Impact {
        estimated: true,
        payments: page.impact.payments.map(f64::round),
        currency: money.map(|money| money.currency.clone()),
        per_minute: money.map(|money| money.per_minute.round()),
        so_far: money.map(|money| money.so_far.round()),
        unconverted_failures: money.map_or(0, |money| money.unconverted),
        unknown: page.impact.unknown.clone(),
    }
}
