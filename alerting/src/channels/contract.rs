//! What every kind of channel must do, whatever it is.

use http::{HeaderMap, StatusCode};
use payments::UnixMillis;
use runtime::config::{ChannelConfig, ChannelKind, SecretRef};
use strum::VariantArray as _;

use super::{Answer, Channel, Outgoing, Rendered};
use crate::page::tests::{message, outage_of};
use crate::page::{Action, TITLE_CHARS_MAX};

const TOKEN: &str = "token-that-must-not-be-seen";
const KEY: &str = "dGlsbHdhdGNoLXRlc3Qta2V5LTAxMjM0NTY3ODk=";
/// No kind documents a smaller limit than this for a whole message.
const BYTES_MAX: usize = 40_000;

/// A channel of every kind.
fn channels() -> Vec<Channel> {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        SecretRef { env: None, file: Some(name.into()) }
    };
    let channel = |kind: &ChannelKind| {
        let config = ChannelConfig {
            name: format!("{kind:?}"),
            kind: *kind,
            url: Some(secret("url", format!("https://hooks.example/{TOKEN}"))),
            secrets: vec![secret("key", format!("whsec_{KEY}"))],
            private_address_allowed: false,
        };
        Channel::new(&config, folder.path()).unwrap()
    };
    ChannelKind::VARIANTS.iter().map(channel).collect()
}

const ACTIONS: [Action; 4] = [Action::Trigger, Action::Update, Action::Resolve, Action::Missed];

#[test]
fn every_kind_stays_within_its_limits_and_says_what_and_where_to_look() {
    let page = outage_of(&"<!channel> \u{1f6d2} & ".repeat(1_000));
    for channel in channels() {
        for (action, minimal) in ACTIONS.iter().flat_map(|action| [(*action, false), (*action, true)]) {
            let message = message(action, page.clone());
            let outgoing =
                Outgoing { dedup_key: "0", seq: 1, message: &message, minimal, now: UnixMillis(0) };
            let text = match channel.render(&outgoing) {
                Rendered::Line(text) => text,
                Rendered::Post(post) => {
                    let body: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
                    body.to_string()
                }
            };
            assert!(text.len() < BYTES_MAX, "{} {action:?}: {} bytes", channel.name, text.len());
            assert!(text.contains("Declines 12→91%") && text.contains("https://till.example/"), "{text}");
            assert!(page.headline.before.chars().count() < TITLE_CHARS_MAX);
        }
    }
}

#[test]
fn every_kind_repeats_what_may_pass_and_honours_a_wish_to_wait() {
    let mut asked = HeaderMap::new();
    asked.insert("retry-after", "7".parse().unwrap());
    for channel in channels().iter().filter(|channel| channel.name != "Log") {
        let answer = |status: u16, headers: &HeaderMap| {
            channel.classify(StatusCode::from_u16(status).unwrap(), headers, b"", UnixMillis(0))
        };
        let none = HeaderMap::new();
        assert_eq!(answer(200, &none), Answer::Accepted, "{}", channel.name);
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(answer(status, &none).class(), "transient", "{} {status}", channel.name);
        }
        for status in [408, 425, 500, 502, 503, 504] {
            let seconds = match answer(status, &asked) {
                Answer::Transient { wait, .. } => wait.as_secs(),
                other => panic!("{} {status}: {other:?}", channel.name),
            };
            assert_eq!(seconds, 7, "{} {status}", channel.name);
        }
        assert_eq!(answer(429, &asked).class(), "retry_after", "{}", channel.name);
        for status in [301, 401, 403, 404, 410] {
            assert_eq!(answer(status, &none).class(), "permanent_config", "{} {status}", channel.name);
        }
        assert!(!channel.patience().is_zero());
    }
}

#[test]
fn no_kind_ever_prints_its_secrets() {
    for channel in channels() {
        let message = message(Action::Trigger, outage_of("Harbour Bank"));
        let outgoing =
            Outgoing { dedup_key: "0", seq: 1, message: &message, minimal: false, now: UnixMillis(0) };
        let printed = format!("{channel:?} {:?}", channel.render(&outgoing));
        assert!(!printed.contains(TOKEN) && !printed.contains(KEY), "{printed}");
    }
}
