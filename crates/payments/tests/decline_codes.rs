//! Decline tables agree with the reference tables beside the repository, where they are there.

use std::fs;

use payments::{DeclineCategory, Provider, Retry};
use serde_json::{Value, json};

use crate::support::{normalize, reference};

#[test]
fn every_documented_stripe_code_has_its_documented_category_and_retry_class() {
    let Some(reference) = reference() else { return };
    let table = fs::read_to_string(reference.join("decline_codes/stripe.json")).unwrap();
    let table: Value = serde_json::from_str(&table).unwrap();
    let rows = table["codes"].as_array().unwrap();
    assert!(rows.len() > 60);
    for row in rows {
        let code = row["code"].as_str().unwrap();
        // What the table calls `other` is a category of its own there, and not mapped here.
        let category = row["category"].as_str().filter(|category| *category != "other").unwrap_or("unknown");
        let expected: DeclineCategory = category.parse().unwrap();
        let retry: Retry = row["retry"].as_str().unwrap().replace('-', "_").parse().unwrap();
        let decline = stripe_decline(code);
        assert_eq!((decline.category, decline.retry), (expected, retry), "{code}");
        assert_eq!(decline.code, code);
    }
}

fn stripe_decline(code: &str) -> payments::Decline {
    let body = json!({
        "id": "evt_1", "type": "charge.failed", "created": 1_795_316_520,
        "data": {"object": {
            "id": "ch_1", "amount": 5, "currency": "usd", "failure_code": "card_declined",
            "outcome": {"type": "issuer_declined", "reason": code},
        }},
    });
    normalize(Provider::Stripe, body.to_string().as_bytes()).unwrap().remove(0).decline.unwrap()
}
