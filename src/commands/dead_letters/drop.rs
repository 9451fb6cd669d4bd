//! Dead letters that nobody wants any more. They do not vanish: each is kept in ClickHouse as a parked webhook with the
//! operator's reason before it leaves the queue, so what was acknowledged is still all accounted for.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use queue::rabbitmq::dead_letters::DeadLetters;
use runtime::{Clock as _, Config, SystemClock};
use store::Store;
use store::rows::{ParkedWebhookRow, WebhookRow};

use super::Chosen;
use super::letter::{Letter, Record};
use crate::stores;

/// The stable code of such a parked webhook.
const REASON: &str = "dropped";

pub(super) async fn all(
    letters: &mut DeadLetters,
    config: &Config,
    chosen: &Chosen,
    reason: &str,
) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!reason.trim().is_empty(), "--reason is empty: say why, for whoever asks later");
    chosen.check()?;
    let store = stores::open(config)?;
    let within = Duration::from_millis(config.processor.insert_timeout_ms);
    let (bar, mut count) = (super::bar(letters), 0);
    while let Some(letter) = super::next(letters, &bar).await? {
        if !bar.suspend(|| chosen.takes(&letter))? {
            continue;
        }
        if !chosen.dry_run {
            let kept = keep(&store, &letter, reason, within).await;
            kept.with_context(|| format!("keeping {} in ClickHouse; it was not dropped", letter.id()))?;
            letters.remove(&letter.dead).await.context("dropping a dead letter")?;
        }
        count += 1;
    }
    bar.finish_and_clear();
    super::told(count, chosen, "dropped")
}

/// Stores what a processor that gave it up would have: parked first, and last the request itself.
async fn keep(
    store: &Store,
    letter: &Letter,
    reason: &str,
    within: Duration,
) -> Result<(), store::InsertError> {
    let stored_at = SystemClock.now();
    let detail = || format!("{reason} (dead letter: {})", letter.dead.reason);
    let parked: Vec<_> = letter
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Webhook(envelope) => {
                Some(ParkedWebhookRow::because(envelope, REASON, detail(), stored_at))
            }
            Record::Unreadable(bytes, _) => {
                let id = store::rows::unreadable_id(bytes);
                Some(ParkedWebhookRow::unreadable(bytes, id, detail(), stored_at))
            }
            Record::Ours => None,
        })
        .collect();
    store.insert::<ParkedWebhookRow<'_>>(&parked, within).await?;
    // Older than whatever a processor may have stored of it before it died: that stands.
    let webhooks: Vec<_> = letter
        .webhooks()
        .map(|envelope| WebhookRow::new(envelope, "parked", 0, envelope.received_at))
        .collect();
    store.insert::<WebhookRow<'_>>(&webhooks, within).await
}
