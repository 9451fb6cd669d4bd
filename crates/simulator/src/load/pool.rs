//! Requests by the ten thousand: bodies made ahead, given new ids, and signed cheaply.
//!
//! Making and signing a body costs more than the server spends on it. So a pool of payments is turned into webhooks
//! once every few seconds; each use copies one, writes a new token over the old one wherever it stands (every id of a
//! payment contains its token), and signs. Where the signed bytes begin alike for all uses, their beginning is hashed
//! once: ids stand last in the bodies, so a signature costs their last few blocks only.

use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use payments::signature::HmacKey;
use payments::{Provider, UnixMillis};

use crate::http::{Target, write_request};
use crate::ledger::{EventLine, Line};
use crate::providers::{Signer, SignerError, SimulatedSource, Webhook, webhooks};
use crate::world::{Later, Payment, Token, World};

/// Payments in the pool; about two webhooks each.
const PAYMENTS: u64 = 128;

/// A payment of the pool is made anew when it is older than this, so that times and signatures stay fresh.
const AGE_MAX: Duration = Duration::from_secs(5);

/// How long before now a payment of the pool was made: everything told about it has then occurred.
const HAPPENED_BEFORE: Duration = Duration::from_secs(10);

/// A request, and what is known about it. Reused from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// As it goes over the wire.
    pub(super) bytes: Vec<u8>,
    /// Index of the source.
    pub(super) source: usize,
    pub(super) event_id: String,
    /// Kind and outcome of each fact.
    pub(super) facts: Arc<[(&'static str, &'static str)]>,
    /// The event's line for the ledger; empty if there is no ledger.
    pub(super) line: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Pool {
    world: World,
    sources: Vec<PooledSource>,
    entries: Vec<Entry>,
    with_lines: bool,
    /// Payments taken so far.
    taken: u64,
    /// Webhook of the current payment that is next.
    step: usize,
}

#[derive(Debug)]
struct PooledSource {
    config: SimulatedSource,
    signer: Signer,
    head: Vec<u8>,
}

/// One payment of the pool, as the webhooks that tell of it.
#[derive(Debug)]
struct Entry {
    made_at: UnixMillis,
    source: usize,
    templates: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    signed_at: UnixMillis,
    body: Patched,
    event_id: Patched,
    line: Patched,
    facts: Arc<[(&'static str, &'static str)]>,
    signing: Signing,
}

/// How a use of a template is signed.
#[derive(Debug)]
enum Signing {
    /// The beginning is signed already; the rest of the body begins at `from`.
    Rest { after_beginning: HmacKey, from: usize },
    /// All of it: what stands before the body differs from event to event.
    Whole,
    /// A text of its own, its signature written into the body.
    Item { text: Patched, at: usize },
}

/// Bytes with a token in them, and where.
#[derive(Debug)]
struct Patched {
    bytes: Vec<u8>,
    /// Offset, and whether it stands in lower case.
    places: Vec<(usize, bool)>,
}

impl Pool {
    pub(super) fn new(
        seed: u64,
        now: UnixMillis,
        target: &Target,
        sources: &[SimulatedSource],
        with_lines: bool,
    ) -> Result<Self, SignerError> {
        let providers: Vec<Provider> = sources.iter().map(|source| source.provider).collect();
        let pooled = sources.iter().map(|source| {
            let signer = Signer::new(source)?;
            Ok(PooledSource { config: source.clone(), signer, head: target.head(&source.name) })
        });
        let mut pool = Self {
            world: World::new(seed, now, &providers),
            sources: pooled.collect::<Result<_, SignerError>>()?,
            entries: Vec::new(),
            with_lines,
            taken: 0,
            step: 0,
        };
        pool.entries = (0..PAYMENTS).map(|index| pool.make(index, now)).collect();
        Ok(pool)
    }

    /// Fills `request` with the next event: never the same twice.
    pub(super) fn next(&mut self, now: UnixMillis, request: &mut Request) {
        let place = self.taken % PAYMENTS;
        let index = usize::try_from(place).unwrap_or(0);
        if self.step == 0 && now.since(self.entries[index].made_at) > AGE_MAX {
            self.entries[index] = self.make(place, now);
        }
        let entry = &self.entries[index];
        let template = &entry.templates[self.step];
        // The pool's own payments have the tokens before these.
        let token = self.world.token(PAYMENTS + self.taken);
        let source = &self.sources[entry.source];
        template.write(source, token, request);
        request.source = entry.source;
        self.step += 1;
        if self.step == entry.templates.len() {
            self.step = 0;
            self.taken += 1;
        }
    }

