//! What is written, one type per table. They borrow from the envelope and its events: a row costs no copy of its own.
//!
//! Invariant: names, order and types are those of the columns in `migrations/`; a test inserts each and reads it back.

mod tally;

use clickhouse::Row;
use payments::{Envelope, Heartbeat, ParkReason, PaymentEvent, Provider, UnixMillis};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_bytes::Bytes;
use uuid::Uuid;

use crate::places::Place;

pub use tally::TallyRow;

/// A row and the table it belongs to.
pub trait StoredRow: Row + Serialize {
    /// The physical table.
    const TABLE: &'static str;

    /// The types of its columns, in the order of its fields.
    const TYPES: &'static [&'static str];

    /// Adds what tells this row from all others to a digest. Mapped or stored anew it is another row, else a replay
    /// would be taken for a retry and dropped.
    fn identity(&self, digest: &mut dyn FnMut(&[u8]));

    /// Where the row lies, if a copy of it may lie elsewhere.
    fn place(&self) -> Option<Place<'_>> {
        None
    }
}

/// Text of few different values.
const TEXT: &str = "LowCardinality(String)";
pub(crate) const TIME: &str = "DateTime64(3, 'UTC')";

/// How far ahead of ours a clock may be that tells a fact another time in another webhook. A later time is taken back
/// to this long after arrival, so that no rule waits for a minute of next year.
pub const CLOCK_AHEAD_MAX_MS: i64 = 60_000;

/// 2100: minutes are of the type `DateTime`, which ends in 2106 and begins anew in 1970.
pub const OCCURRED_AT_MAX: UnixMillis = UnixMillis(4_102_444_800_000);

/// One accepted request.
#[derive(Debug, Row, Serialize)]
pub struct WebhookRow<'a> {
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    source: &'a str,
    provider: &'static str,
    received_at: i64,
    stored_at: i64,
    secret: &'a str,
    outcome: &'static str,
    facts: u16,
    traceparent: &'a str,
    #[serde(serialize_with = "headers")]
    headers: &'a [(String, bytes::Bytes)],
    body: &'a Bytes,
}

fn headers<S: Serializer>(headers: &&[(String, bytes::Bytes)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(headers.len()))?;
    for (name, value) in *headers {
        sequence.serialize_element(&(name.as_str(), Bytes::new(value)))?;
    }
    sequence.end()
}

impl<'a> WebhookRow<'a> {
    /// The row of `envelope`, which became `facts` facts, or was parked.
    pub fn new(envelope: &'a Envelope, outcome: &'static str, facts: usize, stored_at: UnixMillis) -> Self {
        Self {
            webhook_id: envelope.id,
            source: &envelope.source,
            provider: envelope.provider.name(),
            received_at: envelope.received_at.0,
            stored_at: stored_at.0,
            secret: &envelope.secret,
            outcome,
            facts: u16::try_from(facts).unwrap_or(u16::MAX),
            traceparent: &envelope.traceparent,
            headers: &envelope.headers,
            body: Bytes::new(&envelope.body),
        }
    }
}

impl StoredRow for WebhookRow<'_> {
    const TABLE: &'static str = "webhooks_stored";
    #[rustfmt::skip]
    const TYPES: &'static [&'static str] = &[
        "UUID", TEXT, TEXT, TIME, TIME, TEXT, TEXT, "UInt16", "String", "Map(LowCardinality(String), String)", "String",
    ];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(self.webhook_id.as_bytes());
        digest(&self.stored_at.to_le_bytes());
    }
}

