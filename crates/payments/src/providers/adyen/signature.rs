//! Adyen's two signatures, both HMAC-SHA256 in base64 with a key that is given in hexadecimal.

use super::super::loose::Text;
use super::super::object::Object;
use super::super::{EVENTS_MAX, Provider, Rejection, Request, SecretError};
use super::{Batch, Wrapped};
use crate::secret::Secret;
use crate::signature::{HmacKey, SHA256_BYTES, decode_base64};

/// Carries the signature over the whole body in the platform family.
const HEADER: &str = "hmacsignature";

const EXPECTED: &str =
    "an HMAC key is 64 hexadecimal digits, copied from the webhook's settings in the Customer Area";

/// The endpoint's HMAC keys; during a rotation, the old and the new one.
#[derive(Debug)]
pub(in crate::providers) struct Keys(Vec<HmacKey>);

impl Keys {
    pub(in crate::providers) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            let text = secret.expose().trim();
            let key = (text.len() == 2 * SHA256_BYTES).then(|| HmacKey::from_hex(text)).flatten();
            key.ok_or(SecretError { index, provider: Provider::Adyen, expected: EXPECTED })
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// Index of the key with which `signature` (base64) signs the concatenation of `parts`.
    fn matching(&self, parts: &[&[u8]], signature: &[u8]) -> Result<usize, Rejection> {
        if signature.is_empty() {
            return Err(Rejection::MissingSignature);
        }
        let signature = decode_base64(signature).ok_or(Rejection::MalformedSignature)?;
        let matching = self.0.iter().position(|key| key.verifies(parts, &signature));
        matching.ok_or(Rejection::WrongSignature)
    }
}

/// Verifies by the header where there is one, else every item by its own signature. Nothing but the signed fields is
/// read, and nothing is believed before the answer.
///
/// For a batch the index is the largest of its items: a key late in the list is an old one, and must be seen in use.
pub(in crate::providers) fn verify(keys: &Keys, request: Request<'_>) -> Result<usize, Rejection> {
    if let Some(header) = request.headers.get(HEADER) {
        return keys.matching(&[request.body], header.as_bytes());
    }
    let Object(body): Object<SignedBody<'_>> =
        serde_json::from_slice(request.body).map_err(|_| Rejection::MalformedBody)?;
    if body.notification_items.count > EVENTS_MAX {
        return Err(Rejection::MalformedBody);
    }
    let mut oldest = None;
    for wrapped in &body.notification_items.kept {
        oldest = oldest.max(Some(wrapped.item.0.verify(keys)?));
    }
    oldest.ok_or(Rejection::MalformedBody)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedBody<'a> {
    #[serde(borrow)]
    notification_items: Batch<Wrapped<SignedItem<'a>>>,
}

/// The fields of an item that its signature covers, and the signature.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SignedItem<'a> {
    #[serde(borrow)]
    psp_reference: Text<'a>,
    #[serde(borrow)]
    original_reference: Text<'a>,
    #[serde(borrow)]
    merchant_account_code: Text<'a>,
    #[serde(borrow)]
    merchant_reference: Text<'a>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    #[serde(borrow)]
    event_code: Text<'a>,
    #[serde(borrow)]
    success: Text<'a>,
    #[serde(borrow)]
    additional_data: Option<SignatureField<'a>>,
}

/// `amount` of an item: the value is a number, or a string.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Amount<'a> {
    #[serde(borrow)]
    pub(super) value: Text<'a>,
    #[serde(borrow)]
    pub(super) currency: Text<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct SignatureField<'a> {
    #[serde(borrow, rename = "hmacSignature")]
    hmac_signature: Text<'a>,
}

impl SignedItem<'_> {
    /// The signed text is eight fields joined by `:`, as they stand: nothing is escaped or trimmed, a missing field is
    /// empty, a number or boolean is as JSON writes it.
    fn verify(&self, keys: &Keys) -> Result<usize, Rejection> {
        let (value, currency) =
            self.amount.as_ref().map_or(("", ""), |amount| (amount.value.as_str(), amount.currency.as_str()));
        let parts = [
            self.psp_reference.as_bytes(),
            b":",
            self.original_reference.as_bytes(),
            b":",
            self.merchant_account_code.as_bytes(),
            b":",
            self.merchant_reference.as_bytes(),
            b":",
            value.as_bytes(),
            b":",
            currency.as_bytes(),
            b":",
            self.event_code.as_bytes(),
            b":",
            self.success.as_bytes(),
        ];
        let signature = self.additional_data.as_ref().map_or("", |data| data.hmac_signature.as_str());
        keys.matching(&parts, signature.as_bytes())
    }
}