    /// Signs `request` again, as a provider does that sends an event once more.
    pub(super) fn sign_again(&self, now: UnixMillis, request: &mut Request) {
        let PooledSource { config, signer, head } = &self.sources[request.source];
        // A signature inside the body has no time.
        let headers = match config.provider {
            Provider::Adyen => Vec::new(),
            Provider::Stripe | Provider::Checkout | Provider::Canonical => {
                let preamble = signer.preamble(&request.event_id, now);
                let signature = signer.key().sign(&[preamble.as_bytes(), &request.body]);
                signer.headers(&request.event_id, now, &signature)
            }
        };
        write_request(&mut request.bytes, head, &headers, &request.body);
    }

    pub(super) fn source_name(&self, index: usize) -> &str {
        &self.sources[index].config.name
    }

    /// Payment `index` of the pool, just happened.
    fn make(&self, index: u64, now: UnixMillis) -> Entry {
        let mut payment = self.world.payment(index, now.minus(HAPPENED_BEFORE), None);
        happen_at_once(&mut payment);
        let source = &self.sources[payment.source];
        let told = webhooks(&source.config, &payment);
        let templates =
            told.iter().map(|webhook| self.template(source, webhook, payment.token, now)).collect();
        Entry { made_at: now, source: payment.source, templates }
    }

    fn template(&self, source: &PooledSource, webhook: &Webhook, token: Token, now: UnixMillis) -> Template {
        let body = Patched::new(&webhook.body, token);
        let from = body.places.first().map_or(body.bytes.len(), |(at, _)| *at);
        let signing = match &webhook.item {
            Some(item) => Signing::Item { text: Patched::new(&item.text, token), at: item.at },
            None if source.signer.preamble_names_event() => Signing::Whole,
            None => {
                let preamble = source.signer.preamble(&webhook.event_id, now);
                let beginning = [preamble.as_bytes(), &body.bytes[..from]];
                Signing::Rest { after_beginning: source.signer.key().after(&beginning), from }
            }
        };
        let line = if self.with_lines { line(&source.config.name, webhook) } else { Vec::new() };
        Template {
            signed_at: now,
            body,
            event_id: Patched::new(webhook.event_id.as_bytes(), token),
            line: Patched::new(&line, token),
            facts: webhook.facts.iter().map(|fact| (fact.kind.name(), fact.outcome.name())).collect(),
            signing,
        }
    }
}

impl Template {
    fn write(&self, source: &PooledSource, token: Token, request: &mut Request) {
        let PooledSource { signer, head, .. } = source;
        let mut event_id = std::mem::take(&mut request.event_id).into_bytes();
        self.event_id.write(token, &mut event_id);
        // Ids are ASCII, so nothing is lost.
        request.event_id = String::from_utf8(event_id).unwrap_or_default();
        self.body.write(token, &mut request.body);
        self.line.write(token, &mut request.line);
        request.facts = Arc::clone(&self.facts);
        let headers = match &self.signing {
            Signing::Rest { after_beginning, from } => {
                let signature = after_beginning.sign(&[&request.body[*from..]]);
                signer.headers(&request.event_id, self.signed_at, &signature)
            }
            Signing::Whole => {
                let preamble = signer.preamble(&request.event_id, self.signed_at);
                let signature = signer.key().sign(&[preamble.as_bytes(), &request.body]);
                signer.headers(&request.event_id, self.signed_at, &signature)
            }
            Signing::Item { text, at } => {
                let mut signed = Vec::with_capacity(text.bytes.len());
                text.write(token, &mut signed);
                signer.sign_item(&mut request.body, &signed, *at);
                Vec::new()
            }
        };
        write_request(&mut request.bytes, head, &headers, &request.body);
    }
}

impl Patched {
    fn new(bytes: &[u8], token: Token) -> Self {
        let find =
            |needle: &[u8], lower| memmem::find_iter(bytes, needle).map(move |at| (at, lower)).collect();
        let mut places: Vec<(usize, bool)> = find(token.upper(), false);
        places.extend::<Vec<(usize, bool)>>(find(&token.lower(), true));
        places.sort_unstable();
        Self { bytes: bytes.to_vec(), places }
    }

    /// Into `out`, with another token.
    fn write(&self, token: Token, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        let lower = token.lower();
        for (at, is_lower) in &self.places {
            let token = if *is_lower { &lower } else { token.upper() };
            out[*at..*at + Token::CHARS].copy_from_slice(token);
        }
    }
}

/// Refunds and disputes of a load test do not wait minutes for their time.
fn happen_at_once(payment: &mut Payment) {
    let Later { captured_after, refund, dispute } = &mut payment.later;
    *captured_after = captured_after.map(|_| Duration::from_millis(1));
    *refund = refund.map(|(_, percent)| (Duration::from_millis(1), percent));
    *dispute = dispute.map(|(_, won)| (Duration::from_millis(1), won));
    payment.answer_ms = payment.answer_ms.min(5_000);
}

fn line(source: &str, webhook: &Webhook) -> Vec<u8> {
    let line = Line::Event(EventLine::new(source, webhook));
    // A line of texts and finite numbers always has a JSON form.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests;
