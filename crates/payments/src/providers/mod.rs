//! One file per provider, holding both halves of knowing it: how it signs, and what its events mean.
//!
//! Adding a provider: a file with `Keys`, `verify` and `normalize`; here one `mod`, one [`Provider`] variant, and
//! the arms that the compiler then asks for. The contract tests ask for the rest (fixtures, documentation page).

mod adyen;
mod canonical;
mod card;
mod card_number;
mod checkout;
mod event_types;
mod json;
mod loose;
mod object;
mod replay;
mod stripe;
#[cfg(test)]
mod testing;
mod unmapped;

use bytes::Bytes;
use http::HeaderMap;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use crate::envelope::{Envelope, Head, Sealed};
use crate::event::PaymentEvent;
use crate::secret::Secret;
use crate::time::UnixMillis;

/// A company (or the merchant's own checkout) that sends webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Provider {
    /// Stripe.
    Stripe,
    /// Adyen.
    Adyen,
    /// Checkout.com.
    Checkout,
    /// Canonical events posted by the merchant's own checkout.
    Canonical,
}

/// A request as it arrived: nothing of it has been looked at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The exact body.
    pub body: &'a Bytes,
}

/// A source's secrets, prepared for verifying many requests.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Stripe(stripe::Keys),
    Adyen(adyen::Keys),
    Checkout(checkout::Keys),
    Canonical(canonical::Keys),
}

/// Proof that a request's signature is genuine. There is no other way to an [`Envelope`].
#[derive(Debug)]
#[must_use]
pub struct Verified<'a> {
    request: Request<'a>,
    provider: Provider,
    /// Index of the matching secret in the order they were configured.
    pub secret_index: usize,
}

/// What is told about a request beside its bytes, when it is sealed.
#[derive(Clone, Copy, Debug)]
pub struct SealDetails<'a> {
    /// Our id for it.
    pub id: Uuid,
    /// When it arrived.
    pub received_at: UnixMillis,
    /// The source it was posted to.
    pub source: &'a str,
    /// Reference of the secret that matched.
    pub secret: &'a str,
    /// W3C trace context, empty if it is not traced.
    pub traceparent: &'a str,
}

/// Why a request is not believed. The code goes into the answer, the metrics and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Rejection {
    /// The signature header (or field) is absent.
    MissingSignature,
    /// It is there but cannot be read.
    MalformedSignature,
    /// It does not sign these bytes with any configured secret.
    WrongSignature,
    /// It is genuine but too old: a replay, or a sender's clock that is behind.
    StaleTimestamp,
    /// It is genuine but from the future: a sender's clock that is ahead, or ours behind.
    FutureTimestamp,
    /// The timestamp it signs is missing or not a number.
    MalformedTimestamp,
    /// The message id it signs is missing.
    MissingId,
    /// The body has no signed item where the scheme puts its signature.
    MalformedBody,
}

/// Why a verified webhook cannot be turned into events. It is kept, counted and can be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParkReason {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    InvalidJson(String),
    /// It is JSON, but not in the documented shape.
    #[error("the body is not in the documented shape: {0}")]
    UnexpectedShape(String),
    /// A field that every event needs is absent or cannot be read.
    #[error("{pointer} {problem}")]
    BadField {
        /// JSON pointer of the field.
        pointer: String,
        /// What is wrong with it: `is missing`, `is not an RFC 3339 time`.
        problem: String,
    },
    /// More facts than one webhook may hold.
    #[error("the body holds {count} events, more than {max}")]
    TooManyEvents {
        /// How many it holds.
        count: usize,
        /// How many one may hold.
        max: usize,
    },
    /// It was understood, but the store refuses a fact of it.
    #[error("the store refuses a fact of it: {0}")]
    RefusedByStore(String),
}

/// How one source is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSettings {
    /// Merchant account for events that do not name one.
    pub account: String,
    /// Whether events are live where the provider does not say; `None` is live.
    pub live: Option<bool>,
    /// Metadata key whose value becomes `experiment`.
    pub experiment_key: Option<String>,
    /// Metadata key whose value becomes `variant`.
    pub variant_key: Option<String>,
}

/// A secret that cannot be a key of its provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {index} of a {provider} source is not usable: {expected}")]
pub struct SecretError {
    /// Which one, counted from 0.
    pub index: usize,
    /// Whose.
    pub provider: Provider,
    /// What the provider's secrets look like.
    pub expected: &'static str,
}

/// Most events one webhook may hold; more is parked rather than allowed to fill memory.
pub const EVENTS_MAX: usize = 1_000;

