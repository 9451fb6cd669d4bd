use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::Provider;

fn normalized(body: &Value) -> Result<Vec<PaymentEvent>, ParkReason> {
    normalize_text(&body.to_string())
}

fn normalize_text(body: &str) -> Result<Vec<PaymentEvent>, ParkReason> {
    let envelope = Envelope {
        id: Uuid::nil(),
        received_at: UnixMillis(0),
        provider: Provider::Canonical,
        source: "checkout".to_owned(),
        secret: String::new(),
        traceparent: String::new(),
        headers: vec![],
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    normalize(&envelope, &SourceSettings::default())
}

/// The problem with an authorization after `change` was merged into it.
fn problem_of(change: Value) -> String {
    normalized(&merged(change)).unwrap_err().to_string()
}

fn merged(change: Value) -> Value {
    let mut document = json!({
        "event_id": "a1", "kind": "authorization", "outcome": "declined",
        "occurred_at": "2026-11-22T14:02:11.250+01:00",
    });
    let (Value::Object(document_fields), Value::Object(fields)) = (&mut document, change) else { panic!() };
    document_fields.extend(fields);
    document
}

#[test]
fn four_fields_make_a_fact() {
    let events = normalized(&merged(json!({}))).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].occurred_at.to_string(), "2026-11-22T13:02:11.250Z");
    assert_eq!(events[0].decline.as_ref().unwrap().category, DeclineCategory::Unknown);
}

#[test]
fn a_network_code_gives_the_category_and_retry_that_are_not_told() {
    let declined = |change| normalized(&merged(change)).unwrap().remove(0).decline.unwrap();
    let by_network = declined(json!({"network": "VISA", "network_code": "51"}));
    assert_eq!((by_network.category, by_network.retry), (DeclineCategory::InsufficientFunds, Retry::Soft));
    let told = declined(json!({"network_code": "51", "decline_category": "risk_blocked", "retry": "hard"}));
    assert_eq!((told.category, told.retry), (DeclineCategory::RiskBlocked, Retry::Hard));
}

#[test]
fn each_mistake_names_its_field_and_what_is_expected() {
    for (change, expected) in [
        (json!({"kind": "auth"}), "/kind is not one of payment, authentication, authorization, capture, "),
        (json!({"outcome": "ok"}), "/outcome is not one of created, pending, approved, declined, failed, "),
        (json!({"occurred_at": "yesterday"}), "/occurred_at is not an RFC 3339 time with an offset"),
        (json!({"event_id": ""}), "/event_id is empty"),
        (json!({"event_id": "x".repeat(201)}), "/event_id is longer than 200 characters"),
        (json!({"amount_minor": 5}), "/amount_minor needs a currency beside it"),
        (json!({"currency": "USD"}), "/currency needs an amount_minor beside it"),
        (json!({"amount_minor": 5, "currency": "US"}), "/currency is not three letters (ISO 4217)"),
        (json!({"fee_minor": 5}), "/fee_minor needs an amount_minor and a currency beside it"),
        (json!({"bin": "4111111111111111"}), "/bin is not the first 6 to 8 digits"),
        (json!({"last4": "4111111111111111"}), "/last4 is not the last 4 digits"),
        (json!({"issuer_country": "USA"}), "/issuer_country is not two letters (ISO 3166-1 alpha-2)"),
        (json!({"funding": "charge"}), "/funding is not one of credit, debit, prepaid"),
        (json!({"decline_category": "no_money"}), "/decline_category is not one of insufficient_funds, "),
        (json!({"retry": "later"}), "/retry is not one of soft, soft_fix, hard, unknown"),
        (json!({"three_ds": "yes"}), "/three_ds is not one of authenticated, attempted, "),
        (json!({"risk_score": 1e300}), "/risk_score is not between -1000000 and 1000000"),
        (
            json!({"outcome": "approved", "decline_code": "x"}),
            "/decline_code belongs to outcome declined or failed",
        ),
    ] {
        let problem = problem_of(change);
        assert!(problem.starts_with(expected), "{problem}");
    }
}

const CARD_LIKE: [&str; 2] = ["4111111111111111", "order 4111 1111 1111 1111"];

