//! What a replay reads, and what it notes of each webhook.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rows::{StoredRow, TIME};

/// A stored request, to be mapped again.
#[derive(Debug, Row, Deserialize)]
pub struct StoredWebhook {
    /// Our id of the request.
    #[serde(with = "clickhouse::serde::uuid")]
    pub webhook_id: Uuid,
    /// The source it was posted to.
    pub source: String,
    /// The provider's name.
    pub provider: String,
    /// When it arrived, milliseconds.
    pub received_at: i64,
    /// When it was stored, milliseconds.
    pub stored_at: i64,
    /// Reference of the secret that matched.
    pub secret: String,
    /// What became of it.
    pub outcome: String,
    /// How many facts it became.
    pub facts: u16,
    /// W3C trace context.
    pub traceparent: String,
    /// As they came.
    pub headers: Vec<(String, serde_bytes::ByteBuf)>,
    /// The exact body.
    pub body: serde_bytes::ByteBuf,
}

/// A webhook that was mapped again.
#[derive(Debug, Row, Serialize)]
pub struct WebhookReadRow<'a> {
    received_at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    source: &'a str,
    outcome_before: &'a str,
    outcome: &'static str,
    reason: &'a str,
}

impl<'a> WebhookReadRow<'a> {
    /// The row of `webhook`, which becomes `outcome`, for `reason` if it is parked.
    pub fn new(webhook: &'a StoredWebhook, outcome: &'static str, reason: &'a str) -> Self {
        Self {
            received_at: webhook.received_at,
            webhook_id: webhook.webhook_id,
            source: &webhook.source,
            outcome_before: &webhook.outcome,
            outcome,
            reason,
        }
    }
}

impl StoredRow for WebhookReadRow<'_> {
    const TABLE: &'static str = "webhooks_read";
    const TYPES: &'static [&'static str] = &[
        TIME,
        "UUID",
        "LowCardinality(String)",
        "LowCardinality(String)",
        "LowCardinality(String)",
        "LowCardinality(String)",
    ];

    fn identity(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(self.webhook_id.as_bytes());
        digest(self.outcome.as_bytes());
    }
}
