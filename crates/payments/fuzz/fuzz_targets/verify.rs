//! No request makes `verify` panic, and none that we did not sign is accepted.
//!
//! Input: a provider, then header lines (`name value`) up to an empty line, then the body.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use payments::{Provider, Request, Secret, UnixMillis, Verifier};
use strum::VariantArray as _;

/// Secrets that the fuzzer cannot know: they are nowhere in its input.
static VERIFIERS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let secrets = |provider: &Provider| {
        let text = match provider {
            Provider::Adyen => ["5e".repeat(32), "7a".repeat(32)],
            Provider::Stripe | Provider::Checkout | Provider::Canonical => {
                ["c2VjcmV0LW9mLXRoZS1mdXp6ZXItb25l", "c2VjcmV0LW9mLXRoZS1mdXp6ZXItdHdv"].map(str::to_owned)
            }
        };
        text.map(Secret::new)
    };
    Provider::VARIANTS.iter().map(|provider| Verifier::new(*provider, &secrets(provider)).unwrap()).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((provider, mut rest)) = input.split_first() else { return };
    let verifier = &VERIFIERS[usize::from(*provider) % VERIFIERS.len()];
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = &after[1..];
        let mut halves = line.splitn(2, |byte| *byte == b' ');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { break };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(rest);
    let now = UnixMillis(1_795_316_520_000);
    let verdict = verifier.verify(Request { headers: &headers, body: &body }, now);
    assert!(verdict.is_err(), "a request that nobody signed was accepted");
});