impl Provider {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Version of the mapping in this build; raised whenever an event would come out differently.
    pub fn mapper_version(self) -> u16 {
        match self {
            Self::Stripe => stripe::MAPPER_VERSION,
            Self::Adyen => adyen::MAPPER_VERSION,
            Self::Checkout => checkout::MAPPER_VERSION,
            Self::Canonical => canonical::MAPPER_VERSION,
        }
    }

    /// The body the provider wants with its 200.
    pub fn acknowledgement(self) -> &'static str {
        match self {
            Self::Adyen => adyen::ACKNOWLEDGEMENT,
            Self::Stripe | Self::Checkout | Self::Canonical => "",
        }
    }

    /// Turns a verified webhook into zero or more facts.
    pub fn normalize(
        envelope: &Envelope,
        settings: &SourceSettings,
    ) -> Result<Vec<PaymentEvent>, ParkReason> {
        let events = match envelope.provider {
            Self::Stripe => stripe::normalize(envelope, settings),
            Self::Adyen => adyen::normalize(envelope, settings),
            Self::Checkout => checkout::normalize(envelope, settings),
            Self::Canonical => canonical::normalize(envelope, settings),
        }?;
        if events.len() > EVENTS_MAX {
            return Err(ParkReason::TooManyEvents { count: events.len(), max: EVENTS_MAX });
        }
        Ok(events)
    }
}

impl Verifier {
    /// Prepares the `secrets` of a source: any of them may sign.
    pub fn new(provider: Provider, secrets: &[Secret]) -> Result<Self, SecretError> {
        let keys = match provider {
            Provider::Stripe => Keys::Stripe(stripe::Keys::new(secrets)?),
            Provider::Adyen => Keys::Adyen(adyen::Keys::new(secrets)?),
            Provider::Checkout => Keys::Checkout(checkout::Keys::new(secrets)?),
            Provider::Canonical => Keys::Canonical(canonical::Keys::new(secrets)?),
        };
        Ok(Self { keys })
    }

    /// Verifies the raw request at time `now`. Constant-time in the signature; never panics, whatever the bytes.
    pub fn verify<'a>(&self, request: Request<'a>, now: UnixMillis) -> Result<Verified<'a>, Rejection> {
        let (provider, secret_index) = match &self.keys {
            Keys::Stripe(keys) => (Provider::Stripe, stripe::verify(keys, request, now)?),
            Keys::Adyen(keys) => (Provider::Adyen, adyen::verify(keys, request)?),
            Keys::Checkout(keys) => (Provider::Checkout, checkout::verify(keys, request)?),
            Keys::Canonical(keys) => (Provider::Canonical, canonical::verify(keys, request, now)?),
        };
        Ok(Verified { request, provider, secret_index })
    }
}

impl Verified<'_> {
    /// The envelope of this request in wire format ([`QueueMessage::decode`](crate::QueueMessage::decode) reads it).
    /// Credentials among the headers are left out.
    pub fn seal(&self, details: &SealDetails<'_>) -> Sealed<'_> {
        let SealDetails { id, received_at, source, secret, traceparent } = *details;
        let head = Head { id, received_at, provider: self.provider, source, secret, traceparent };
        let head = head.encode(self.headers(), self.request.body.len());
        Sealed { head, body: self.request.body }
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let kept = self.request.headers.iter().filter(|(name, _)| !is_credential(name.as_str()));
        kept.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

fn is_credential(header: &str) -> bool {
    matches!(header, "authorization" | "proxy-authorization" | "cookie")
}

impl Rejection {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What a person reading the answer should do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::MissingSignature => {
                "the signature is missing: is this endpoint configured as this provider?"
            }
            Self::MalformedSignature => "the signature cannot be read: see the provider's signature format",
            Self::WrongSignature => {
                "the signature matches none of this source's secrets: check the endpoint's secret"
            }
            Self::StaleTimestamp => {
                "the signature is older than the tolerance: a replay, or a clock that is behind"
            }
            Self::FutureTimestamp => "the signature is from the future: check both clocks",
            Self::MalformedTimestamp => "the signed timestamp is missing or not a number of seconds",
            Self::MissingId => "the signed message id is missing",
            Self::MalformedBody => "the body holds no signed item: see the provider's signature format",
        }
    }
}

impl ParkReason {
    /// The stable code under which it is counted.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "invalid_json",
            Self::UnexpectedShape(_) => "unexpected_shape",
            Self::BadField { .. } => "bad_field",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::RefusedByStore(_) => "refused_by_store",
        }
    }
}
