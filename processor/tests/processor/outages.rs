//! ClickHouse is not there for a while, or the process has to go.

use queue::BatchLimits;

use crate::harness::{DEADLINE, Running, eventually, webhook};
use crate::scripted::{ClickHouse, Reply};

const FACTS: &str = "payment_events_stored";
const WEBHOOKS: &str = "webhooks_stored";
const DOWN: Reply =
    Reply::Failed("Code: 242. DB::Exception: Table is in readonly mode. (TABLE_IS_READ_ONLY)");

fn webhooks(count: u8) -> Vec<bytes::Bytes> {
    (1..=count).map(|number| webhook(number, &[&format!("evt_{number};")])).collect()
}

async fn left((mut consumer, _queue): (queue::Consumer, tempfile::TempDir)) -> usize {
    let limits =
        BatchLimits { records_max: 1_000, bytes_max: 1 << 20, linger: std::time::Duration::from_millis(1) };
    let received = tokio::time::timeout(DEADLINE, consumer.receive(&limits)).await.unwrap().unwrap();
    received.deliveries().len()
}

#[tokio::test]
async fn an_outage_is_waited_for_with_one_batch_in_hand_and_the_rest_in_the_queue() {
    let clickhouse = ClickHouse::start(|_| DOWN).await;
    let running = Running::start(clickhouse.store(), 10, webhooks(200)).await;
    let why = running.until_not_ready().await;
    assert!(why.contains("TABLE_IS_READ_ONLY"), "{why}");
    eventually("it is tried again and again", async || clickhouse.asked(FACTS).len() > 20).await;
    let asked = clickhouse.asked(FACTS);
    assert!(asked.iter().all(|insert| insert.rows == asked[0].rows), "the same batch, unchanged");
    assert_eq!((asked[0].count("evt_"), running.waiting()), (10, 200));
    clickhouse.says(|_| Reply::Taken);
    running.until_all_is_acknowledged().await;
    assert!(running.health.is_ready());
    assert_eq!((clickhouse.taken(FACTS, "evt_"), clickhouse.taken(WEBHOOKS, "env:SECRET")), (200, 200));
    running.stop().await;
}

#[tokio::test]
async fn what_is_being_inserted_is_finished_and_acknowledged_before_the_end() {
    let clickhouse =
        ClickHouse::start(|insert| if insert.table == FACTS { Reply::Held } else { Reply::Taken }).await;
    let running = Running::start(clickhouse.store(), 10, webhooks(10)).await;
    eventually("the batch is on its way", async || clickhouse.asked(FACTS).len() == 1).await;
    running.tell_to_stop();
    clickhouse.release();
    running.until_all_is_acknowledged().await;
    running.stop().await;
    assert_eq!(clickhouse.taken(WEBHOOKS, "env:SECRET"), 10);
}

#[tokio::test]
async fn in_an_outage_the_end_is_not_held_up_and_everything_is_delivered_again() {
    let clickhouse = ClickHouse::start(|_| DOWN).await;
    let running = Running::start(clickhouse.store(), 10, webhooks(25)).await;
    running.until_not_ready().await;
    assert_eq!(left(running.stop().await).await, 25);
}
