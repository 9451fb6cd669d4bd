use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::blocks::{BLOCKS_MAX, HEADER_CHARS_MAX, SECTION_CHARS_MAX};
use super::*;
use crate::page::tests::{message, outage, outage_of};
use crate::page::{Action, CodeExcess, Message};

fn rendered(message: &Message, minimal: bool) -> Value {
    let channel =
        SlackChannel::new(SecretUrl("https://hooks.slack.example/services/T0/B0/token".parse().unwrap()));
    let outgoing =
        Outgoing { dedup_key: &message.page.dedup_key, seq: 1, message, minimal, now: UnixMillis(0) };
    serde_json::from_slice(&channel.render(&outgoing).body).unwrap()
}

fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            out.extend(fields.get("text").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| texts(inner, out));
        }
        Value::Array(items) => items.iter().for_each(|inner| texts(inner, out)),
        _ => {}
    }
}

#[test]
fn trigger_update_and_end_look_like_this() {
    insta::assert_json_snapshot!("trigger", rendered(&message(Action::Trigger, outage()), false));
    insta::assert_json_snapshot!("update", rendered(&message(Action::Update, outage()), false));
    insta::assert_json_snapshot!("resolve", rendered(&message(Action::Resolve, outage()), false));
    insta::assert_json_snapshot!("minimal", rendered(&message(Action::Trigger, outage()), true));
}

#[test]
fn an_issuers_name_cannot_shout_or_link() {
    let shown =
        rendered(&message(Action::Trigger, outage_of("<!channel> <https://evil.example|x> &")), false)
            .to_string();
    assert!(!shown.contains("<!channel>") && !shown.contains("<https://evil"), "{shown}");
}

#[test]
fn an_address_in_a_name_becomes_no_link() {
    let body = rendered(&message(Action::Trigger, outage_of("evil.example/login #general")), false);
    let mut formatted = 0;
    let mut look = vec![&body];
    while let Some(value) = look.pop() {
        if value["type"] == "mrkdwn" {
            assert_eq!(value["verbatim"], true, "{value}");
            formatted += 1;
        }
        match value {
            Value::Object(fields) => look.extend(fields.values()),
            Value::Array(items) => look.extend(items),
            _ => {}
        }
    }
    assert!(formatted >= 4, "{body}");
}

#[test]
fn every_documented_reply_has_its_meaning() {
    let answer = |status: u16, body: &str| {
        classify(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), UnixMillis(0))
    };
    assert_eq!(answer(200, "ok"), Answer::Accepted);
    for (status, body, class) in [
        (200, "<html>login</html>", "permanent_config"),
        (400, "invalid_payload", "permanent_payload"),
        (400, "invalid_blocks", "permanent_payload"),
        (400, "no_text", "permanent_payload"),
        (400, "user_not_found", "permanent_config"),
        (403, "action_prohibited", "permanent_config"),
        (403, "invalid_token", "permanent_config"),
        (404, "channel_not_found", "permanent_config"),
        (404, "no_service", "permanent_config"),
        (410, "channel_is_archived", "permanent_config"),
        (429, "", "transient"),
        (429, "{\"retry_after\":", "transient"),
        (500, "rollup_error", "transient"),
        (503, "<html>", "transient"),
    ] {
        assert_eq!(answer(status, body).class(), class, "{status} {body}");
    }
    let limited = answer(429, r#"{"retry_after":1.5,"ok":false,"error":"rate_limited"}"#);
    assert_eq!(limited, Answer::RetryAfter(Duration::from_millis(1_500)));
    assert_eq!(answer(429, r#"{"retry_after":-1}"#).class(), "transient");
}

proptest! {
    #[test]
    fn any_text_stays_within_slacks_limits(
        issuer in "(.|[<>&|]){0,400}", codes in prop::collection::vec("(.|[<>&]){0,400}", 0..500),
    ) {
        let mut page = outage_of(&issuer);
        page.codes = codes
            .into_iter()
            .map(|code| CodeExcess { category: crate::page::outside(&code), code, excess: 1.0 })
            .collect();
        let body = rendered(&message(Action::Trigger, page), false);
        let blocks = body["blocks"].as_array().unwrap();
        prop_assert!(blocks.len() <= BLOCKS_MAX);
        let header = blocks[0]["text"]["text"].as_str().unwrap();
        prop_assert!(header.chars().count() <= HEADER_CHARS_MAX && header.contains("P1 Declines"));
        let mut all = Vec::new();
        texts(&body, &mut all);
        for text in &all {
            prop_assert!(text.chars().count() <= SECTION_CHARS_MAX);
        }
        prop_assert!(all.iter().any(|text| text.contains("~$1.8k/min")));
        prop_assert!(all.iter().any(|text| text.contains("14:02 UTC")));
        prop_assert!(all.iter().any(|text| text.contains("<https://till.example/?from=1795352520000&amp;issuer=Harbour%20Bank|Board>")));
    }
}