/// One fact.
///
/// Its time is the provider's, within what the store can hold. For most providers it is part of the event and the same
/// in every copy, and it is left alone: to bound it by our clock would give each copy a time of its own, by when it
/// arrived. Where it may differ, our clock bounds it, and the row says so by having a [`place`](StoredRow::place).
#[derive(Debug, Row, Serialize)]
pub struct PaymentEventRow<'a> {
    event_id: &'a str,
    fact: u16,
    source: &'a str,
    #[serde(serialize_with = "provider_name")]
    provider: Provider,
    account: &'a str,
    live: bool,
    kind: &'static str,
    outcome: &'static str,
    occurred_at: i64,
    received_at: i64,
    stored_at: i64,
    payment_id: &'a str,
    attempt_id: &'a str,
    order_id: &'a str,
    amount_minor: i64,
    currency: &'a str,
    method: &'a str,
    wallet: &'a str,
    network: &'a str,
    funding: &'a str,
    bin: &'a str,
    last4: &'a str,
    issuer: &'a str,
    issuer_country: &'a str,
    decline_code: &'a str,
    decline_category: &'static str,
    decline_class: &'static str,
    network_code: &'a str,
    retry: &'static str,
    three_ds: &'static str,
    avs: &'a str,
    cvc: &'a str,
    risk_score: Option<f32>,
    latency_ms: Option<u32>,
    fee_minor: Option<i64>,
    experiment: &'a str,
    variant: &'a str,
    mapper_version: u16,
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn provider_name<S: Serializer>(provider: &Provider, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(provider.name())
}

/// Whether two webhooks about one fact may tell different times.
pub(crate) fn time_may_differ(provider: Provider) -> bool {
    match provider {
        // The time is the event's own, made once.
        Provider::Stripe | Provider::Checkout => false,
        // Adyen may generate a notification again, with newer data and a newer `eventDate`; a merchant's checkout may do
        // whatever it likes.
        Provider::Adyen | Provider::Canonical => true,
    }
}

impl<'a> PaymentEventRow<'a> {
    /// The row of one of the facts of `envelope`.
    pub fn new(envelope: &'a Envelope, event: &'a PaymentEvent, stored_at: UnixMillis) -> Self {
        let decline = event.decline.as_ref();
        let latest = if time_may_differ(envelope.provider) {
            envelope.received_at.0.saturating_add(CLOCK_AHEAD_MAX_MS).clamp(0, OCCURRED_AT_MAX.0)
        } else {
            OCCURRED_AT_MAX.0
        };
        Self {
            event_id: &event.event_id,
            fact: event.fact,
            source: &envelope.source,
            provider: envelope.provider,
            account: &event.account,
            live: event.live,
            kind: event.kind.name(),
            outcome: event.outcome.name(),
            occurred_at: event.occurred_at.0.clamp(0, latest),
            received_at: envelope.received_at.0,
            stored_at: stored_at.0,
            payment_id: &event.payment_id,
            attempt_id: &event.attempt_id,
            order_id: &event.order_id,
            amount_minor: event.money.map_or(0, |money| money.amount_minor),
            currency: event.money.as_ref().map_or("", |money| money.currency.as_str()),
            method: &event.method,
            wallet: &event.wallet,
            network: &event.network,
            funding: &event.funding,
            bin: &event.bin,
            last4: &event.last4,
            issuer: &event.issuer,
            issuer_country: &event.issuer_country,
            decline_code: decline.map_or("", |decline| &decline.code),
            decline_category: decline.map_or("", |decline| decline.category.name()),
            decline_class: decline.map_or("", |decline| decline.class().name()),
            network_code: decline.map_or("", |decline| &decline.network_code),
            retry: decline.map_or("", |decline| decline.retry.name()),
            three_ds: event.three_ds.name(),
            avs: &event.avs,
            cvc: &event.cvc,
            risk_score: event.risk_score,
            latency_ms: event.latency_ms,
            fee_minor: event.fee_minor,
            experiment: &event.experiment,
            variant: &event.variant,
            mapper_version: envelope.provider.mapper_version(),
            webhook_id: envelope.id,
        }
    }
}

