//! The same against the real ClickHouse.

use store::engine::EngineConfig;
use store::{Retention, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::harness::{DEADLINE, Running, heartbeat, message, tally, webhook};

async fn text(store: &Store, sql: &str) -> String {
    let mut lines = store.client().query_raw(sql).fetch_bytes("TSV").unwrap();
    String::from_utf8_lossy(&lines.collect().await.unwrap()).trim_end().to_owned()
}

#[tokio::test]
async fn a_webhook_of_which_one_fact_is_refused_says_how_many_are_stored_and_why_it_is_parked() {
    let directory = tempfile::tempdir().unwrap();
    let library = store::engine::locate(None).unwrap_or_else(|error| panic!("{error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = Store::new(&format!("http://{}", listener.local_addr().unwrap()), "default", None, "d");
    let (stop, stopped) = oneshot::channel::<()>();
    let config = EngineConfig::new(library, directory.path());
    let engine = store::engine::run(config, Some(listener), async {
        let _ = stopped.await;
    });
    #[expect(clippy::disallowed_methods, reason = "a test's own task, awaited below")]
    let engine = tokio::spawn(engine);
    store.wait_until_ready(DEADLINE).await.unwrap();
    let for_ever = Retention {
        webhooks_days: 0,
        payment_events_days: 0,
        parked_webhooks_days: 0,
        alert_transitions_days: 0,
        heartbeats_days: 0,
    };
    store.migrate(for_ever).await.unwrap();
    text(&store, "ALTER TABLE payment_events_stored ADD CONSTRAINT short CHECK length(event_id) < 20").await;

    let long = "an_event_id_that_is_too_long";
    let messages = vec![
        webhook(1, &["a", long, "b"]),
        webhook(2, &["c", "d"]),
        message(3, b"not json"),
        heartbeat(),
        tally(),
        bytes::Bytes::from_static(b"\x09"),
    ];
    let running = Running::start(store.clone(), 100, messages).await;
    running.until_all_is_acknowledged().await;
    assert_eq!(text(&store, "SELECT event_id FROM payment_events ORDER BY event_id").await, "a\nb\nc\nd");
    assert_eq!(
        text(
            &store,
            "SELECT outcome, facts, position(body, 'event_id') > 0 FROM webhooks ORDER BY webhook_id"
        )
        .await,
        "parked\t2\t1\nstored\t2\t1\nparked\t0\t0"
    );
    let parked = "SELECT reason, detail LIKE '%short%' FROM parked_webhooks ORDER BY reason";
    assert_eq!(text(&store, parked).await, "invalid_json\t0\nrefused_by_store\t1\nunreadable_message\t0");
    assert_eq!(text(&store, "SELECT count() FROM heartbeats").await, "1");
    let uncertain = "SELECT acknowledged, uncertain, uncertain_ids[1] FROM acknowledged";
    assert_eq!(text(&store, uncertain).await, "1\t1\t02020202-0202-0202-0202-020202020202");
    // Number 1 was acknowledged, number 2 is uncertain, and nobody counted number 3.
    let complete = "SELECT acknowledged, stored, parked, missing, unaccounted FROM completeness";
    assert_eq!(text(&store, complete).await, "1\t1\t2\t0\t1");
    assert_eq!(running.metric("tillwatch_processor_facts_total{source=\"checkout\"}"), 4);
    running.stop().await;
    stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, engine).await.unwrap().unwrap().unwrap();
}
