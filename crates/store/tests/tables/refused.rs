//! What ClickHouse refuses, and what we make of it.

use std::time::Duration;

use payments::{Provider, UnixMillis};
use store::rows::{HeartbeatRow, PaymentEventRow, WebhookRow};
use store::{Decision, InsertError, Store};

use crate::harness::{DEADLINE, Fact, NOW, Tables, envelope, facts};

async fn refused(tables: &Tables) -> InsertError {
    let facts = facts(Provider::Stripe, 3);
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await.unwrap_err()
}

#[tokio::test]
async fn tables_that_are_not_there_yet_are_waited_for() {
    let tables = Tables::empty();
    let error = refused(&tables).await;
    assert_eq!((error.name(), error.decision()), ("UNKNOWN_DATABASE", Decision::Retry));
    let tables = Tables::new().await;
    tables.sql("DROP TABLE payment_events_stored SYNC").await;
    let error = refused(&tables).await;
    assert_eq!((error.name(), error.decision()), ("UNKNOWN_TABLE", Decision::Retry));
}

#[tokio::test]
async fn an_older_table_is_waited_for() {
    let tables = Tables::new().await;
    tables.sql("ALTER TABLE payment_events_stored DROP COLUMN variant").await;
    let error = refused(&tables).await;
    assert_eq!((error.name(), error.decision()), ("NO_SUCH_COLUMN_IN_TABLE", Decision::Retry), "{error:?}");
}

#[tokio::test]
async fn a_row_that_no_table_takes_is_found_by_halving() {
    let tables = Tables::new().await;
    tables.sql("ALTER TABLE webhooks_stored ADD CONSTRAINT short CHECK length(body) < 100").await;
    let long = [b'x'; 200];
    let envelopes: Vec<_> = (0..8_u128)
        .map(|id| envelope(Provider::Stripe, id, NOW, &[], if id == 5 { &long } else { b"{}" }))
        .collect();
    let rows: Vec<_> = envelopes.iter().map(|one| WebhookRow::new(one, "stored", 0, NOW)).collect();
    let error = tables.store.insert::<WebhookRow<'_>>(&rows, DEADLINE).await.unwrap_err();
    assert_eq!((error.name(), error.decision()), ("VIOLATED_CONSTRAINT", Decision::Split));
    assert_eq!(tables.sql("SELECT count() FROM webhooks").await, "0", "the whole batch or nothing");
    for half in [0..4, 4..5, 6..8] {
        tables.store.insert::<WebhookRow<'_>>(&rows[half], DEADLINE).await.unwrap();
    }
    assert_eq!(tables.sql("SELECT count() FROM webhooks").await, "7");
}

#[tokio::test]
async fn too_little_memory_is_waited_for() {
    let tables = Tables::new().await;
    let error = tables
        .try_sql("SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000");
    let source = error.await.unwrap_err();
    let error = InsertError::ClickHouse { table: "webhooks_stored", rows: 1, source };
    assert_eq!((error.name(), error.decision()), ("MEMORY_LIMIT_EXCEEDED", Decision::RetrySmaller));
}

#[tokio::test]
async fn older_copies_that_cannot_be_looked_for_are_not_held_against_the_rows() {
    let tables = Tables::new().await;
    // What is asked about places no longer makes sense: the error's code would say "these rows, never".
    tables.sql("DROP TABLE payment_event_places SYNC").await;
    let columns = "identity UInt64, source String, event_id String, fact UInt16, occurred_at DateTime64(3, 'UTC'), \
                   received_at DateTime64(3, 'UTC'), mapper_version UInt16";
    let constraint = "CONSTRAINT never CHECK fact = 9";
    let engine = "ENGINE = MergeTree ORDER BY identity";
    tables.sql(&format!("CREATE TABLE payment_event_places ({columns}, {constraint}) {engine}")).await;
    let facts = facts(Provider::Adyen, 2);
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    let error = tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await.unwrap_err();
    assert!(matches!(error, InsertError::Settle { .. }), "{error:?}");
    assert_eq!((error.name(), error.decision()), ("VIOLATED_CONSTRAINT", Decision::Retry));
    assert_eq!(tables.sql("SELECT count() FROM payment_events").await, "2");
}

#[tokio::test]
async fn facts_and_older_copies_on_more_days_than_one_insert_may_usually_write() {
    let tables = Tables::new().await;
    let day = 24 * 3_600_000;
    let facts: Vec<Fact> =
        (0..101).map(|n| Fact::new(Provider::Adyen, n, UnixMillis(NOW.0 - i64::from(n) * day))).collect();
    tables.store_facts(&facts, NOW).await;
    assert_eq!(tables.sql("SELECT uniqExact(toDate(occurred_at)) FROM payment_events").await, "101");
    let again: Vec<Fact> =
        (1_000..).zip(&facts).map(|(n, fact)| fact.again(n, UnixMillis(NOW.0 + day))).collect();
    tables.store_facts(&again, NOW).await;
    assert_eq!(
        tables.sql("SELECT count(), uniqExact(toDate(occurred_at)) FROM payment_events").await,
        "101\t1"
    );
}

#[tokio::test]
async fn tables_that_somebody_changed_are_told_by_column() {
    let tables = Tables::new().await;
    tables.store.check_tables().await.unwrap();
    tables.sql("ALTER TABLE webhooks_stored MODIFY COLUMN facts UInt64").await;
    let error = tables.store.check_tables().await.unwrap_err().to_string();
    assert_eq!(error, "webhooks_stored.facts is of type UInt64, and must be UInt16: change it back");
    tables.sql("ALTER TABLE webhooks_stored MODIFY COLUMN facts UInt16").await;
    tables.sql("ALTER TABLE heartbeats_stored DROP COLUMN stored_at").await;
    let error = tables.store.check_tables().await.unwrap_err().to_string();
    assert_eq!(error, "heartbeats_stored has no column stored_at: run `tillwatch migrate`");
}

#[tokio::test]
async fn nobody_there_and_no_answer_in_time_are_waited_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    let heartbeat = payments::Heartbeat { instance: "a".to_owned(), sent_at: NOW };
    let rows = [HeartbeatRow::new(&heartbeat, NOW)];
    let store = Store::new(&format!("http://{address}"), "default", None, "d");
    // It listens and never answers.
    let silent = store.insert::<HeartbeatRow<'_>>(&rows, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((silent.name(), silent.decision()), ("timeout", Decision::Retry));
    assert!(store.wait_until_ready(Duration::from_millis(50)).await.is_err());
    drop(free);
    let nobody = store.insert::<HeartbeatRow<'_>>(&rows, DEADLINE).await.unwrap_err();
    assert_eq!((nobody.name(), nobody.decision()), ("network", Decision::Retry));
}

#[tokio::test]
async fn an_empty_batch_asks_nothing() {
    let store = Store::new("http://127.0.0.1:1", "default", None, "d");
    store.insert::<HeartbeatRow<'_>>(&[], DEADLINE).await.unwrap();
}