impl StoredRow for PaymentEventRow<'_> {
    const TABLE: &'static str = "payment_events_stored";
    #[rustfmt::skip]
    const TYPES: &'static [&'static str] = &[
        "String", "UInt16", TEXT, TEXT, TEXT, "Bool", TEXT, TEXT, TIME, TIME, TIME, "String", "String", "String",
        "Int64", TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT,
        "Nullable(Float32)", "Nullable(UInt32)", "Nullable(Int64)", TEXT, TEXT, "UInt16", "UUID",
    ];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        for part in [self.source.as_bytes(), self.event_id.as_bytes(), &self.fact.to_le_bytes()] {
            digest(part);
            digest(&[0]);
        }
        digest(self.webhook_id.as_bytes());
        digest(&self.mapper_version.to_le_bytes());
        digest(&self.stored_at.to_le_bytes());
    }

    fn place(&self) -> Option<Place<'_>> {
        time_may_differ(self.provider).then(|| {
            let identity = (self.source, self.event_id, self.fact);
            Place::new(identity, (self.occurred_at, self.received_at), self.mapper_version)
        })
    }
}

/// One request that was not understood.
#[derive(Debug, Row, Serialize)]
pub struct ParkedWebhookRow<'a> {
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    source: &'a str,
    provider: &'static str,
    received_at: i64,
    stored_at: i64,
    reason: &'static str,
    detail: String,
    body: &'a Bytes,
}

/// The id of a message that has none of its own: the same for the same bytes.
pub fn unreadable_id(message: &[u8]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, message)
}

impl<'a> ParkedWebhookRow<'a> {
    /// The row of an envelope that its provider's mapping does not understand.
    pub fn new(envelope: &'a Envelope, reason: &ParkReason, stored_at: UnixMillis) -> Self {
        Self::because(envelope, reason.code(), reason.to_string(), stored_at)
    }

    /// The row of an envelope that is parked for a reason of our own.
    pub fn because(
        envelope: &'a Envelope,
        reason: &'static str,
        detail: String,
        stored_at: UnixMillis,
    ) -> Self {
        Self {
            webhook_id: envelope.id,
            source: &envelope.source,
            provider: envelope.provider.name(),
            received_at: envelope.received_at.0,
            stored_at: stored_at.0,
            reason,
            detail,
            body: Bytes::new(&envelope.body),
        }
    }

    /// Takes the row of `envelope` out of the view: a replay understands it.
    pub fn understood(envelope: &'a Envelope, stored_at: UnixMillis) -> Self {
        let body = Bytes::new(b"");
        Self { body, ..Self::because(envelope, "", String::new(), stored_at) }
    }

    /// The row of a queue message that is none; its id is made from its bytes, so that a redelivery is the same row.
    /// `received_at` must be the same at every delivery too: the epoch, since the message does not tell its time.
    pub fn unreadable(message: &'a [u8], id: Uuid, detail: String, stored_at: UnixMillis) -> Self {
        Self {
            webhook_id: id,
            source: "",
            provider: "",
            received_at: 0,
            stored_at: stored_at.0,
            reason: "unreadable_message",
            detail,
            body: Bytes::new(message),
        }
    }
}

impl StoredRow for ParkedWebhookRow<'_> {
    const TABLE: &'static str = "parked_webhooks_stored";
    const TYPES: &'static [&'static str] = &["UUID", TEXT, TEXT, TIME, TIME, TEXT, "String", "String"];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(self.webhook_id.as_bytes());
        digest(&self.stored_at.to_le_bytes());
    }
}

/// One sign of life.
#[derive(Debug, Row, Serialize)]
pub struct HeartbeatRow<'a> {
    instance: &'a str,
    sent_at: i64,
    stored_at: i64,
}

impl<'a> HeartbeatRow<'a> {
    /// The row of `heartbeat`.
    pub fn new(heartbeat: &'a Heartbeat, stored_at: UnixMillis) -> Self {
        Self { instance: &heartbeat.instance, sent_at: heartbeat.sent_at.0, stored_at: stored_at.0 }
    }
}

impl StoredRow for HeartbeatRow<'_> {
    const TABLE: &'static str = "heartbeats_stored";
    const TYPES: &'static [&'static str] =
        &[TEXT, TIME, "SimpleAggregateFunction(min, DateTime64(3, 'UTC'))"];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(self.instance.as_bytes());
        digest(&self.sent_at.to_le_bytes());
    }
}
