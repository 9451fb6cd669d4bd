//! Standard Webhooks 1.0.0 (standardwebhooks.com): the signature covers `{webhook-id}.{webhook-timestamp}.{body}`.
//!
//! `webhook-signature` holds entries separated by spaces: `v1,<base64>` is HMAC-SHA256 under a shared secret, `v1a,…`
//! ed25519 under the sender's key pair; other versions are ignored. The `svix-*` names of the same headers are read
//! where the `webhook-*` names are absent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, VerifyingKey};
use http::HeaderMap;

use crate::providers::{Provider, Rejection, Request, SecretError, replay};
use crate::signature::{HmacKey, SHA256_BYTES, decode_base64, decode_base64_key};
use crate::{Secret, UnixMillis};

/// The source's keys, in the order they were configured.
#[derive(Debug)]
pub(in crate::providers) struct Keys(Vec<Key>);

#[derive(Debug)]
enum Key {
    /// `whsec_…`.
    Shared(HmacKey),
    /// `whpk_…`. Boxed: it is several times the size of the other.
    Public(Box<VerifyingKey>),
}

impl Keys {
    pub(in crate::providers) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        let key = |(index, secret): (usize, &Secret)| {
            Key::parse(secret.expose().trim()).ok_or(SecretError {
                index,
                provider: Provider::Canonical,
                expected: "`whsec_` and a base64 secret, or `whpk_` and a base64 ed25519 public key",
            })
        };
        Ok(Self(secrets.iter().enumerate().map(key).collect::<Result<_, _>>()?))
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        if let Some(public) = text.strip_prefix("whpk_") {
            let bytes: [u8; 32] = decode_base64_key(public)?.try_into().ok()?;
            return VerifyingKey::from_bytes(&bytes).ok().map(|key| Self::Public(Box::new(key)));
        }
        HmacKey::from_base64(text.strip_prefix("whsec_").unwrap_or(text)).map(Self::Shared)
    }
}

/// Index of the key that signed `request`.
pub(in crate::providers) fn verify(
    keys: &Keys,
    request: Request<'_>,
    now: UnixMillis,
) -> Result<usize, Rejection> {
    let header = |name, branded| header(request.headers, name, branded);
    let signatures = header("webhook-signature", "svix-signature").ok_or(Rejection::MissingSignature)?;
    let signatures = Signatures::parse(signatures).ok_or(Rejection::MalformedSignature)?;
    let id = header("webhook-id", "svix-id").ok_or(Rejection::MissingId)?;
    let timestamp = header("webhook-timestamp", "svix-timestamp").ok_or(Rejection::MalformedTimestamp)?;

    let parts: [&[u8]; 5] = [id, b".", timestamp, b".", request.body];
    let secret_index =
        keys.0.iter().position(|key| signatures.any_by(key, &parts)).ok_or(Rejection::WrongSignature)?;
    // Only a proven signature is asked for its age.
    replay::check_seconds(timestamp, now)?;
    Ok(secret_index)
}

fn header<'a>(headers: &'a HeaderMap, name: &str, branded: &str) -> Option<&'a [u8]> {
    let value = headers.get(name).or_else(|| headers.get(branded))?;
    Some(value.as_bytes()).filter(|bytes| !bytes.is_empty())
}

/// Entries of one version that are looked at: during a rotation there are two. Each costs work, ed25519 much of it,
/// before it is known who asks for it.
const ENTRIES_MAX: usize = 8;

struct Signatures {
    shared: Vec<[u8; SHA256_BYTES]>,
    public: Vec<[u8; SIGNATURE_LENGTH]>,
}