/// Every text that a fact has, as it is stored.
fn stored_texts(event: &PaymentEvent) -> String {
    format!("{event:?}")
}

#[test]
fn a_text_that_looks_like_a_card_number_is_masked_and_the_fact_is_kept() {
    for field in [
        "order_id",
        "method",
        "wallet",
        "network",
        "issuer",
        "avs",
        "cvc",
        "decline_code",
        "network_code",
        "experiment",
        "variant",
    ] {
        for number in CARD_LIKE {
            let event = normalized(&merged(json!({ field: number }))).unwrap().remove(0);
            let texts = stored_texts(&event);
            assert!(!texts.contains("1111") && texts.contains("card"), "{field}: {texts}");
        }
    }
    let event =
        normalized(&merged(json!({"order_id": CARD_LIKE[1], "variant": "o4111111111111111"}))).unwrap();
    assert_eq!((&*event[0].order_id, &*event[0].variant), ("order [card number]", "o4111111111111111"));
}

#[test]
fn an_identifier_that_looks_like_a_card_number_is_masked_and_stays_one_thing() {
    let kept = |event: PaymentEvent, field: &str| match field {
        "event_id" => event.event_id,
        "account" => event.account,
        "payment_id" => event.payment_id,
        _ => event.attempt_id,
    };
    for field in ["event_id", "account", "payment_id", "attempt_id"] {
        let of = |text: &str, outcome: &str| {
            let event = normalized(&merged(json!({ field: text, "outcome": outcome }))).unwrap().remove(0);
            let texts = stored_texts(&event);
            assert!(!texts.contains("1111") && !texts.contains("4444"), "{field}: {texts}");
            kept(event, field)
        };
        for number in CARD_LIKE {
            assert_eq!(of(number, "approved"), of(number, "declined"), "{field}");
            assert_ne!(of(number, "approved"), of("5555555555554444", "approved"), "{field}");
        }
        assert_ne!(of(CARD_LIKE[0], "approved"), of(CARD_LIKE[1], "approved"), "{field}");
    }
}

#[test]
fn a_number_in_place_of_a_text_is_parked_without_being_repeated() {
    let problem = problem_of(json!({"payment_id": 4_111_111_111_111_111_u64}));
    assert!(problem.starts_with("/payment_id cannot be read") && !problem.contains("1111"), "{problem}");
}

#[test]
fn wrong_types_and_unknown_fields_are_named_with_their_index() {
    let problem = normalized(&json!([
        merged(json!({})),
        merged(json!({"event_id": "b", "bin": 4_111_111_111_111_111_u64}))
    ]));
    let problem = problem.unwrap_err().to_string();
    assert!(problem.starts_with("/1/bin cannot be read: invalid type: integer `[digits]`"), "{problem}");
    let problem =
        normalized(&json!([merged(json!({"card_number": "4111111111111111"}))])).unwrap_err().to_string();
    assert!(problem.starts_with("/0") && problem.contains("unknown field `card_number`"), "{problem}");
    let problem = normalized(&json!({"event_id": "a"})).unwrap_err().to_string();
    assert!(problem.contains("missing field `kind`"), "{problem}");
}

#[test]
fn one_bad_fact_parks_the_whole_array_and_ids_must_differ() {
    let problem = normalized(&json!([merged(json!({})), merged(json!({}))])).unwrap_err();
    assert_eq!(problem.to_string(), "/1/event_id repeats /0/event_id: a fact needs an id of its own");
    assert_eq!(normalized(&json!([])).unwrap_err().code(), "unexpected_shape");
    let many: Vec<Value> = (0..=EVENTS_MAX).map(|n| merged(json!({"event_id": n.to_string()}))).collect();
    assert_eq!(normalized(&Value::Array(many)).unwrap_err().code(), "too_many_events");
}

#[test]
fn what_is_not_json_is_said_to_be_so() {
    for body in ["", " ", "{", "[", "[{]", "nonsense", "\u{feff}{}"] {
        assert_eq!(normalize_text(body).unwrap_err().code(), "invalid_json", "{body}");
    }
    assert_eq!(normalize_text("7").unwrap_err().code(), "unexpected_shape");
    assert_eq!(normalize_text("[7]").unwrap_err().code(), "bad_field");
}
