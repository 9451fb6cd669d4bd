//! What ClickHouse refuses: found, parked or waited for, and never lost.

use crate::harness::{Running, eventually, heartbeat, message, tally, webhook};
use crate::scripted::{ClickHouse, Insert, Reply};

const FACTS: &str = "payment_events_stored";
const WEBHOOKS: &str = "webhooks_stored";
const PARKED: &str = "parked_webhooks_stored";
const REFUSED: Reply =
    Reply::Failed("Code: 469. DB::Exception: Constraint `short` is violated. (VIOLATED_CONSTRAINT)");

/// Webhooks of one fact each, `evt_1` and so on.
fn webhooks(numbers: std::ops::RangeInclusive<u8>) -> Vec<bytes::Bytes> {
    numbers.map(|number| webhook(number, &[&format!("evt_{number};")])).collect()
}

#[tokio::test]
async fn each_message_ends_in_one_outcome_and_is_acknowledged() {
    let clickhouse = ClickHouse::start(|_| Reply::Taken).await;
    let mut messages = webhooks(1..=3);
    messages.extend([
        message(4, b"not json"),
        heartbeat(),
        tally(),
        bytes::Bytes::from_static(b"\x09nonsense"),
    ]);
    let running = Running::start(clickhouse.store(), 100, messages).await;
    running.until_all_is_acknowledged().await;
    assert!(running.health.is_ready());
    assert_eq!(clickhouse.taken(FACTS, "evt_"), 3);
    assert_eq!(clickhouse.taken(WEBHOOKS, "env:SECRET"), 4);
    assert_eq!((clickhouse.taken(PARKED, "not json"), clickhouse.taken(PARKED, "\x09nonsense")), (1, 1));
    assert_eq!(clickhouse.taken("heartbeats_stored", "i-1"), 1);
    assert_eq!(clickhouse.taken("acknowledged_stored", "counter-1"), 1);
    for (labels, count) in [
        ("outcome=\"stored\",reason=\"\",source=\"checkout\"", 3),
        ("outcome=\"parked\",reason=\"invalid_json\",source=\"checkout\"", 1),
        ("outcome=\"parked\",reason=\"unreadable_message\",source=\"\"", 1),
        ("outcome=\"heartbeat\",reason=\"\",source=\"\"", 1),
        ("outcome=\"tally\",reason=\"\",source=\"checkout\"", 1),
    ] {
        assert_eq!(
            running.metric(&format!("tillwatch_processor_messages_total{{{labels}}}")),
            count,
            "{labels}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn a_refused_fact_is_found_by_halving_and_parked_and_all_others_are_stored() {
    let poisoned = |insert: &Insert| insert.table == FACTS && insert.count("evt_7;") > 0;
    let clickhouse =
        ClickHouse::start(move |insert| if poisoned(insert) { REFUSED } else { Reply::Taken }).await;
    let running = Running::start(clickhouse.store(), 100, webhooks(1..=20)).await;
    running.until_all_is_acknowledged().await;
    assert_eq!((clickhouse.taken(FACTS, "evt_"), clickhouse.taken(FACTS, "evt_7;")), (19, 0));
    assert_eq!((clickhouse.taken(PARKED, "refused_by_store"), clickhouse.taken(PARKED, "evt_7;")), (1, 1));
    assert_eq!(clickhouse.taken(WEBHOOKS, "env:SECRET"), 20, "the raw request of every webhook");
    let labels = "outcome=\"parked\",reason=\"refused_by_store\",source=\"checkout\"";
    assert_eq!(running.metric(&format!("tillwatch_processor_messages_total{{{labels}}}")), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_refused_fact_on_its_own_is_parked() {
    let clickhouse =
        ClickHouse::start(|insert| if insert.table == FACTS { REFUSED } else { Reply::Taken }).await;
    let facts = webhook(1, &["evt_1;", "evt_2;"]);
    let running = Running::start(clickhouse.store(), 100, vec![facts]).await;
    running.until_all_is_acknowledged().await;
    assert_eq!(clickhouse.taken(PARKED, "refused_by_store"), 1);
    assert_eq!(clickhouse.taken(WEBHOOKS, "env:SECRET"), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_few_refused_facts_are_parked_though_nothing_else_is_taken() {
    let clickhouse =
        ClickHouse::start(|insert| if insert.table == FACTS { REFUSED } else { Reply::Taken }).await;
    let running = Running::start(clickhouse.store(), 100, webhooks(1..=2)).await;
    running.until_all_is_acknowledged().await;
    assert_eq!(clickhouse.taken(PARKED, "refused_by_store"), 2);
    assert_eq!(clickhouse.taken(WEBHOOKS, "env:SECRET"), 2, "the raw request of every webhook");
    running.stop().await;
}

#[tokio::test]
async fn facts_are_waited_for_while_the_tables_are_not_as_they_must_be() {
    let clickhouse =
        ClickHouse::start(|insert| if insert.table == FACTS { REFUSED } else { Reply::Taken }).await;
    clickhouse.tells_columns_times(1);
    let running = Running::start(clickhouse.store(), 100, webhooks(1..=2)).await;
    let why = running.until_not_ready().await;
    assert!(why.contains(FACTS), "{why}");
    eventually("it is tried again", async || clickhouse.asked(FACTS).len() > 6).await;
    assert_eq!((running.waiting(), clickhouse.asked(PARKED).len()), (2, 0));
    clickhouse.says(|_| Reply::Taken);
    running.until_all_is_acknowledged().await;
    assert_eq!((clickhouse.taken(FACTS, "evt_"), clickhouse.asked(PARKED).len()), (2, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_fact_alone_that_was_cut_on_its_way_is_sent_again_before_it_counts_as_refused() {
    const CUT: Reply = Reply::Failed("Code: 33. DB::Exception: Cannot read all data. (CANNOT_READ_ALL_DATA)");
    for (cut, parked) in [(2, 0), (3, 1)] {
        let mut asked = 0;
        let script = move |insert: &Insert| {
            asked += usize::from(insert.table == FACTS);
            if insert.table == FACTS && asked <= cut { CUT } else { Reply::Taken }
        };
        let clickhouse = ClickHouse::start(script).await;
        let running = Running::start(clickhouse.store(), 100, webhooks(1..=1)).await;
        running.until_all_is_acknowledged().await;
        assert_eq!(clickhouse.taken(PARKED, "refused_by_store"), parked, "cut {cut} times");
        assert_eq!(clickhouse.taken(FACTS, "evt_"), 1 - parked, "cut {cut} times");
        running.stop().await;
    }
}

#[tokio::test]
async fn when_every_fact_is_refused_nothing_is_parked_and_all_is_waited_for() {
    let clickhouse =
        ClickHouse::start(|insert| if insert.table == FACTS { REFUSED } else { Reply::Taken }).await;
    let running = Running::start(clickhouse.store(), 200, webhooks(1..=200)).await;
    let why = running.until_not_ready().await;
    assert!(why.contains("payment_events_stored") && why.contains("VIOLATED_CONSTRAINT"), "{why}");
    eventually("it is tried again", async || clickhouse.asked(FACTS).len() > 130).await;
    assert_eq!(
        (running.waiting(), clickhouse.asked(PARKED).len(), clickhouse.asked(WEBHOOKS).len()),
        (200, 0, 0)
    );
    clickhouse.says(|_| Reply::Taken);
    running.until_all_is_acknowledged().await;
    assert!(running.health.is_ready());
    assert_eq!((clickhouse.taken(FACTS, "evt_"), clickhouse.asked(PARKED).len()), (200, 0));
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_while_a_raw_request_or_a_parked_one_is_not_stored() {
    for table in [WEBHOOKS, PARKED] {
        let refused = move |insert: &Insert| insert.table == table && insert.count("not json") > 0;
        let clickhouse =
            ClickHouse::start(move |insert| if refused(insert) { REFUSED } else { Reply::Taken }).await;
        let mut messages = webhooks(1..=5);
        messages.push(message(6, b"not json"));
        let running = Running::start(clickhouse.store(), 100, messages).await;
        let why = running.until_not_ready().await;
        assert!(why.contains(table), "{why}");
        assert_eq!(running.waiting(), 6);
        clickhouse.says(|_| Reply::Taken);
        running.until_all_is_acknowledged().await;
        assert!(clickhouse.taken(table, "not json") > 0 && running.health.is_ready());
        running.stop().await;
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_stored_in_smaller_pieces_and_not_parked() {
    for text in [
        "Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)",
        "413 Payload Too Large",
    ] {
        let clickhouse =
            ClickHouse::start(
                move |insert| {
                    if insert.count("evt_") > 3 { Reply::Failed(text) } else { Reply::Taken }
                },
            );
        let clickhouse = clickhouse.await;
        let facts: Vec<_> = webhooks(1..=16);
        let running = Running::start(clickhouse.store(), 100, facts).await;
        running.until_all_is_acknowledged().await;
        assert_eq!((clickhouse.taken(FACTS, "evt_"), clickhouse.asked(PARKED).len()), (16, 0), "{text}");
        assert_eq!(clickhouse.taken(WEBHOOKS, "evt_"), 16, "{text}");
        running.stop().await;
    }
}
