//! What one webhook of 2.5 KB costs, beside the floor: the HMAC alone, and skipping through the JSON without keeping any.
//!
//! `cargo bench -p payments`

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot be set up should stop")]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod support;

use std::fs;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use payments::signature::HmacKey;
use payments::{Provider, Verifier};
use serde::de::IgnoredAny;
use serde_json::Value;
use strum::VariantArray as _;

use support::signing::{secret, sign};
use support::{NOW, envelope, fixture_folder, settings};

const BODY_BYTES: usize = 2_560;

/// A declined authorization, filled up with the merchant's own metadata.
fn body(provider: Provider) -> Vec<u8> {
    let (fixture, metadata) = match provider {
        Provider::Stripe => ("story-declined/1-charge.failed.json", "/data/object/metadata"),
        Provider::Adyen => (
            "authorisation-refused-insufficient-funds.json",
            "/notificationItems/0/NotificationRequestItem/additionalData",
        ),
        Provider::Checkout => ("payment_declined.json", "/data/metadata"),
        Provider::Canonical => ("story-declined/1-declined.json", ""),
    };
    let text = fs::read_to_string(fixture_folder(provider).join(fixture)).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    if provider == Provider::Canonical {
        // No metadata there: a batch instead.
        let facts = (0..BODY_BYTES / json.to_string().len()).map(|n| {
            let mut fact = json.clone();
            fact["event_id"] = format!("gc-auth-{n:04}").into();
            fact
        });
        return Value::Array(facts.collect()).to_string().into_bytes();
    }
    for n in 0.. {
        if json.to_string().len() >= BODY_BYTES {
            break;
        }
        json.pointer_mut(metadata).unwrap()[format!("metadata.note_{n}")] = "as the merchant likes it".into();
    }
    json.to_string().into_bytes()
}

fn providers(criterion: &mut Criterion) {
    for provider in Provider::VARIANTS {
        let secret = secret(*provider, 0);
        let signed = sign(*provider, &secret, &body(*provider), NOW);
        let verifier = Verifier::new(*provider, std::slice::from_ref(&secret)).unwrap();
        let envelope = envelope(*provider, &signed.body);
        let settings = settings();
        let key = HmacKey::new(b"a key of any length");

        let mut group = criterion.benchmark_group(provider.name());
        group.throughput(Throughput::Bytes(signed.body.len() as u64));
        group.bench_function("floor: hmac", |bencher| bencher.iter(|| key.sign(&[black_box(&signed.body)])));
        group.bench_function("verify", |bencher| {
            bencher.iter(|| verifier.verify(black_box(signed.request()), NOW).unwrap().secret_index);
        });
        group.bench_function("floor: skip json", |bencher| {
            bencher.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(&signed.body)).unwrap());
        });
        group.bench_function("normalize", |bencher| {
            bencher.iter(|| Provider::normalize(black_box(&envelope), &settings).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, providers);
criterion_main!(benches);
