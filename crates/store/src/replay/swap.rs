//! Puts what a replay mapped in its place.

use clickhouse::Row;
use payments::Provider;
use serde::Deserialize;
use strum::VariantArray as _;

use super::{ReplayError, Staging, query, staged};
use crate::places::Place;
use crate::rows::time_may_differ;

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
        let sql = format!(
            "SELECT source, event_id, fact, occurred_at, received_at, mapper_version FROM {} \
             WHERE is_deleted = 0 AND provider IN ?",
            staged("payment_events_stored")
        );
        let mut cursor =
            self.live.client().query(&sql).bind(providers).fetch::<Told>().map_err(query(action))?;
        let mut told = Vec::with_capacity(SETTLED_AT_ONCE);
        loop {
            let next = cursor.next().await.map_err(query(action))?;
            let ended = next.is_none();
            told.extend(next);
            if told.len() < SETTLED_AT_ONCE && !ended {
                continue;
            }
            let places: Vec<Place<'_>> = told.iter().map(Told::place).collect();
            self.live.settle(&places).await.map_err(query(action))?;
            if ended {
                return Ok(());
            }
            self.sign_of_life().await?;
            told.clear();
        }
    }
}

impl Told {
    fn place(&self) -> Place<'_> {
        let identity = (self.source.as_str(), self.event_id.as_str(), self.fact);
        Place::new(identity, (self.occurred_at, self.received_at), self.mapper_version)
    }
}
