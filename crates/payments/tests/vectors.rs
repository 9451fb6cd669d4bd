//! Signatures whose verdict is known.
//!
//! `fixtures/<provider>/vectors.json` is an array of
//!
//! ```json
//! {"why": "what the vector shows", "secret": "one" , "headers": {"Name": "value"}, "body": "the exact body",
//!  "timestamp_now": 1795316520, "expected": "valid", "secret_index": 0}
//! ```
//!
//! where `secret` may be an array, `expected` is `valid`, `invalid`, or the name of the expected rejection, and
//! `timestamp_now`, `secret_index` and `body_repeat` (a long body: `{"char": "a", "count": 5}`) may be absent. The
//! signatures were computed by another implementation than the one they test. Third-party vectors in the same shape are
//! read where the reference material lies beside the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use payments::{Provider, Request, Secret, UnixMillis, Verifier};
use serde::Deserialize;
use serde_json::Value;
use strum::VariantArray as _;

use crate::support::{NOW, fixture_folder, reference};

#[derive(Deserialize)]
struct Vector {
    why: String,
    secret: Value,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_repeat: Option<Repeat>,
    timestamp_now: Option<i64>,
    expected: String,
    secret_index: Option<usize>,
}

#[derive(Deserialize)]
struct Repeat {
    char: String,
    count: usize,
}

impl Vector {
    /// The verdict: `valid` and the secret's index, or the name of the rejection.
    fn verdict(&self, provider: Provider) -> Result<usize, String> {
        let secrets: Vec<Secret> = match &self.secret {
            Value::Array(list) => list.iter().map(|text| Secret::new(text.as_str().unwrap())).collect(),
            text => vec![Secret::new(text.as_str().unwrap())],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body: Bytes = match &self.body_repeat {
            Some(repeat) => repeat.char.repeat(repeat.count).into(),
            None => self.body.clone().unwrap_or_default().into(),
        };
        let now = self.timestamp_now.map_or(NOW, UnixMillis::from_seconds);
        // A secret that cannot be configured accepts nothing.
        let verifier = Verifier::new(provider, &secrets).map_err(|_| "unusable_secret".to_owned())?;
        let verified = verifier.verify(Request { headers: &headers, body: &body }, now);
        verified.map(|verified| verified.secret_index).map_err(|rejection| rejection.name().to_owned())
    }

    fn check(&self, provider: Provider) {
        let verdict = self.verdict(provider);
        let holds = match self.expected.as_str() {
            "valid" => verdict.is_ok() && self.secret_index.is_none_or(|index| verdict == Ok(index)),
            "invalid" => verdict.is_err(),
            rejection => verdict.as_ref().err().is_some_and(|name| name == rejection),
        };
        assert!(holds, "{provider}: {}: expected {}, got {verdict:?}", self.why, self.expected);
    }
}

fn check_file(provider: Provider, path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
    for vector in &vectors {
        vector.check(provider);
    }
    vectors.len()
}

#[test]
fn our_own_vectors_give_their_verdict() {
    for provider in Provider::VARIANTS {
        let checked = check_file(*provider, &fixture_folder(*provider).join("vectors.json"));
        assert!(checked >= 8, "{provider} has {checked} vectors");
    }
}

#[test]
fn the_published_vectors_give_their_verdict() {
    let Some(reference) = reference() else { return };
    for (provider, file) in [
        (Provider::Stripe, "stripe.json"),
        (Provider::Adyen, "adyen.json"),
        (Provider::Checkout, "checkout.json"),
        (Provider::Canonical, "standard_webhooks.json"),
    ] {
        let checked = check_file(provider, &reference.join("vectors").join(file));
        assert!(checked > 0, "{file} is empty");
    }
}