impl Signatures {
    /// The entries that can be read; `None` if there is none.
    fn parse(header: &[u8]) -> Option<Self> {
        let entries = |version: &'static [u8]| {
            let entries = header.split(|byte| *byte == b' ');
            entries.filter_map(move |entry| entry.strip_prefix(version)).take(ENTRIES_MAX)
        };
        let public = |base64: &[u8]| STANDARD.decode(base64).ok()?.try_into().ok();
        let signatures = Self {
            shared: entries(b"v1,").filter_map(decode_base64).collect(),
            public: entries(b"v1a,").filter_map(public).collect(),
        };
        let is_empty = signatures.shared.is_empty() && signatures.public.is_empty();
        (!is_empty).then_some(signatures)
    }

    fn any_by(&self, key: &Key, parts: &[&[u8]]) -> bool {
        match key {
            Key::Shared(_) if self.shared.is_empty() => false,
            Key::Shared(key) => {
                let expected = key.sign(parts);
                self.shared.iter().any(|given| {
                    bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), given.as_slice()))
                })
            }
            Key::Public(_) if self.public.is_empty() => false,
            Key::Public(key) => {
                let message = parts.concat();
                let signed = |given| key.verify_strict(&message, &Signature::from_bytes(given)).is_ok();
                self.public.iter().any(signed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::signature::encode_base64;

    const BODY: &[u8] = b"{}";
    const SECONDS: i64 = 1_795_000_000;
    const NOW: UnixMillis = UnixMillis(SECONDS * 1000);
    const OLD: &str = "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZA==";
    const NEW: &str = "bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldw==";

    fn v1(secret: &str, id: &str, seconds: &str) -> String {
        let key = HmacKey::from_base64(secret).unwrap();
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", BODY];
        format!("v1,{}", encode_base64(&key.sign(&parts)))
    }

    fn verify_headers(secrets: &[&str], headers: &[(&'static str, &str)]) -> Result<usize, Rejection> {
        let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        verify(&Keys::new(&secrets).unwrap(), Request { headers: &map, body: &Bytes::from_static(BODY) }, NOW)
    }

    #[test]
    fn any_entry_may_match_any_secret_under_either_header_name() {
        let (new, old) = (format!("whsec_{NEW}"), OLD.trim_end_matches('='));
        let seconds = SECONDS.to_string();
        let entries = format!("v2,abc v1,bad {} v9", v1(OLD, "m1", &seconds));
        for prefix in ["webhook", "svix"] {
            let names = if prefix == "svix" {
                ["svix-id", "svix-timestamp", "svix-signature"]
            } else {
                ["webhook-id", "webhook-timestamp", "webhook-signature"]
            };
            let headers = [(names[0], "m1"), (names[1], &*seconds), (names[2], &*entries)];
            assert_eq!(verify_headers(&[&new, old], &headers), Ok(1));
            assert_eq!(verify_headers(&[&new], &headers), Err(Rejection::WrongSignature));
        }
    }

    #[test]
    fn each_missing_or_malformed_part_has_its_reason() {
        let good = v1(NEW, "m1", &SECONDS.to_string());
        let seconds = SECONDS.to_string();
        let (id, time) = (("webhook-id", "m1"), ("webhook-timestamp", &*seconds));
        let rejected = |headers: &[(&'static str, &str)]| verify_headers(&[NEW], headers).unwrap_err();
        assert_eq!(rejected(&[id, time]), Rejection::MissingSignature);
        assert_eq!(rejected(&[id, time, ("webhook-signature", "v1,")]), Rejection::MalformedSignature);
        assert_eq!(rejected(&[time, ("webhook-signature", &good)]), Rejection::MissingId);
        assert_eq!(rejected(&[id, ("webhook-signature", &good)]), Rejection::MalformedTimestamp);
        let soon = v1(NEW, "m1", "soon");
        let headers = [id, ("webhook-timestamp", "soon"), ("webhook-signature", &*soon)];
        assert_eq!(rejected(&headers), Rejection::MalformedTimestamp);
    }

    #[test]
    fn a_public_key_verifies_what_its_private_key_signed() {
        let private = SigningKey::from_bytes(&[7; 32]);
        let public = format!("whpk_{}", STANDARD.encode(private.verifying_key().as_bytes()));
        let signature = private.sign(format!("m1.{SECONDS}.{{}}").as_bytes());
        let entry = format!("v1a,{}", STANDARD.encode(signature.to_bytes()));
        let seconds = SECONDS.to_string();
        let headers =
            |id| [("webhook-id", id), ("webhook-timestamp", &*seconds), ("webhook-signature", &*entry)];
        assert_eq!(verify_headers(&[NEW, &public], &headers("m1")), Ok(1));
        assert_eq!(verify_headers(&[public.trim_end_matches('=')], &headers("m1")), Ok(0));
        assert_eq!(verify_headers(&[NEW, &public], &headers("m2")), Err(Rejection::WrongSignature));
    }

    #[test]
    fn only_the_first_entries_of_a_version_are_looked_at() {
        let private = SigningKey::from_bytes(&[7; 32]);
        let public = format!("whpk_{}", STANDARD.encode(private.verifying_key().as_bytes()));
        let signature = private.sign(format!("m1.{SECONDS}.{{}}").as_bytes());
        let genuine = format!("v1a,{}", STANDARD.encode(signature.to_bytes()));
        let forged = format!("v1a,{} ", STANDARD.encode([1; SIGNATURE_LENGTH]));
        let seconds = SECONDS.to_string();
        let verdict = |forgeries: usize| {
            let entries = format!("{}v1,x v9 {genuine}", forged.repeat(forgeries));
            let (id, time) = (("webhook-id", "m1"), ("webhook-timestamp", &*seconds));
            verify_headers(&[&public], &[id, time, ("webhook-signature", &entries)])
        };
        assert_eq!(verdict(ENTRIES_MAX - 1), Ok(0));
        assert_eq!(verdict(ENTRIES_MAX), Err(Rejection::WrongSignature));
    }

    #[test]
    fn a_secret_that_is_not_base64_or_not_a_curve_point_is_refused() {
        for secret in ["", "whsec_", "whsec_not base64", "whpk_AAAA", "whpk_"] {
            assert_eq!(Keys::new(&[Secret::new(secret)]).unwrap_err().index, 0, "{secret}");
        }
    }
}
