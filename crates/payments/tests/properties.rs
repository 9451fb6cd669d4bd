//! No input panics, and no changed bit passes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use payments::{Kind, Outcome, ParkReason, PaymentEvent, Provider, QueueMessage, Request, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::support::signing::{secret, sign};
use crate::support::{NOW, fixtures};

const HEADERS: [&str; 9] = [
    "stripe-signature",
    "hmacsignature",
    "cko-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
];

/// Normalizes, and checks what must hold of the facts of any body whatever.
fn normalize(provider: Provider, body: &[u8]) -> Result<Vec<PaymentEvent>, ParkReason> {
    let events = crate::support::normalize(provider, body)?;
    for event in &events {
        assert!(!event.event_id.is_empty(), "{event:#?}");
        assert!(event.bin.len() <= 8 && event.last4.len() <= 4, "part of a card number too many: {event:#?}");
        for text in [&event.order_id, &event.experiment, &event.variant] {
            assert!(!text.contains("4111111111111111"), "a card number is kept: {event:#?}");
        }
        if event.kind == Kind::Authorization {
            let refused = matches!(event.outcome, Outcome::Declined | Outcome::Failed);
            assert_eq!(event.decline.is_some(), refused, "{event:#?}");
        }
    }
    Ok(events)
}

fn any_provider() -> impl Strategy<Value = Provider> {
    prop::sample::select(Provider::VARIANTS.to_vec())
}

fn any_fixture() -> impl Strategy<Value = (Provider, Vec<u8>)> {
    let bodies: Vec<(Provider, Vec<u8>)> = Provider::VARIANTS
        .iter()
        .flat_map(|provider| {
            fixtures(*provider).into_iter().map(|fixture| (*provider, fixture.body.to_vec()))
        })
        .collect();
    prop::sample::select(bodies)
}

/// JSON as senders would write it if they meant harm.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(nasty_values()),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known = [
        "id",
        "type",
        "object",
        "created",
        "data",
        "amount",
        "currency",
        "notificationItems",
        "eventCode",
        "kind",
        "NotificationRequestItem",
        "outcome",
        "metadata",
        "event_id",
        "occurred_at",
        "created_on",
        "source",
    ];
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), ".{0,8}"]
}

fn nasty_values() -> Vec<Value> {
    vec![
        json!(""),
        json!("\u{0}"),
        json!("\u{feff}"),
        json!("4111111111111111"),
        json!("-0"),
        json!("9".repeat(400)),
        json!("é".repeat(300)),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!([]),
        json!({}),
        json!([[[[{}]]]]),
        json!({"id": {"id": {"id": []}}}),
    ]
}

/// Replaces the value at the `n`th place of `value`, counted through the whole tree.
fn replace_nth(value: &mut Value, n: &mut usize, replacement: &Value) {
    if *n == 0 {
        value.clone_from(replacement);
    }
    *n = n.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_nth(item, n, replacement)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_nth(field, n, replacement)),
        _ => {}
    }
}

