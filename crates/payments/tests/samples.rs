//! What payloads become. Every snapshot here was read beside its payload before it was accepted.
//!
//! Our own fixtures are kept as whole events. Of third-party samples, read where the reference material lies beside the
//! repository, only an outline is kept: meaning, names of the filled columns, and a digest.

use std::fmt::Write as _;

use payments::Provider;
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::support::rendering::{full, outline};
use crate::support::{fixtures, json_files, normalize, reference};

#[test]
fn our_own_fixtures_become_the_reviewed_events() {
    for provider in Provider::VARIANTS {
        let mut text = String::new();
        for fixture in fixtures(*provider) {
            writeln!(text, "{}", fixture.name).unwrap();
            match normalize(*provider, &fixture.body) {
                Ok(events) => text.push_str(&full(&events)),
                Err(reason) => writeln!(text, "  parked: {reason}\n").unwrap(),
            }
        }
        insta::assert_snapshot!(format!("fixtures-{provider}"), text);
    }
}

#[test]
fn the_published_samples_become_the_reviewed_outlines() {
    let Some(reference) = reference() else { return };
    for provider in [Provider::Stripe, Provider::Adyen, Provider::Checkout] {
        let samples = json_files(&reference.join("samples").join(provider.name()));
        assert!(!samples.is_empty(), "no samples of {provider}");
        let mut text = String::new();
        for sample in samples {
            let body = as_webhook(provider, &sample.name, &sample.body);
            writeln!(text, "{}", sample.name).unwrap();
            match normalize(provider, &body) {
                Ok(events) => text.push_str(&outline(&events)),
                Err(reason) => writeln!(text, "  parked: {}", reason.code()).unwrap(),
            }
        }
        insta::assert_snapshot!(format!("samples-{provider}"), text);
    }
}

/// Some samples are only the part that a webhook wraps: they are put where they belong, every other one is left as it
/// stands to the byte.
fn as_webhook(provider: Provider, name: &str, body: &[u8]) -> Vec<u8> {
    let object = || serde_json::from_slice::<Value>(body).unwrap();
    match provider {
        Provider::Stripe if name.starts_with("resource.") => json!({
            "id": "evt_sample", "object": "event", "created": 1_700_000_000, "type": stripe_type(name),
            "livemode": false, "data": {"object": object()},
        })
        .to_string()
        .into_bytes(),
        Provider::Adyen if name.starts_with("item.") => json!({
            "live": "false", "notificationItems": [{"NotificationRequestItem": object()}],
        })
        .to_string()
        .into_bytes(),
        _ => body.to_vec(),
    }
}

/// An event type under which the object of a `resource.*` sample is sent.
fn stripe_type(name: &str) -> String {
    let object = name.trim_start_matches("resource.").trim_end_matches(".json");
    let suffix = match object {
        "checkout.session" => "completed",
        "charge" | "reporting.report_run" => "succeeded",
        "review" => "opened",
        _ => "created",
    };
    let prefix = if object == "dispute" { "charge.dispute" } else { object };
    format!("{prefix}.{suffix}")
}
