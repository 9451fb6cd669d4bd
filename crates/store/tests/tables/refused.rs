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
    assert_eq!(
        (error.code(), error.name(), error.decision()),
        (Some(81), "UNKNOWN_DATABASE", Decision::Retry)
    );
    let tables = Tables::new().await;
    tables.sql("DROP TABLE payment_events_stored SYNC").await;
    let error = refused(&tables).await;
    assert_eq!((error.code(), error.name(), error.decision()), (Some(60), "UNKNOWN_TABLE", Decision::Retry));
}

#[tokio::test]
async fn an_older_table_is_waited_for() {
    let tables = Tables::new().await;
    tables.sql("ALTER TABLE payment_events_stored DROP COLUMN variant").await;
    let error = refused(&tables).await;
    assert_eq!((error.code(), error.decision()), (Some(16), Decision::Retry), "{error:?}");
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
    assert_eq!((error.name(), error.decision()), ("MEMORY_LIMIT_EXCEEDED", Decision::Retry));
}

#[tokio::test]
async fn facts_of_too_many_days_for_one_insert_are_split() {
    let tables = Tables::new().await;
    let day = 24 * 3_600_000;
    let facts: Vec<Fact> =
        (0..101).map(|n| Fact::new(Provider::Stripe, n, UnixMillis(NOW.0 - i64::from(n) * day))).collect();
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    let error = tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await.unwrap_err();
    assert_eq!((error.code(), error.decision()), (Some(252), Decision::Split), "{error:?}");
    for half in rows.chunks(51) {
        tables.store.insert::<PaymentEventRow<'_>>(half, DEADLINE).await.unwrap();
    }
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
