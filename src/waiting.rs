//! Waiting for ClickHouse, for ever: a store that is away, recovers, or refuses must never take ingest down. `/ready`
//! says what is waited for. What waiting cannot mend ends a service that is nothing without the store.

use std::time::Duration;

use runtime::{Config, HealthHandle, chain};
use store::{MigrateError, Migrated, Retention, Store};
use tokio_util::sync::CancellationToken;

use crate::bootstrap::Process;

/// Pauses between attempts to open the store.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often the store is asked whether it is there, for `/ready`.
const STORE_LOOK: Duration = Duration::from_secs(5);

/// What is done about tables that waiting cannot mend: they are those of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The process ends: without them it does nothing.
    End,
    /// It is told, and the tables are looked at again: the process has webhooks to accept meanwhile.
    Tell,
}

/// Tells when the tables are there and up to date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables(CancellationToken);

impl Tables {
    /// Resolves when they are.
    pub(crate) async fn there(&self) {
        self.0.cancelled().await;
    }
}

/// Waits for ClickHouse in the background, brings the tables up to date, and keeps `/ready` informed from then on.
pub(crate) fn open_store(process: &Process, store: &Store, unusable: Unusable) -> Tables {
    let tables = Tables::default();
    let (soft, there) = (process.lifecycle.soft().clone(), tables.clone());
    let (store, retention) = (store.clone(), retention(&process.config));
    let health = process.health.register("store");
    process.lifecycle.spawn("store", async move {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            migrated = migrate(&store, retention, unusable, &health) => {
                let Migrated { applied, already, .. } = migrated?;
                tracing::info!(applied = applied.join(", "), already, "tables are up to date");
            }
        }
        there.0.cancel();
        tokio::select! {
            () = soft.cancelled() => Ok(()),
            never = watch(&store, &health) => never,
        }
    });
    tables
}

/// Keeps `/ready` informed about a store whose tables somebody else makes.
pub(crate) fn watch_store(process: &Process, store: &Store) {
    let (soft, store) = (process.lifecycle.soft().clone(), store.clone());
    let health = process.health.register("store");
    process.lifecycle.spawn("store", async move {
        tokio::select! {
            () = soft.cancelled() => Ok(()),
            never = watch(&store, &health) => never,
        }
    });
}

/// Tries until the tables are up to date; or, where that is to end it, an error says that they never will be.
async fn migrate(
    store: &Store,
    retention: Retention,
    unusable: Unusable,
    health: &HealthHandle,
) -> Result<Migrated, MigrateError> {
    let mut pause = RETRY_PAUSE;
    let mut told = String::new();
    loop {
        let (trouble, lasts) = match store.ping().await {
            Err(error) => (chain(&error), false),
            Ok(()) => match store.migrate(retention).await {
                Ok(migrated) => return Ok(migrated),
                Err(error) if error.lasts() && unusable == Unusable::End => return Err(error),
                Err(error) => (chain(&error), error.lasts()),
            },
        };
        if trouble != told {
            if lasts {
                tracing::error!(
                    trouble,
                    "the tables cannot be used; looking again, nothing is stored until then"
                );
            } else {
                tracing::info!(trouble, "waiting for ClickHouse");
            }
            health.not_ready(&trouble);
            told = trouble;
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5).min(RETRY_PAUSE_MAX);
    }
}

/// Asks again and again.
async fn watch(store: &Store, health: &HealthHandle) -> anyhow::Result<()> {
    loop {
        match store.ping().await {
            Ok(()) => health.ready(),
            Err(error) => health.not_ready(chain(&error)),
        }
        tokio::time::sleep(STORE_LOOK).await;
    }
}

/// What the configuration says about keeping rows.
pub(crate) fn retention(config: &Config) -> Retention {
    let retention = &config.store.retention;
    Retention {
        webhooks_days: retention.webhooks_days,
        payment_events_days: retention.payment_events_days,
        parked_webhooks_days: retention.parked_webhooks_days,
        alert_transitions_days: retention.alert_transitions_days,
        heartbeats_days: retention.heartbeats_days,
    }
}
