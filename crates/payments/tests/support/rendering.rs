//! Events as text: every column that is filled, none that is not.

use std::fmt::Write as _;

use payments::{Money, PaymentEvent};
use sha2::{Digest as _, Sha256};

/// The filled columns of `event` and their values, named and ordered as in the table.
///
/// The struct is taken apart field by field, so that a new column cannot be left out of the snapshots.
pub(crate) fn columns(event: &PaymentEvent) -> Vec<(&'static str, String)> {
    let PaymentEvent {
        event_id,
        fact,
        account,
        live,
        kind,
        outcome,
        occurred_at,
        payment_id,
        attempt_id,
        order_id,
        money,
        method,
        wallet,
        network,
        funding,
        bin,
        last4,
        issuer,
        issuer_country,
        decline,
        three_ds,
        avs,
        cvc,
        risk_score,
        latency_ms,
        fee_minor,
        experiment,
        variant,
    } = event;
    let decline = |read: fn(&payments::Decline) -> String| decline.as_ref().map(read).unwrap_or_default();
    let all = [
        ("event_id", event_id.clone()),
        ("fact", fact.to_string()),
        ("account", account.clone()),
        ("live", live.to_string()),
        ("kind", kind.to_string()),
        ("outcome", outcome.to_string()),
        ("occurred_at", occurred_at.to_string()),
        ("payment_id", payment_id.clone()),
        ("attempt_id", attempt_id.clone()),
        ("order_id", order_id.clone()),
        ("money", shown(money.as_ref().map(Money::to_string))),
        ("method", method.clone()),
        ("wallet", wallet.clone()),
        ("network", network.clone()),
        ("funding", funding.clone()),
        ("bin", bin.clone()),
        ("last4", last4.clone()),
        ("issuer", issuer.clone()),
        ("issuer_country", issuer_country.clone()),
        ("decline_code", decline(|decline| decline.code.clone())),
        ("decline_category", decline(|decline| decline.category.to_string())),
        ("decline_class", decline(|decline| decline.class().to_string())),
        ("network_code", decline(|decline| decline.network_code.clone())),
        ("retry", decline(|decline| decline.retry.to_string())),
        ("three_ds", three_ds.to_string()),
        ("avs", avs.clone()),
        ("cvc", cvc.clone()),
        ("risk_score", shown(*risk_score)),
        ("latency_ms", shown(*latency_ms)),
        ("fee_minor", shown(*fee_minor)),
        ("experiment", experiment.clone()),
        ("variant", variant.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Every filled column of every event, a line each.
pub(crate) fn full(events: &[PaymentEvent]) -> String {
    let mut out = String::new();
    for event in events {
        for (name, value) in columns(event) {
            writeln!(out, "  {name}: {value:?}").unwrap();
        }
        out.push('\n');
    }
    out
}

/// What each event means and which columns it fills, without their values, and a digest of the values: enough to
/// notice any change without keeping what a third party wrote.
pub(crate) fn outline(events: &[PaymentEvent]) -> String {
    /// Told in the outline's own words, or filled in every event.
    const NOT_LISTED: [&str; 9] = [
        "event_id",
        "fact",
        "live",
        "kind",
        "outcome",
        "occurred_at",
        "decline_category",
        "decline_class",
        "retry",
    ];
    let mut out = String::new();
    for event in events {
        let decline = event.decline.as_ref().map_or_else(String::new, |decline| {
            format!(" {} {} {}", decline.category, decline.class(), decline.retry)
        });
        let filled: Vec<&str> = columns(event).into_iter().map(|(name, _)| name).collect();
        let filled: Vec<&str> = filled.into_iter().filter(|name| !NOT_LISTED.contains(name)).collect();
        writeln!(out, "  {} {}{decline} [{}]", event.kind, event.outcome, filled.join(" ")).unwrap();
    }
    writeln!(out, "  sha256 {}", hex::encode(Sha256::digest(full(events).as_bytes()))).unwrap();
    out
}
