//! What a cluster answers to inserts, and that nothing is doubled or lost by it.

use payments::Provider;
use store::rows::PaymentEventRow;
use store::{Decision, InsertError};

use crate::harness::{DEADLINE, Fact, NOW, Tables, facts};
use crate::stand_in::Answer;

/// How the inserts begin.
const FACTS: &str = "INSERT INTO `payment_events_stored`";
const PLACES: &str = "INSERT INTO `payment_event_places`";

async fn stored(tables: &Tables, facts: &[Fact]) -> Result<(), InsertError> {
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await
}

/// In the table that keeps them, where no reader passes over copies.
async fn parts_hold(tables: &Tables) -> String {
    tables.sql("SELECT count() FROM payment_events_stored_local").await
}

#[tokio::test]
async fn an_insert_whose_answer_is_lost_is_tried_again_and_stored_once() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let facts = facts(Provider::Adyen, 50);
    stand_in.answers("payment_events_stored", 0, Answer::Lost);
    let lost = stored(&tables, &facts).await.unwrap_err();
    assert_eq!((lost.name(), lost.decision()), ("network", Decision::Retry), "{lost:?}");
    assert_eq!(parts_hold(&tables).await, "50", "it was stored");
    stand_in.answers("payment_event_places", 0, Answer::Lost);
    let lost = stored(&tables, &facts).await.unwrap_err();
    assert!(matches!(lost, InsertError::Settle { .. }), "{lost:?}");
    stored(&tables, &facts).await.unwrap();
    assert_eq!(parts_hold(&tables).await, "50", "the token reaches the table behind the `Distributed` one");
    assert_eq!(tables.sql("SELECT count() FROM payment_event_places_local").await, "50");
}

#[tokio::test]
async fn each_insert_says_how_it_is_to_be_stored() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    stored(&tables, &facts(Provider::Adyen, 5)).await.unwrap();
    let [facts] = stand_in.asked(FACTS).try_into().unwrap();
    let [places] = stand_in.asked(PLACES).try_into().unwrap();
    for (insert, parallel) in [(&facts, None), (&places, Some("0"))] {
        assert_eq!(insert.setting("distributed_foreground_insert"), Some("1"));
        assert_eq!(insert.setting("async_insert"), Some("0"));
        assert_eq!(insert.setting("insert_quorum"), Some("auto"));
        assert_eq!(insert.setting("insert_quorum_parallel"), parallel, "{}", insert.sql);
        assert_eq!(insert.setting("insert_deduplication_token").map(str::len), Some(64));
    }
    let [look] = stand_in.asked("SELECT identity FROM payment_event_places").try_into().unwrap();
    assert_eq!(look.setting("select_sequential_consistency"), Some("1"));
    assert_eq!(look.setting("load_balancing"), Some("in_order"));
}

#[tokio::test]
async fn whose_turn_it_is_not_yet_waits_and_nothing_is_sent_twice() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let busy =
        "Quorum for previous write has not been satisfied yet. (UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE)";
    stand_in.answers(PLACES, 0, Answer::Refusal(286, busy));
    stand_in.answers(PLACES, 0, Answer::Refusal(286, busy));
    let behind =
        "Replica doesn't have part that was successfully written to quorum. (REPLICA_IS_NOT_IN_QUORUM)";
    stand_in.answers("SELECT identity FROM payment_event_places", 0, Answer::Refusal(289, behind));
    stored(&tables, &facts(Provider::Adyen, 5)).await.unwrap();
    assert!(stand_in.has_said_all());
    assert_eq!(stand_in.asked(FACTS).len(), 1, "the facts were stored by then");
    assert_eq!(parts_hold(&tables).await, "5");
}

#[tokio::test]
async fn what_a_cluster_says_when_it_is_unwell_is_waited_for_under_its_name() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let facts = facts(Provider::Stripe, 20);
    for (code, name) in [
        (159, "TIMEOUT_EXCEEDED"),
        (198, "DNS_ERROR"),
        (201, "QUOTA_EXCEEDED"),
        (209, "SOCKET_TIMEOUT"),
        (210, "NETWORK_ERROR"),
        (225, "NO_ZOOKEEPER"),
        (242, "TABLE_IS_READ_ONLY"),
        (252, "TOO_MANY_PARTS"),
        (254, "NO_ACTIVE_REPLICAS"),
        (279, "ALL_CONNECTION_TRIES_FAILED"),
        (285, "TOO_FEW_LIVE_REPLICAS"),
        (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE"),
        (319, "UNKNOWN_STATUS_OF_INSERT"),
        (999, "KEEPER_EXCEPTION"),
    ] {
        stand_in.answers(FACTS, 0, Answer::Refusal(code, "Received from b:9000. DB::Exception: no"));
        let error = stored(&tables, &facts).await.unwrap_err();
        assert_eq!((error.name(), error.decision()), (name, Decision::Retry), "{code}: {error:?}");
    }
    stored(&tables, &facts).await.unwrap();
    assert_eq!(parts_hold(&tables).await, "20");
    stand_in.answers(FACTS, 0, Answer::Refusal(241, "memory limit exceeded"));
    assert_eq!(stored(&tables, &facts).await.unwrap_err().decision(), Decision::RetrySmaller);
}

/// The engine itself, which is asked to reach a server that is not there.
#[tokio::test]
async fn a_shard_that_is_down_is_told_by_the_real_engine() {
    let tables = Tables::new().await;
    let stand_in = tables.stand_in.as_ref().unwrap();
    let insert = "INSERT INTO heartbeats_stored (instance, sent_at, stored_at) SETTINGS prefer_localhost_replica = 0, \
                  distributed_foreground_insert = 1 VALUES ('a', 0, 0)";
    let source = stand_in.engine(tables.store.database(), insert).await.unwrap_err();
    let error = InsertError::ClickHouse { table: "heartbeats_stored", rows: 1, source };
    assert_eq!(
        (error.name(), error.decision()),
        ("ALL_CONNECTION_TRIES_FAILED", Decision::Retry),
        "{error:?}"
    );
}

#[tokio::test]
async fn every_refusal_has_clickhouses_own_name() {
    let tables = Tables::empty();
    let stand_in = tables.stand_in.as_ref().unwrap();
    for (code, name) in store::insert::known_refusals() {
        let sql = format!("SELECT errorCodeToName({code})");
        assert_eq!(stand_in.engine("default", &sql).await.unwrap(), name, "{code}");
    }
}
