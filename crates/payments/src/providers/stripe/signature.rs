//! `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]`: HMAC-SHA256 over `t` + `.` + body.
//!
//! The key is the endpoint's whole secret as text, `whsec_` included. While a secret is rolled both secrets sign.
//! `v0` (test events) and unknown schemes are ignored.

use http::HeaderMap;

use crate::providers::{Provider, Rejection, Request, SecretError, replay};
use crate::signature::{HmacKey, SHA256_BYTES, decode_hex};
use crate::{Secret, UnixMillis};

/// The endpoint's secrets, ready to sign.
#[derive(Debug)]
pub(in crate::providers) struct Keys(Vec<HmacKey>);

impl Keys {
    pub(in crate::providers) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        let key = |(index, secret): (usize, &Secret)| match secret.expose() {
            "" => Err(SecretError {
                index,
                provider: Provider::Stripe,
                expected: "the endpoint's signing secret, `whsec_` included",
            }),
            text => Ok(HmacKey::new(text.as_bytes())),
        };
        Ok(Self(secrets.iter().enumerate().map(key).collect::<Result<_, _>>()?))
    }
}

/// Index of the secret that signed `request`.
pub(in crate::providers) fn verify(
    keys: &Keys,
    request: Request<'_>,
    now: UnixMillis,
) -> Result<usize, Rejection> {
    let header = Header::parse(request.headers)?;
    let parts: [&[u8]; 3] = [header.timestamp, b".", request.body];
    let signed_by = |key: &HmacKey| {
        let expected = key.sign(&parts);
        header.signatures.iter().any(|signature| equal(&expected, signature))
    };
    let secret_index = keys.0.iter().position(signed_by).ok_or(Rejection::WrongSignature)?;
    // Only a proven signature is asked for its age: a forged one must not learn about our clock, and must not be
    // counted as a replay.
    replay::check_seconds(header.timestamp, now)?;
    Ok(secret_index)
}

fn equal(expected: &[u8; SHA256_BYTES], given: &[u8; SHA256_BYTES]) -> bool {
    subtle::ConstantTimeEq::ct_eq(expected.as_slice(), given.as_slice()).into()
}

struct Header<'a> {
    timestamp: &'a [u8],
    signatures: Vec<[u8; SHA256_BYTES]>,
}

impl<'a> Header<'a> {
    /// Reads the header as Stripe's own libraries do: every part is `key=value` or the header is refused; a `v1`
    /// that is not hexadecimal is passed over.
    fn parse(headers: &'a HeaderMap) -> Result<Self, Rejection> {
        let header = headers.get("stripe-signature").ok_or(Rejection::MissingSignature)?.as_bytes();
        let mut timestamp = None;
        let mut signatures = Vec::with_capacity(2);
        for part in header.split(|byte| *byte == b',') {
            let mut halves = part.split(|byte| *byte == b'=');
            let (Some(key), Some(value), None) = (halves.next(), halves.next(), halves.next()) else {
                return Err(Rejection::MalformedSignature);
            };
            match key {
                b"t" => timestamp = Some(value),
                b"v1" => signatures.extend(decode_hex(value)),
                _ => {}
            }
        }
        match (timestamp, signatures.is_empty()) {
            (_, true) => Err(Rejection::MalformedSignature),
            (None, false) => Err(Rejection::MalformedTimestamp),
            (Some(timestamp), false) => Ok(Self { timestamp, signatures }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn v1(secret: &str, seconds: i64) -> String {
        let key = HmacKey::new(secret.as_bytes());
        crate::signature::encode_hex(&key.sign(&[format!("{seconds}.").as_bytes(), BODY]))
    }

    fn verify_header(header: &str) -> Result<usize, Rejection> {
        let keys = Keys::new(&[Secret::new("whsec_new"), Secret::new("whsec_old")]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", header.parse().unwrap());
        verify(&keys, Request { headers: &headers, body: &Bytes::from_static(BODY) }, NOW)
    }

    #[test]
    fn any_signature_may_match_any_secret_and_the_match_is_told() {
        let t = NOW.seconds();
        let (new, old, other) = (v1("whsec_new", t), v1("whsec_old", t), v1("whsec_other", t));
        assert_eq!(verify_header(&format!("t={t},v1={new}")), Ok(0));
        assert_eq!(verify_header(&format!("t={t},v1={other},v1=nothex,v1={old},v2=x")), Ok(1));
        assert_eq!(verify_header(&format!("v1={old},v1={new},t={t}")), Ok(0));
        assert_eq!(verify_header(&format!("t={t},v1={other}")), Err(Rejection::WrongSignature));
        assert_eq!(verify_header(&format!("t={t},v0={new}")), Err(Rejection::MalformedSignature));
    }

    #[test]
    fn the_clock_may_differ_by_five_minutes_either_way_but_only_for_the_genuine() {
        let t = NOW.seconds();
        for (at, expected) in [
            (t - 300, Ok(0)),
            (t + 300, Ok(0)),
            (t - 301, Err(Rejection::StaleTimestamp)),
            (t + 301, Err(Rejection::FutureTimestamp)),
        ] {
            assert_eq!(verify_header(&format!("t={at},v1={}", v1("whsec_new", at))), expected);
        }
        let forged = format!("t=1,v1={}", v1("whsec_other", 1));
        assert_eq!(verify_header(&forged), Err(Rejection::WrongSignature));
    }

    #[test]
    fn each_malformed_header_has_its_reason() {
        let signature = v1("whsec_new", 1);
        for header in ["", "t", "t,v1=,", ",,", "t=1,v1=a=b", "t=1,v1=abc", "bad_header"] {
            assert_eq!(verify_header(header), Err(Rejection::MalformedSignature), "{header}");
        }
        assert_eq!(verify_header(&format!("v1={signature}")), Err(Rejection::MalformedTimestamp));
        let key = HmacKey::new(b"whsec_new");
        let words = crate::signature::encode_hex(&key.sign(&[b"soon.", BODY]));
        assert_eq!(verify_header(&format!("t=soon,v1={words}")), Err(Rejection::MalformedTimestamp));
    }

    #[test]
    fn an_empty_secret_is_refused_when_it_is_configured() {
        assert_eq!(Keys::new(&[Secret::new("whsec_a"), Secret::new("")]).unwrap_err().index, 1);
    }
}
