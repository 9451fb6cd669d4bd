//! The canonical source's page, schema and code say the same.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use bytes::Bytes;
use http::HeaderMap;
use jsonschema::Validator;
use payments::{
    DeclineCategory, Kind, Outcome, Provider, Request, Retry, Secret, ThreeDs, UnixMillis, Verifier,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strum::VariantArray;

use crate::support::{fixtures, normalize, repository};

fn schema() -> Value {
    let text = fs::read_to_string(repository().join("docs/providers/canonical.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn validator() -> Validator {
    jsonschema::options().should_validate_formats(true).build(&schema()).unwrap()
}

fn page() -> String {
    fs::read_to_string(repository().join("docs/providers/canonical.md")).unwrap()
}

fn properties() -> Map<String, Value> {
    schema()["$defs"]["fact"]["properties"].as_object().unwrap().clone()
}

fn accepts(body: &Value) -> bool {
    normalize(Provider::Canonical, body.to_string().as_bytes()).is_ok()
}

#[test]
fn the_schema_lists_the_values_that_the_code_knows() {
    fn names<T: VariantArray + Copy + Into<&'static str>>() -> BTreeSet<&'static str> {
        T::VARIANTS.iter().map(|value| (*value).into()).collect()
    }
    let properties = properties();
    let listed = |field: &str| -> BTreeSet<String> {
        let values = properties[field]["enum"].as_array().unwrap();
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let same = |field: &str, mut names: BTreeSet<&'static str>, optional: bool| {
        if optional {
            names.insert("");
        }
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        assert_eq!(listed(field), names, "{field}");
    };
    same("kind", names::<Kind>(), false);
    same("outcome", names::<Outcome>(), false);
    same("decline_category", names::<DeclineCategory>(), true);
    same("retry", names::<Retry>(), true);
    same("three_ds", names::<ThreeDs>(), true);
}

#[test]
fn the_page_documents_every_field_of_the_schema_and_no_other() {
    let documented: BTreeSet<String> = page()
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once('`').map(|(field, _)| field.to_owned()))
        .collect();
    let fields: BTreeSet<String> = properties().keys().cloned().collect();
    assert_eq!(documented, fields);
}

#[test]
fn every_example_of_the_schema_and_every_fixture_is_valid_and_accepted() {
    let validator = validator();
    for (field, property) in properties() {
        for example in property["examples"].as_array().unwrap() {
            let body = document(&[(field.clone(), example.clone())]);
            assert!(validator.is_valid(&body), "{field}: {body}");
            assert!(accepts(&body), "{field}: {body}");
        }
    }
    for fixture in fixtures(Provider::Canonical) {
        let body: Value = serde_json::from_slice(&fixture.body).unwrap();
        assert!(validator.is_valid(&body), "{}", fixture.name);
    }
}

/// A valid declined authorization with `changes` applied; JSON null of an unknown kind is a removal.
fn document(changes: &[(String, Value)]) -> Value {
    let mut document = json!({
        "event_id": "a1", "kind": "authorization", "outcome": "declined",
        "occurred_at": "2026-11-22T14:02:11Z", "amount_minor": 2100, "currency": "USD",
    });
    for (field, value) in changes {
        document[field] = value.clone();
    }
    document
}

fn any_change() -> impl Strategy<Value = (String, Value)> {
    let mut fields: Vec<String> = properties().keys().cloned().collect();
    fields.push("card_number".to_owned());
    let texts = [
        "",
        "x",
        "card",
        "USD",
        "usd",
        "US",
        "US1",
        "411111",
        "41111111",
        "4111111111111111",
        "1111",
        "credit",
        "hard",
        "authenticated",
        "insufficient_funds",
        "declined",
        "approved",
        "failed",
        "authorization",
        "2026-11-22T14:02:11Z",
        "2026-11-22T14:02:11+01:00",
        "2026-11-22",
        "yesterday",
        "é",
        "51",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    values.extend([
        json!(null),
        json!(true),
        json!(0),
        json!(5),
        json!(-5),
        json!(1.5),
        json!(1e300),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(9_223_372_036_854_775_807_i64),
        json!(9_223_372_036_854_775_808_u64),
        json!([]),
        json!({}),
        json!(["USD"]),
        json!("x".repeat(200)),
        json!("é".repeat(201)),
    ]);
    (prop::sample::select(fields), prop::sample::select(values))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_accepts_exactly_what_the_code_accepts(
        changes in prop::collection::vec(any_change(), 1..5),
        removed in prop::option::weighted(0.2, prop::sample::select(vec!["event_id", "kind", "outcome", "occurred_at", "currency"])),
        as_array in any::<bool>(),
    ) {
        let mut body = document(&changes);
        if let Some(field) = removed {
            body.as_object_mut().unwrap().remove(field);
        }
        if as_array {
            body = json!([body]);
        }
        let parked = normalize(Provider::Canonical, body.to_string().as_bytes()).err();
        let valid = VALIDATOR.with(|validator| validator.is_valid(&body));
        prop_assert_eq!(valid, parked.is_none(), "{} {:?}", body, parked);
    }
}

thread_local! {
    static VALIDATOR: Validator = validator();
}

#[test]
fn the_documented_commands_send_what_the_verifier_accepts() {
    let page = page();
    let script = page.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // In place of curl: keeps its arguments, each ended by a NUL.
    fs::write(path("curl"), "#!/bin/sh\nprintf '%s\\0' \"$@\" > \"$SENT\"\n").unwrap();
    fs::set_permissions(path("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = "whsec_YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgb2s=";
    let status = Command::new("sh")
        .args(["-eu", "-c", script])
        .env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()))
        .env("SENT", path("sent"))
        .env("SECRET", secret)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");

    let sent = fs::read_to_string(path("sent")).unwrap();
    let arguments: Vec<&str> = sent.split('\0').collect();
    let after = |flag: &str| {
        arguments.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1]).collect::<Vec<_>>()
    };
    let mut headers = HeaderMap::new();
    for header in after("-H") {
        let (name, value) = header.split_once(": ").unwrap();
        headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    let body = Bytes::copy_from_slice(after("--data-binary")[0].as_bytes());
    let seconds: i64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let verifier = Verifier::new(Provider::Canonical, &[Secret::new(secret)]).unwrap();
    let verified =
        verifier.verify(Request { headers: &headers, body: &body }, UnixMillis::from_seconds(seconds));
    assert_eq!(verified.map(|verified| verified.secret_index), Ok(0));
    assert!(normalize(Provider::Canonical, &body).unwrap()[0].is_answer());
}
