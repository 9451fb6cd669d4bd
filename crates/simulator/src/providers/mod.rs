//! Payments as the webhooks that each provider sends about them, really signed, with the facts that they must become.
//!
//! Adding a provider: a file with `key`, `webhooks` and how it signs; here the arms that the compiler asks for.
//! Invariant: the expected facts are made from the world and from the provider's documentation, never by calling
//! `payments`' own mapping: they are what that mapping is checked against.

mod adyen;
mod canonical;
mod checkout;
mod refusal;
mod stripe;
mod template;
#[cfg(test)]
mod tests;

use payments::signature::{HmacKey, SHA256_BYTES};
use payments::{Kind, Outcome, PaymentEvent, Provider, Secret, SourceSettings, UnixMillis};

use self::template::Value;
use crate::world::{EXPERIMENT, Payment};

/// A configured source, with the secret that signs.
#[derive(Clone, Debug)]
pub struct SimulatedSource {
    /// Posted to `/webhooks/{name}`.
    pub name: String,
    /// Who sends.
    pub provider: Provider,
    /// The newest of its secrets.
    pub secret: Secret,
    /// How it is read, so that what is posted suits it.
    pub settings: SourceSettings,
}

/// A secret with which nothing can be signed.
#[derive(Debug, thiserror::Error)]
#[error("the secret of source `{source_name}` cannot sign as {provider} does: {expected}")]
pub struct SignerError {
    /// Which source.
    pub source_name: String,
    /// Whose scheme.
    pub provider: Provider,
    /// What such a secret looks like.
    pub expected: &'static str,
}

/// One event on its way to a source. It may be posted several times; its identity stays, its signature does not.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The event's identity, as the source's provider defines it.
    pub event_id: String,
    /// The provider's clock.
    pub occurred_at: UnixMillis,
    /// JSON.
    pub body: Vec<u8>,
    /// What it must become.
    pub facts: Vec<PaymentEvent>,
    /// Where the signature stands in the body, for the scheme that puts it there.
    pub(crate) item: Option<SignedItem>,
}

/// A signature inside a body: over a text of its own, not over the body.
#[derive(Clone, Debug)]
pub(crate) struct SignedItem {
    pub(crate) text: Vec<u8>,
    /// Where the base64 stands, 44 bytes of it.
    pub(crate) at: usize,
}

/// Signs as a source's provider does.
#[derive(Clone, Debug)]
pub struct Signer {
    provider: Provider,
    key: HmacKey,
}