fn verify_everything(provider: Provider, headers: &HeaderMap, body: &Bytes) {
    let secrets = [secret(provider, 0), secret(provider, 1)];
    let verifier = Verifier::new(provider, &secrets).unwrap();
    let verdict = verifier.verify(Request { headers, body }, NOW);
    assert!(verdict.is_err(), "a forgery was accepted");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_normalized_or_parked(provider in any_provider(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = normalize(provider, &body);
    }

    #[test]
    fn any_json_is_normalized_or_parked(provider in any_provider(), body in any_json()) {
        let _ = normalize(provider, body.to_string().as_bytes());
    }

    #[test]
    fn fixtures_with_any_value_replaced_are_normalized_or_parked(
        (provider, body) in any_fixture(),
        place in any::<prop::sample::Index>(),
        replacement in any_json(),
    ) {
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let mut n = place.index(200);
        replace_nth(&mut body, &mut n, &replacement);
        let _ = normalize(provider, body.to_string().as_bytes());
    }

    #[test]
    fn fixtures_with_bytes_changed_or_cut_are_normalized_or_parked(
        (provider, mut body) in any_fixture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if cut {
            body.truncate(end.index(body.len()));
        }
        let _ = normalize(provider, &body);
    }

    #[test]
    fn no_forgery_is_accepted_and_none_panics(
        provider in any_provider(),
        values in prop::collection::vec((prop::sample::select(HEADERS.to_vec()), "[ -~]{0,80}"), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        }
        verify_everything(provider, &headers, &body.into());
    }

    #[test]
    fn signature_headers_of_nearly_the_right_form_do_not_panic(
        stripe in "(t=[0-9]{0,22},?|v1=[0-9a-f]{60,66},?|v0=,?|,|=){0,6}",
        canonical in "(v1a?,[A-Za-z0-9+/]{40,90}={0,2} ?|v2,| ){0,6}",
        seconds in "-?[0-9]{0,25}",
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("stripe-signature", stripe), ("webhook-signature", canonical.clone()), ("hmacsignature", canonical),
            ("cko-signature", seconds.clone()), ("webhook-timestamp", seconds), ("webhook-id", "m".to_owned()),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        }
        let body = Bytes::from(body);
        for provider in Provider::VARIANTS {
            verify_everything(*provider, &headers, &body);
        }
    }

    /// Not so for an Adyen batch, whose items' signatures cover eight fields only; its platform webhooks are signed whole.
    #[test]
    fn one_changed_bit_of_a_signed_body_is_refused(
        (provider, body) in any_fixture().prop_filter("signed as a whole", |(provider, body)| {
            *provider != Provider::Adyen || !body.windows(17).any(|window| window == b"notificationItems")
        }),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut signed = sign(provider, &secret(provider, 0), &body, NOW);
        prop_assert!(signed.verify(&[secret(provider, 0)], NOW).is_ok());
        let mut body = signed.body.to_vec();
        let place = place.index(body.len());
        body[place] ^= 1_u8 << bit;
        signed.body = body.into();
        prop_assert!(signed.verify(&[secret(provider, 0)], NOW).is_err());
    }

    #[test]
    fn any_bytes_of_the_queue_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = QueueMessage::decode(bytes.into());
    }
}

/// Every pointer to a field or element of `value`, outermost first.
fn pointers(value: &Value, prefix: &str, out: &mut Vec<String>) {
    let mut below = |key: String, inner: &Value| {
        let pointer = format!("{prefix}/{}", key.replace('~', "~0").replace('/', "~1"));
        out.push(pointer.clone());
        pointers(inner, &pointer, out);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| below(n.to_string(), item)),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| below(key.clone(), field)),
        _ => {}
    }
}

#[test]
fn any_one_field_of_a_fixture_may_be_null_or_of_another_type() {
    for provider in Provider::VARIANTS {
        for fixture in fixtures(*provider) {
            let body: Value = serde_json::from_slice(&fixture.body).unwrap();
            let mut all = Vec::new();
            pointers(&body, "", &mut all);
            for pointer in all {
                for replacement in
                    [Value::Null, json!("x"), json!(7), json!(1.5), json!([]), json!({}), json!(true)]
                {
                    let mut changed = body.clone();
                    *changed.pointer_mut(&pointer).unwrap() = replacement;
                    let _ = normalize(*provider, changed.to_string().as_bytes());
                }
            }
        }
    }
}

/// What generators seldom hit on.
#[test]
fn pathological_json_is_parked_and_does_not_overflow_the_stack() {
    let deep = |open: &str, count: usize| open.repeat(count);
    let broken = [
        deep("[", 200_000),
        deep(r#"{"data":"#, 200_000),
        deep(r#"{"data":{"object":"#, 100_000),
        deep(r#"[{"NotificationRequestItem":"#, 50_000),
        format!(r#"{{"notificationItems":{}"#, deep("[", 100_000)),
        "\u{0}".to_owned(),
        String::new(),
    ];
    let odd = [
        r#"{"id":"evt_1","type":"charge.failed","created":1e400,"data":{"object":{}}}"#,
        r#"{"id":"evt_1","type":"charge.failed","created":1,"data":{"object":{"amount":1e400}}}"#,
        r#"{"id":"\ud800","type":"charge.failed","created":1}"#,
        r#"{"id":"evt_1","id":"evt_2","type":"x","created":1,"data":{"object":{}}}"#,
    ];
    for body in odd {
        assert!(normalize(Provider::Stripe, body.as_bytes()).is_err(), "{body}");
    }
    for provider in Provider::VARIANTS {
        for body in &broken {
            let parked = normalize(*provider, body.as_bytes());
            assert!(parked.is_err(), "{provider}: {}", &body[..body.len().min(60)]);
        }
        assert!(normalize(*provider, b"\xff\xfe{}").is_err());
    }
}
