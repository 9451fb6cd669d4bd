//! Creating and upgrading the tables.

use store::{MigrateError, Retention};

use crate::harness::{NOW, RETENTION, Tables, envelope};
use payments::{Provider, UnixMillis};
use testing::eventually;

const CONTRACT: &str = "acknowledged,alert_transitions,completeness,completeness_minutes,heartbeats,parked_webhooks,payment_events,\
                        payment_minutes,webhooks";

async fn views(tables: &Tables) -> String {
    let sql = "SELECT arrayStringConcat(arraySort(groupArray(name)), ',') FROM system.tables \
               WHERE database = currentDatabase() AND engine = 'View'";
    tables.sql(sql).await
}

#[tokio::test]
async fn from_nothing_and_again() {
    let tables = Tables::empty();
    let first = tables.store.migrate(RETENTION).await.unwrap();
    assert_eq!(
        first.applied,
        ["webhooks", "payment_events", "operations", "compact_parts", "completeness", "replay"]
    );
    assert_eq!((first.already, first.retention_changed.len()), (0, 7));
    assert_eq!(views(&tables).await, CONTRACT);
    let compact = "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() \
                   AND engine_full LIKE '%min_bytes_for_wide_part = 268435456%'";
    assert_eq!(tables.sql(compact).await, "['payment_events_stored']");

    let second = tables.store.migrate(RETENTION).await.unwrap();
    assert_eq!((second.applied.len(), second.already, second.retention_changed.len()), (0, 6, 0));
}

#[tokio::test]
async fn two_migrators_at_once_both_succeed() {
    let tables = Tables::empty();
    let stores: Vec<_> = (0..4).map(|_| tables.another()).collect();
    let (a, b, c, d) = tokio::join!(
        stores[0].migrate(RETENTION),
        stores[1].migrate(RETENTION),
        stores[2].migrate(RETENTION),
        stores[3].migrate(RETENTION),
    );
    for migrated in [a, b, c, d] {
        migrated.unwrap();
    }
    assert_eq!(views(&tables).await, CONTRACT);
    assert_eq!(tables.sql("SELECT count() FROM schema_migrations FINAL").await, "6");
    assert_eq!(tables.store.migrate(RETENTION).await.unwrap().already, 6);
}

#[tokio::test]
async fn two_migrators_at_once_both_upgrade() {
    let tables = Tables::new().await;
    tables.sql("DROP VIEW heartbeats").await;
    tables.sql("DROP TABLE alert_transitions_stored SYNC").await;
    tables.sql("DELETE FROM schema_migrations WHERE version = 3").await;
    let other = tables.another();
    let (a, b) = tokio::join!(tables.store.migrate(RETENTION), other.migrate(RETENTION));
    for migrated in [a, b] {
        assert!(migrated.unwrap().already >= 4);
    }
    assert_eq!(views(&tables).await, CONTRACT);

    // The statements that a later migration is made of, as tables.md describes it.
    let upgrade = async || {
        tables.sql("ALTER TABLE heartbeats_stored ADD COLUMN IF NOT EXISTS zone String DEFAULT ''").await;
        tables.sql("CREATE OR REPLACE VIEW heartbeats AS SELECT * FROM heartbeats_stored FINAL").await;
    };
    tokio::join!(upgrade(), upgrade(), upgrade(), upgrade());
    assert_eq!(tables.sql("SELECT count(zone) FROM heartbeats").await, "0");
    tables.store.check_tables().await.unwrap();
}

#[tokio::test]
async fn one_that_was_killed_half_way_is_finished_by_the_next() {
    let tables = Tables::new().await;
    tables.sql("DROP VIEW payment_minutes").await;
    tables.sql("DROP TABLE payment_event_places SYNC").await;
    tables.sql("DELETE FROM schema_migrations WHERE version = 2").await;
    let migrated = tables.store.migrate(RETENTION).await.unwrap();
    assert_eq!(migrated.applied, ["payment_events"]);
    assert_eq!(views(&tables).await, CONTRACT);
}

#[tokio::test]
async fn an_applied_migration_that_was_edited_is_named() {
    let tables = Tables::new().await;
    tables
        .sql("INSERT INTO schema_migrations VALUES (2, 'payment_events', 'other contents', now() + 10)")
        .await;
    let error = tables.store.migrate(RETENTION).await.unwrap_err();
    assert!(matches!(error, MigrateError::Changed { version: 2, .. }), "{error}");
    assert!(error.to_string().contains("migration payment_events (version 2)"), "{error}");
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let tables = Tables::new().await;
    tables.sql("INSERT INTO schema_migrations VALUES (9, 'later', 'x', now())").await;
    let error = tables.store.migrate(RETENTION).await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 9, known: 6 }), "{error}");
}

#[tokio::test]
async fn a_refused_statement_is_named_with_its_cause() {
    let tables = Tables::new().await;
    tables.sql("DROP VIEW webhooks").await;
    tables.sql("DROP TABLE webhooks_stored SYNC").await;
    tables.sql("CREATE TABLE webhooks_stored (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    let error = tables.store.migrate(RETENTION).await.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.to_string().contains("retention: ClickHouse refused `ALTER TABLE"), "{error}");
    assert!(cause.contains("received_at"), "{cause}");
}

#[tokio::test]
async fn another_retention_is_taken_over_by_what_is_stored_already() {
    let tables = Tables::new().await;
    let now: i64 = tables.sql("SELECT toUnixTimestamp64Milli(now64(3))").await.parse().unwrap();
    let day = 24 * 3_600_000;
    let ages = [1, 20, 60];
    let envelopes: Vec<_> = (1..)
        .zip(ages)
        .map(|(id, days)| envelope(Provider::Stripe, id, UnixMillis(now - days * day), &[], b"{}"))
        .collect();
    tables.store_webhooks(&envelopes, NOW).await;
    assert_eq!(tables.sql("SELECT count() FROM webhooks").await, "3");

    let shorter = Retention { webhooks_days: 30, ..RETENTION };
    let migrated = tables.store.migrate(shorter).await.unwrap();
    assert_eq!(migrated.retention_changed, ["acknowledged_stored", "webhooks_stored"]);
    eventually("what is older than 30 days goes", async || {
        tables.sql("SELECT count() FROM webhooks").await == "2"
    })
    .await;

    let for_ever = Retention { webhooks_days: 0, ..RETENTION };
    let changed = tables.store.migrate(for_ever).await.unwrap().retention_changed;
    assert_eq!(changed, ["acknowledged_stored", "webhooks_stored"]);
    assert_eq!(tables.store.migrate(for_ever).await.unwrap().retention_changed.len(), 0);
    let ttl = "SELECT count() FROM system.tables WHERE database = currentDatabase() \
               AND name = 'webhooks_stored' AND engine_full LIKE '% TTL %'";
    assert_eq!(tables.sql(ttl).await, "0");
}
