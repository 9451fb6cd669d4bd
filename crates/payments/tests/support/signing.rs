//! Signing as each provider documents it: the sender's half, written apart from the verifier.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use payments::signature::{HmacKey, encode_base64, encode_hex};
use payments::{Provider, Rejection, Request, Secret, UnixMillis, Verified, Verifier};
use serde_json::Value;

/// A request as it would arrive.
pub(crate) struct Signed {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Signed {
    pub(crate) fn request(&self) -> Request<'_> {
        Request { headers: &self.headers, body: &self.body }
    }

    pub(crate) fn verify(&self, secrets: &[Secret], now: UnixMillis) -> Result<usize, Rejection> {
        self.verified(secrets, now).map(|verified| verified.secret_index)
    }

    fn verified(&self, secrets: &[Secret], now: UnixMillis) -> Result<Verified<'_>, Rejection> {
        Verifier::new(self.provider(), secrets).unwrap().verify(self.request(), now)
    }

    fn provider(&self) -> Provider {
        let named = |name: &str| self.headers.contains_key(name);
        match () {
            () if named("stripe-signature") => Provider::Stripe,
            () if named("cko-signature") => Provider::Checkout,
            () if named("webhook-signature") => Provider::Canonical,
            () => Provider::Adyen,
        }
    }
}

/// Secret number `index` of a source of `provider`, in the shape the provider gives out.
pub(crate) fn secret(provider: Provider, index: u8) -> Secret {
    let key = [b'a' + index; 32];
    Secret::new(match provider {
        Provider::Stripe => format!("whsec_invented{index}"),
        Provider::Adyen => hex::encode(key),
        Provider::Checkout => format!("invented-key-{index}"),
        Provider::Canonical => format!("whsec_{}", encode_base64(&key)),
    })
}

/// `body` signed with `secret` at `now`. An Adyen batch is signed item by item, inside the body.
pub(crate) fn sign(provider: Provider, secret: &Secret, body: &[u8], now: UnixMillis) -> Signed {
    let seconds = now.seconds().to_string();
    let text = secret.expose();
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
    };
    let mut body = Bytes::copy_from_slice(body);
    match provider {
        Provider::Stripe => {
            let signature = HmacKey::new(text.as_bytes()).sign(&[seconds.as_bytes(), b".", &body]);
            put("stripe-signature", format!("t={seconds},v1={}", encode_hex(&signature)));
        }
        Provider::Adyen => {
            let key = HmacKey::from_hex(text).unwrap();
            match serde_json::from_slice::<Value>(&body) {
                Ok(mut batch) if batch.get("notificationItems").is_some() => {
                    sign_items(&key, &mut batch);
                    body = batch.to_string().into();
                }
                _ => put("hmacsignature", encode_base64(&key.sign(&[&body]))),
            }
        }
        Provider::Checkout => {
            put("cko-signature", encode_hex(&HmacKey::new(text.as_bytes()).sign(&[&body])));
        }
        Provider::Canonical => {
            let key = HmacKey::from_base64(text.trim_start_matches("whsec_")).unwrap();
            let signature = key.sign(&[b"msg_1.", seconds.as_bytes(), b".", &body]);
            put("webhook-id", "msg_1".to_owned());
            put("webhook-timestamp", seconds);
            put("webhook-signature", format!("v1,{}", encode_base64(&signature)));
        }
    }
    Signed { headers, body }
}

fn sign_items(key: &HmacKey, batch: &mut Value) {
    for wrapped in batch["notificationItems"].as_array_mut().unwrap() {
        let item = &mut wrapped["NotificationRequestItem"];
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let signed = [
            &item["pspReference"],
            &item["originalReference"],
            &item["merchantAccountCode"],
            &item["merchantReference"],
            &item["amount"]["value"],
            &item["amount"]["currency"],
            &item["eventCode"],
            &item["success"],
        ]
        .map(text)
        .join(":");
        item["additionalData"]["hmacSignature"] = encode_base64(&key.sign(&[signed.as_bytes()])).into();
    }
}
