use serde_json::Value;

use super::*;
use crate::channels::SecretUrl;
use crate::page::tests::{message, outage};
use crate::page::{Action, Message};

const SECRET: &str = "whsec_dGlsbHdhdGNoLXRlc3Qta2V5LTAxMjM0NTY3ODk=";
const OLD_SECRET: &str = "whsec_dGlsbHdhdGNoLW9sZC1rZXktMDEyMzQ1Njc4OTAx";
const SCHEMA: &str = include_str!("../../../../docs/channels/webhook.schema.json");

fn channel(secrets: &[&str]) -> WebhookChannel {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let url = SecretUrl("https://pager.example/in/token-1".parse().unwrap());
    WebhookChannel::new(url, &secrets).unwrap()
}

fn post(message: &Message, secrets: &[&str], now: UnixMillis) -> Post {
    channel(secrets).render(&Outgoing {
        dedup_key: &message.page.dedup_key,
        seq: 1,
        message,
        minimal: false,
        now,
    })
}

/// The scheme's own library checks the time against the machine's clock.
#[expect(clippy::disallowed_methods, reason = "an independent verifier that reads the clock itself")]
fn machine_now() -> UnixMillis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(elapsed.as_millis()).unwrap())
}

#[test]
fn the_schemes_own_library_verifies_what_we_sign() {
    let post = post(&message(Action::Trigger, outage()), &[SECRET, OLD_SECRET], machine_now());
    for secret in [SECRET, OLD_SECRET] {
        let receiver = standardwebhooks::Webhook::new(secret).unwrap();
        receiver.verify(&post.body, &post.headers).unwrap();
    }
    let stranger = standardwebhooks::Webhook::new("whsec_c3RyYW5nZXItc3RyYW5nZXItc3RyYW5nZXIh").unwrap();
    assert!(stranger.verify(&post.body, &post.headers).is_err());
    let mut tampered = post.body.to_vec();
    tampered[20] ^= 1;
    let receiver = standardwebhooks::Webhook::new(SECRET).unwrap();
    assert!(receiver.verify(&tampered, &post.headers).is_err());
}

#[test]
fn the_id_stays_while_the_timestamp_and_signature_move() {
    let message = message(Action::Trigger, outage());
    let first = post(&message, &[SECRET], UnixMillis(1_795_356_270_000));
    let again = post(&message, &[SECRET], UnixMillis(1_795_356_280_000));
    assert_eq!(first.headers["webhook-id"], "9f2c4e1ab07d43c2a1d35e6f7a8b9c0d-1");
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert_ne!(first.headers["webhook-signature"], again.headers["webhook-signature"]);
    assert_eq!(first.body, again.body);
}

#[test]
fn a_secret_of_another_form_is_refused() {
    let url = || SecretUrl("https://pager.example/".parse().unwrap());
    for secret in ["", "dGlsbHdhdGNo", "whsec_short", "whsec_!!!", "whsec_dGlsbHdhdGNo"] {
        assert!(WebhookChannel::new(url(), &[Secret::new(secret)]).is_none(), "{secret}");
    }
    assert!(WebhookChannel::new(url(), &[]).is_none());
}

#[test]
fn neither_address_nor_key_is_ever_printed() {
    let printed = format!(
        "{:?} {:?}",
        channel(&[SECRET]),
        post(&message(Action::Trigger, outage()), &[SECRET], UnixMillis(0))
    );
    assert!(!printed.contains("token-1") && !printed.contains("dGlsbHdhdGNo"), "{printed}");
}

#[test]
fn a_triggered_page_has_this_body() {
    let post = post(&message(Action::Trigger, outage()), &[SECRET], UnixMillis(0));
    let body: Value = serde_json::from_slice(&post.body).unwrap();
    insta::assert_json_snapshot!(body, { ".data.text" => "[the full text, see the page's snapshots]" });
    assert!(post.body.len() < 20_000, "the scheme advises less than 20 kB");
}

#[test]
fn every_body_is_as_the_published_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut unknown = outage();
    unknown.impact = crate::page::Impact::unknown("no amounts");
    unknown.usual = None;
    unknown.since = None;
    unknown.data = crate::page::DataFreshness::default();
    unknown.data.frozen = Some(crate::state::Health::Stale);
    for action in [Action::Trigger, Action::Update, Action::Resolve, Action::Missed] {
        for page in [outage(), unknown.clone()] {
            let post = post(&message(action, page), &[SECRET], UnixMillis(0));
            let body: Value = serde_json::from_slice(&post.body).unwrap();
            let mut problems = Vec::new();
            check(&schema, &schema, &body, "$", &mut problems);
            assert!(problems.is_empty(), "{action:?}: {problems:?}");
        }
    }
}

/// As much of JSON Schema as ours uses: `$ref`, `type`, `const`, `enum`, `required`, `properties`, `items`,
/// `additionalProperties` with a schema, `oneOf`. A field that the schema does not name is a problem here: the
/// schema would have become stale.
fn check(root: &Value, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return check(root, target, value, path, problems);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| {
            let mut inner = Vec::new();
            check(root, choice, value, path, &mut inner);
            inner.is_empty()
        });
        if fits.count() != 1 {
            problems.push(format!("{path}: not exactly one of the choices"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    if !types.is_empty() && !types.into_iter().any(is) {
        problems.push(format!("{path}: {value} is of another type"));
    }
    if schema.get("const").is_some_and(|constant| constant != value)
        || schema["enum"].as_array().is_some_and(|choices| !choices.contains(value))
    {
        problems.push(format!("{path}: {value} is not allowed"));
    }
    if let Some(fields) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(required) {
                problems.push(format!("{path}.{required} is missing"));
            }
        }
        for (name, inner) in fields {
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(known), _) | (None, Some(known)) if known.is_object() => {
                    check(root, known, inner, &format!("{path}.{name}"), problems);
                }
                _ => problems.push(format!("{path}.{name} is not in the schema")),
            }
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], inner, &format!("{path}[{index}]"), problems);
    }
}
