//! Puts what a replay mapped in its place.

use clickhouse::Row;
use payments::Provider;
use serde::Deserialize;
use strum::VariantArray as _;

use super::{ReplayError, Staging, client, query, staged};
use crate::places::Place;
use crate::rows::time_may_differ;

/// Facts that are held in memory at once.
const TOLD_AT_ONCE: u64 = 50_000;

/// Places that are settled at once.
const SETTLED_AT_ONCE: usize = 5_000;

#[derive(Row, Deserialize)]
struct Told {
    source: String,
    event_id: String,
    fact: u16,
    occurred_at: i64,
    received_at: i64,
    mapper_version: u16,
}

impl Staging {
    /// Attaches everything that was mapped, a day at a time: each changes at once, and the facts before the parked
    /// webhooks before the webhooks, as when they are inserted. It may be done again after it was interrupted.
    pub async fn swap(&self, mut progress: impl FnMut(usize, usize)) -> Result<(), ReplayError> {
        let mut parts = Vec::new();
        for table in ["payment_events_stored", "parked_webhooks_stored", "webhooks_stored"] {
            for partition in self.partitions(table).await? {
                parts.push((table, partition));
            }
        }
        self.begin_to_apply().await?;
        let facts = parts.iter().filter(|(table, _)| *table == "payment_events_stored").count();
        for (done, (table, partition)) in parts.iter().enumerate() {
            self.sign_of_life().await?;
            if done == facts {
                self.settle_live().await?;
            }
            let sql = format!("ALTER TABLE {table} ATTACH PARTITION ID '{partition}' FROM {}", staged(table));
            self.execute("attach what was mapped", &sql).await?;
            progress(done + 1, parts.len());
        }
        if facts == parts.len() {
            self.settle_live().await?;
        }
        Ok(())
    }

    /// Notes the places of the facts that are attached, and retracts copies that came elsewhere meanwhile.
    async fn settle_live(&self) -> Result<(), ReplayError> {
        let action = "settle where facts lie";
        let providers: Vec<&str> = Provider::VARIANTS
            .iter()
            .filter(|provider| time_may_differ(**provider))
            .map(|provider| provider.name())
            .collect();
        // In pieces that are read whole: a question that waits for what is done with its rows is cut off.
        let count = format!(
            "SELECT count() FROM {} WHERE is_deleted = 0 AND provider IN ?",
            staged("payment_events_stored")
        );
        let count = client(&self.live).query(&count).bind(&providers).fetch_one::<u64>().await;
        let pieces = count.map_err(query(action))? / TOLD_AT_ONCE + 1;
        for piece in 0..pieces {
            let sql = format!(
                "SELECT source, event_id, fact, occurred_at, received_at, mapper_version FROM {} \
                 WHERE is_deleted = 0 AND provider IN ? AND cityHash64(source, event_id) % {pieces} = {piece}",
                staged("payment_events_stored")
            );
            let told: Vec<Told> =
                client(&self.live).query(&sql).bind(&providers).fetch_all().await.map_err(query(action))?;
            for told in told.chunks(SETTLED_AT_ONCE) {
                let places: Vec<Place<'_>> = told.iter().map(Told::place).collect();
                self.live.settle(&places).await.map_err(query(action))?;
            }
            self.sign_of_life().await?;
        }
        Ok(())
    }
}

impl Told {
    fn place(&self) -> Place<'_> {
        let identity = (self.source.as_str(), self.event_id.as_str(), self.fact);
        Place::new(identity, (self.occurred_at, self.received_at), self.mapper_version)
    }
}
