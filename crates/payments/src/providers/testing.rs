//! What the tests of every provider need: files, and envelopes around them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::{Provider, Rejection, Request, SourceSettings, Verifier};
use crate::{Envelope, ParkReason, PaymentEvent, UnixMillis};

/// When every envelope of these tests arrived: 2026-09-14T08:16:00Z.
pub(super) const RECEIVED_AT: UnixMillis = UnixMillis(1_789_373_760_000);

pub(super) fn verify(verifier: &Verifier, headers: &[(&str, &str)], body: &[u8]) -> Result<usize, Rejection> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let body = Bytes::copy_from_slice(body);
    let verified = verifier.verify(Request { headers: &headers, body: &body }, RECEIVED_AT)?;
    Ok(verified.secret_index)
}

pub(super) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// A folder of the field guide, where it is at hand.
pub(super) fn guide(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/providers").join(path);
    path.exists().then_some(path)
}

pub(super) fn envelope(provider: Provider, body: impl Into<Bytes>) -> Envelope {
    Envelope {
        id: Uuid::nil(),
        received_at: RECEIVED_AT,
        provider,
        source: "test".to_owned(),
        secret: "env:TEST".to_owned(),
        traceparent: String::new(),
        headers: Vec::new(),
        body: body.into(),
    }
}

pub(super) fn settings() -> SourceSettings {
    SourceSettings {
        account: "configured".to_owned(),
        live: None,
        experiment_key: Some("checkout_test".to_owned()),
        variant_key: Some("checkout_arm".to_owned()),
    }
}

pub(super) fn normalize(provider: Provider, body: impl Into<Bytes>) -> Result<Vec<PaymentEvent>, ParkReason> {
    Provider::normalize(&envelope(provider, body), &settings())
}

/// The events of a fixture.
pub(super) fn events(provider: Provider, name: &str) -> Vec<PaymentEvent> {
    let path = fixture(&format!("{provider}/{name}.json"));
    normalize(provider, std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

/// The only event of a fixture.
pub(super) fn event(provider: Provider, name: &str) -> PaymentEvent {
    let mut events = events(provider, name);
    assert_eq!(events.len(), 1, "{name}");
    events.remove(0)
}

/// The events of all files of a story folder, in the order of their names.
pub(super) fn story(provider: Provider, name: &str) -> Vec<PaymentEvent> {
    let folder = fixture(&format!("{provider}/story-{name}"));
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| normalize(provider, std::fs::read(file).unwrap()).unwrap()).collect()
}

/// Every way of damaging `body` that a hostile or broken sender might think of: must never panic.
pub(super) fn damaged(body: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..body.len()).step_by(7).map(|end| body[..end].to_vec());
    let replaced = (0..body.len()).step_by(3).flat_map(move |at| {
        [b'"', b'{', b'[', b'0', b'n', 0xff, b'}'].map(|byte| {
            let mut bytes = body.to_vec();
            bytes[at] = byte;
            bytes
        })
    });
    cut.chain(replaced)
}
