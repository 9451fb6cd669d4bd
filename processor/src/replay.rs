//! Maps stored webhooks again, into the tables of a replay: the same mapping, and the same care for what ClickHouse
//! refuses, as when they came.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use payments::{Envelope, Provider, SourceSettings, UnixMillis};
use runtime::config::ProcessorConfig;
use runtime::telemetry::Telemetry;
use runtime::{HealthHandle, SharedClock};
use store::replay::{Staging, StoredWebhook, WebhookReadRow};
use store::rows::ParkedWebhookRow;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::insert::Inserter;
use crate::observations::Observations;
use crate::pauses::Stopped;
use crate::prepare::Normalized;

/// Webhooks mapped and stored at once.
const BATCH: u32 = 5_000;

/// Bodies mapped and stored at once, bytes.
const BATCH_BYTES: usize = 16 << 20;

/// What a replay needs to map webhooks.
#[derive(Debug)]
pub struct Replay {
    /// Retries.
    pub config: ProcessorConfig,
    /// How each source is to be read.
    pub settings: HashMap<String, SourceSettings>,
    /// Only webhooks that tell of an event of these types, in the provider's own words; empty: all.
    pub types: Vec<String>,
    /// The time.
    pub clock: SharedClock,
    /// Metrics.
    pub telemetry: Telemetry,
    /// Says what it waits for.
    pub health: HealthHandle,
}

/// Maps what is selected and not yet mapped. `progress` is told of webhooks as they are done. Ends early, and leaves what
/// is mapped to be gone on with, when `stop` is cancelled; whether it came to the end.
pub async fn stage(
    replay: Replay,
    staging: &Staging,
    mut progress: impl FnMut(u64),
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let Replay { config, settings, types, clock, telemetry, health } = replay;
    let observations = Arc::new(Observations::new(&telemetry));
    health.ready();
    let store = staging.store().clone();
    let inserter = Inserter::new(&config, store, Arc::clone(&clock), observations, health.clone());
    let mapper = Mapper { settings, types, inserter, clock };
    let mut after = staging.read_until().await?;
    loop {
        // Read whole before it is stored: a question whose answer waits for that is cut off.
        let (batch, is_last) = read(staging, after).await?;
        staging.sign_of_life().await?;
        if mapper.store(&batch, stop).await == Err(Stopped) || stop.is_cancelled() {
            return Ok(false);
        }
        health.ready();
        progress(batch.len() as u64);
        after = batch.last().map(|last| (last.received_at, last.webhook_id)).or(after);
        if is_last {
            return Ok(true);
        }
    }
}

/// The next webhooks, and whether no more come behind them.
async fn read(staging: &Staging, after: Option<(i64, Uuid)>) -> anyhow::Result<(Vec<StoredWebhook>, bool)> {
    let mut webhooks = staging.webhooks(after, BATCH)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES
        && let Some(webhook) = webhooks.next().await.context("reading stored webhooks")?
    {
        bytes += webhook.body.len();
        batch.push(webhook);
    }
    let is_last = bytes < BATCH_BYTES && batch.len() < BATCH as usize;
    Ok((batch, is_last))
}

struct Mapper {
    settings: HashMap<String, SourceSettings>,
    types: Vec<String>,
    inserter: Inserter,
    clock: SharedClock,
}

impl Mapper {
    /// Invariant: that a webhook was read is written last.
    async fn store(&self, batch: &[StoredWebhook], stop: &CancellationToken) -> Result<(), Stopped> {
        let (mut before, mut webhooks) = (Vec::new(), Vec::new());
        for stored in batch {
            if let Some(mapped) = self.map(stored) {
                before.push(stored);
                webhooks.push(mapped);
            }
        }
        // Later than what it replaces, also where the clock of who stored that is ahead of ours.
        let latest = batch.iter().map(|stored| stored.stored_at).max().unwrap_or(0);
        let stored_at = self.clock.now().max(UnixMillis(latest.saturating_add(1)));
        self.inserter.facts(&mut webhooks, stored_at, stop).await?;
        let reads: Vec<_> = before
            .iter()
            .zip(&webhooks)
            .map(|(stored, webhook)| {
                let outcome = webhook.outcome();
                WebhookReadRow::new(stored, outcome.name(), outcome.reason())
            })
            .collect();
        let understood: Vec<_> = before
            .iter()
            .zip(&webhooks)
            .filter(|(stored, webhook)| stored.outcome == "parked" && webhook.parked.is_none())
            .map(|(_, webhook)| ParkedWebhookRow::understood(&webhook.envelope, stored_at))
            .collect();
        self.inserter.all::<ParkedWebhookRow>(&understood, stop).await?;
        self.inserter.parked(&webhooks, &[], stored_at, stop).await?;
        let mut kept = before.iter();
        // A webhook whose row would say the same is left as it is: bodies are most of what is stored.
        let mut other = webhooks;
        other.retain(|webhook| kept.next().is_none_or(|stored| is_other(stored, webhook)));
        self.inserter.webhooks(&other, stored_at, stop).await?;
        self.inserter.all::<WebhookReadRow>(&reads, stop).await
    }

    /// None: not selected, or of a provider that this build does not know.
    fn map(&self, stored: &StoredWebhook) -> Option<Normalized> {
        let provider: Provider = stored.provider.parse().ok()?;
        if !self.types.is_empty() {
            let told = provider.event_types(&stored.body);
            if !told.iter().any(|told| self.types.contains(told)) {
                return None;
            }
        }
        let default = SourceSettings::default();
        let settings = self.settings.get(&stored.source).unwrap_or(&default);
        Some(Normalized::new(envelope(stored, provider), settings, Provider::normalize))
    }
}

fn is_other(stored: &StoredWebhook, webhook: &Normalized) -> bool {
    stored.outcome != webhook.outcome().name() || usize::from(stored.facts) != webhook.facts.len()
}

fn envelope(stored: &StoredWebhook, provider: Provider) -> Envelope {
    let mut envelope = Envelope::of_stored(stored.webhook_id, UnixMillis(stored.received_at), provider);
    envelope.source.clone_from(&stored.source);
    envelope.secret.clone_from(&stored.secret);
    envelope.traceparent.clone_from(&stored.traceparent);
    let headers = stored.headers.iter();
    envelope.headers = headers.map(|(name, value)| (name.clone(), Bytes::copy_from_slice(value))).collect();
    envelope.body = Bytes::copy_from_slice(&stored.body);
    envelope
}
