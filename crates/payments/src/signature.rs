//! HMAC signatures: keys prepared once per secret, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Length of an HMAC-SHA256 in bytes.
pub const SHA256_BYTES: usize = 32;

/// Base64 as the reference libraries read it: standard alphabet, padding optional.
const BASE64_LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An HMAC-SHA256 key, its pads already mixed in, so that a signature costs only the message's blocks.
#[derive(Clone)]
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// From key bytes of any length.
    #[expect(clippy::missing_panics_doc, reason = "it cannot: see below")]
    pub fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
        Self(Hmac::new_from_slice(key).expect("any length"))
    }

    /// From hexadecimal text; `None` if it is not hexadecimal or empty.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.trim()).ok()?;
        (!bytes.is_empty()).then(|| Self::new(&bytes))
    }

    /// From base64 text, padding optional; `None` if it is not base64 or empty.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = decode_base64_key(text)?;
        (!bytes.is_empty()).then(|| Self::new(&bytes))
    }

    /// This key with `beginning` already signed: what many messages with one beginning share.
    #[must_use]
    pub fn after(&self, beginning: &[&[u8]]) -> Self {
        let mut mac = self.0.clone();
        for part in beginning {
            mac.update(part);
        }
        Self(mac)
    }

    /// The signature over the concatenation of `parts`.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SHA256_BYTES] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `signature` signs the concatenation of `parts`; takes the same time whatever the answer.
    pub fn verifies(&self, parts: &[&[u8]], signature: &[u8; SHA256_BYTES]) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.sign(parts).as_slice(), signature.as_slice()).into()
    }
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HmacKey([redacted])")
    }
}

/// A key in base64, padding optional.
pub(crate) fn decode_base64_key(text: &str) -> Option<Vec<u8>> {
    BASE64_LENIENT.decode(text.trim()).ok()
}

/// A signature in hexadecimal of either case; `None` if it is not exactly 32 bytes of it.
pub fn decode_hex(text: &[u8]) -> Option<[u8; SHA256_BYTES]> {
    let mut signature = [0; SHA256_BYTES];
    hex::decode_to_slice(text, &mut signature).ok()?;
    Some(signature)
}

/// A signature in padded base64; `None` if it is not exactly 32 bytes of it.
pub fn decode_base64(text: &[u8]) -> Option<[u8; SHA256_BYTES]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Lower-case hexadecimal of a signature.
pub fn encode_hex(signature: &[u8; SHA256_BYTES]) -> String {
    hex::encode(signature)
}

/// Padded base64 of a signature.
pub fn encode_base64(signature: &[u8; SHA256_BYTES]) -> String {
    STANDARD.encode(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_published_test_case_gives_its_published_signature() {
        let key = HmacKey::new(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(encode_hex(&key.sign(&[b"what do ya want ", b"for nothing?"])), expected);
        let signature = decode_hex(expected.as_bytes()).unwrap();
        assert!(key.verifies(&[b"what do ya want for nothing?"], &signature));
        assert!(!key.verifies(&[b"what do ya want for nothing!"], &signature));
    }

    #[test]
    fn a_beginning_signed_once_gives_the_same_signature() {
        let key = HmacKey::new(b"Jefe");
        let whole = key.sign(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(key.after(&[b"what do ", b"ya want "]).sign(&[b"for nothing?"]), whole);
    }

    #[test]
    fn base64_keys_are_read_with_and_without_padding() {
        let padded = HmacKey::from_base64("c2VjcmV0IQ==").unwrap().sign(&[b"x"]);
        assert_eq!(HmacKey::from_base64("c2VjcmV0IQ").unwrap().sign(&[b"x"]), padded);
        assert!(HmacKey::from_base64("").is_none());
        assert!(HmacKey::from_hex("zz").is_none());
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", HmacKey::new(b"k")), "HmacKey([redacted])");
    }
}