/// One header of a request.
pub type Header = (&'static str, String);

impl Signer {
    /// Prepares a source's secret.
    pub fn new(source: &SimulatedSource) -> Result<Self, SignerError> {
        let text = source.secret.expose();
        let (key, expected) = match source.provider {
            Provider::Stripe => (stripe::key(text), stripe::EXPECTED_SECRET),
            Provider::Adyen => (adyen::key(text), adyen::EXPECTED_SECRET),
            Provider::Checkout => (checkout::key(text), checkout::EXPECTED_SECRET),
            Provider::Canonical => (canonical::key(text), canonical::EXPECTED_SECRET),
        };
        let key = key.ok_or_else(|| SignerError {
            source_name: source.name.clone(),
            provider: source.provider,
            expected,
        })?;
        Ok(Self { provider: source.provider, key })
    }

    /// Signs `webhook` as sent at `now`: in its body, or in the headers that are returned.
    pub fn sign(&self, webhook: &mut Webhook, now: UnixMillis) -> Vec<Header> {
        if let Some(item) = &webhook.item {
            self.sign_item(&mut webhook.body, &item.text, item.at);
            return Vec::new();
        }
        let preamble = self.preamble(&webhook.event_id, now);
        let signature = self.key.sign(&[preamble.as_bytes(), &webhook.body]);
        self.headers(&webhook.event_id, now, &signature)
    }

    /// Writes the signature over `text` into `body`.
    pub(crate) fn sign_item(&self, body: &mut [u8], text: &[u8], at: usize) {
        let signature = payments::signature::encode_base64(&self.key.sign(&[text]));
        if let Some(place) = body.get_mut(at..at + signature.len()) {
            place.copy_from_slice(signature.as_bytes());
        }
    }

    pub(crate) fn key(&self) -> &HmacKey {
        &self.key
    }

    /// What is signed before the body.
    pub(crate) fn preamble(&self, event_id: &str, now: UnixMillis) -> String {
        match self.provider {
            Provider::Stripe => stripe::preamble(now),
            Provider::Adyen | Provider::Checkout => String::new(),
            Provider::Canonical => canonical::preamble(event_id, now),
        }
    }

    /// Whether what is signed before the body differs from event to event.
    pub(crate) fn preamble_names_event(&self) -> bool {
        match self.provider {
            Provider::Stripe | Provider::Adyen | Provider::Checkout => false,
            Provider::Canonical => true,
        }
    }

    /// The headers that carry `signature`.
    pub(crate) fn headers(
        &self,
        event_id: &str,
        now: UnixMillis,
        signature: &[u8; SHA256_BYTES],
    ) -> Vec<Header> {
        match self.provider {
            Provider::Stripe => stripe::headers(now, signature),
            Provider::Adyen => Vec::new(),
            Provider::Checkout => checkout::headers(signature),
            Provider::Canonical => canonical::headers(event_id, now, signature),
        }
    }
}

/// Everything that is posted about `payment`.
pub fn webhooks(source: &SimulatedSource, payment: &Payment) -> Vec<Webhook> {
    if payment.untold {
        return Vec::new();
    }
    match source.provider {
        Provider::Stripe => stripe::webhooks(source, payment),
        Provider::Adyen => adyen::webhooks(source, payment),
        Provider::Checkout => checkout::webhooks(source, payment),
        Provider::Canonical => canonical::webhooks(source, payment),
    }
}

/// A fact that tells what every webhook about a card payment tells; the provider's file adds or empties the rest.
fn card_fact(source: &SimulatedSource, payment: &Payment, kind: Kind, outcome: Outcome) -> PaymentEvent {
    let mut fact = PaymentEvent::new("", 0, kind, outcome, payment.answered_at());
    fact.account.clone_from(&source.settings.account);
    fact.money = Some(payment.money);
    "card".clone_into(&mut fact.method);
    payment.wallet.unwrap_or("").clone_into(&mut fact.wallet);
    payment.card.network.name().clone_into(&mut fact.network);
    payment.card.funding.clone_into(&mut fact.funding);
    fact.last4.clone_from(&payment.card.last4);
    payment.card.issuer.market.country.clone_into(&mut fact.issuer_country);
    fact
}

/// The experiment as the merchant's metadata has it: under the keys that the source reads, or under their usual names
/// where it reads none. `prefix` stands before the keys of a provider without a metadata object.
fn experiment<'a>(
    source: &SimulatedSource,
    payment: &'a Payment,
    prefix: &str,
) -> [(&'static str, Value<'a>); 4] {
    let key = |configured: &Option<String>, usual: &str| {
        format!("{prefix}{}", configured.as_deref().unwrap_or(usual)).into()
    };
    [
        ("experiment_key", key(&source.settings.experiment_key, "experiment")),
        ("experiment", EXPERIMENT.into()),
        ("variant_key", key(&source.settings.variant_key, "variant")),
        ("variant", payment.variant.into()),
    ]
}

/// What the source's settings read out of the metadata of [`experiment`].
fn fill_experiment(fact: &mut PaymentEvent, source: &SimulatedSource, payment: &Payment) {
    if source.settings.experiment_key.is_some() {
        EXPERIMENT.clone_into(&mut fact.experiment);
    }
    if source.settings.variant_key.is_some() {
        payment.variant.clone_into(&mut fact.variant);
    }
}

/// `at` without its milliseconds: the resolution of most providers' clocks.
fn whole_seconds(at: UnixMillis) -> UnixMillis {
    UnixMillis::from_seconds(at.seconds())
}
