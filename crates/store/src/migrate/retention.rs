//! How long rows are kept. It is no migration: it follows the configuration, whatever it was before.

use clickhouse::Row;
use serde::Deserialize;

use super::MigrateError;
use crate::Store;
use crate::cluster::translate::local;

/// How long rows are kept, in days; 0 keeps them for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw requests, and what ingest counted of them.
    pub webhooks_days: u32,
    /// Facts, and with them `payment_minutes`, which is a view of them.
    pub payment_events_days: u32,
    /// Requests that could not be parsed.
    pub parked_webhooks_days: u32,
    /// Alert history.
    pub alert_transitions_days: u32,
    /// Signs of life.
    pub heartbeats_days: u32,
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    engine_full: String,
}

impl Retention {
    /// Table, column that tells a row's age, days. Our own clock tells the age of what providers send: a provider's
    /// clock may be years off.
    fn tables(&self) -> [(&'static str, &'static str, u32); 7] {
        [
            // Before the webhooks it counts, here and by half a day: rows that are gone are not missing.
            ("acknowledged_stored", "aged_from", self.webhooks_days),
            ("webhooks_stored", "received_at", self.webhooks_days),
            ("payment_events_stored", "received_at", self.payment_events_days),
            ("payment_event_places", "received_at", self.payment_events_days),
            ("parked_webhooks_stored", "stored_at", self.parked_webhooks_days),
            ("heartbeats_stored", "sent_at", self.heartbeats_days),
            ("alert_transitions_stored", "at", self.alert_transitions_days),
        ]
    }
}

impl Store {
    /// Sets the TTL of the tables that have another one. Parts written before take it over too, in the background.
    pub(super) async fn apply_retention(
        &self,
        retention: Retention,
    ) -> Result<Vec<&'static str>, MigrateError> {
        let tables: Vec<Table> = self
            .ask("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
            .await?;
        let mut changed = Vec::new();
        for (name, age, days) in retention.tables() {
            let stored = if self.cluster().is_some() { local(name) } else { name.to_owned() };
            let found = tables.iter().find(|table| table.name == stored);
            let engine = found.map_or("", |table| table.engine_full.as_str());
            let ttl = format!("TTL toDateTime({age}) + toIntervalDay({days})");
            let change = match (days, engine.contains(" TTL ")) {
                (0, false) => continue,
                (0, true) => "REMOVE TTL".to_owned(),
                (_, true) if engine.contains(&format!(" {ttl} SETTINGS")) => continue,
                _ => format!("MODIFY {ttl}"),
            };
            self.change("retention", &format!("ALTER TABLE {{database}}.{name} {change}")).await?;
            changed.push(name);
        }
        Ok(changed)
    }
}
