//! `webhook`: the page as JSON, signed by the Standard Webhooks scheme (<https://www.standardwebhooks.com>).
//!
//! `webhook-id` is `{dedup_key}-{seq}` and stays the same on every repetition, so a receiver that remembers ids sees
//! each message once. The body is described by `docs/channels/webhook.schema.json`.

mod body;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use payments::{Secret, UnixMillis};
use sha2::Sha256;

use super::reply::Answer;
use super::{Outgoing, Post, SecretUrl};

/// Prefix of a signing secret.
const SECRET_PREFIX: &str = "whsec_";
/// Lengths of a signing key that the scheme allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A receiver and the keys it knows.
pub(super) struct WebhookChannel {
    url: SecretUrl,
    keys: Vec<Vec<u8>>,
}

impl std::fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookChannel").field("url", &self.url).field("keys", &self.keys.len()).finish()
    }
}

impl WebhookChannel {
    /// `None` if a secret is not `whsec_` and base64 of 24 to 64 bytes, or there is none.
    pub(super) fn new(url: SecretUrl, secrets: &[Secret]) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets.iter().map(signing_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(|keys| Self { url, keys })
    }

    pub(super) fn render(&self, outgoing: &Outgoing<'_>) -> Post {
        let body = body::json(outgoing);
        let id = format!("{}-{}", outgoing.dedup_key, outgoing.seq);
        let timestamp = outgoing.now.seconds().to_string();
        let signatures: Vec<String> =
            self.keys.iter().map(|key| format!("v1,{}", sign(key, &id, &timestamp, &body))).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tillwatch"));
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signatures.join(" ")),
        ] {
            // Hexadecimal, digits and base64 are always header values.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Post { url: self.url.clone(), headers, body }
    }
}

/// 2xx has it; 408, 425, 429 and 5xx may have it later; 410 and other refusals mean that the receiver is gone.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, now: UnixMillis) -> Answer {
    Answer::of_status(status, headers, now)
}

fn signing_key(secret: &Secret) -> Option<Vec<u8>> {
    let encoded = secret.expose().trim().strip_prefix(SECRET_PREFIX)?;
    let key = BASE64.decode(encoded).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// Base64 of HMAC-SHA256 over `id.timestamp.body`.
fn sign(key: &[u8], id: &str, timestamp: &str, body: &Bytes) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    BASE64.encode(mac.finalize().into_bytes())
}
