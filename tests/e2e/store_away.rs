//! A store that is not there takes nothing else down: ingest accepts, `/ready` says why, and all is stored later.

use crate::harness::{Installation, free_port, until};

const BODY: &str =
    r#"{"event_id":"e-1","kind":"authorization","outcome":"approved","occurred_at":"2026-11-22T03:07:00Z"}"#;

#[tokio::test]
async fn webhooks_are_accepted_while_the_engine_cannot_start_and_stored_once_it_can() {
    let installation = Installation::new("");
    let library = installation.path("engine");
    std::fs::write(&library, "not a library").unwrap();
    let mut server = installation.start("serve", &[("TILLWATCH_ENGINE_LIBRARY", library.to_str().unwrap())]);
    installation.until_ready(&mut server, "/ingest").await;
    until("the engine's trouble is told", async || {
        let told = installation.admin("/ready/engine").await;
        told.is_some_and(|(status, text)| status == 503 && !text.contains("starting"))
    })
    .await;
    let (_, text) = installation.admin("/ready").await.unwrap();
    assert!(text.contains("store: not ready: ClickHouse cannot answer a ping: "), "{text}");
    assert_eq!(installation.post_canonical("m-1", BODY, &[]).await, 200);
    server.assert_alive();

    // Mended without a restart.
    std::fs::remove_file(&library).unwrap();
    std::os::unix::fs::symlink(store::engine::locate(None).unwrap(), &library).unwrap();
    installation.until_ready(&mut server, "").await;
    until("the webhook is stored", async || {
        installation.ask("SELECT count() FROM tillwatch.payment_events").await == Ok("1".to_owned())
    })
    .await;
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn webhooks_are_accepted_while_there_is_no_engine_at_all_or_its_tables_are_of_a_newer_version() {
    let installation = Installation::new("");
    let library = installation.path("engine");
    let env = [("TILLWATCH_ENGINE_LIBRARY", library.to_str().unwrap())];
    let mut server = installation.start("serve", &env);
    installation.until_ready(&mut server, "/ingest").await;
    until("what is missing is told", async || {
        let told = installation.admin("/ready/engine").await;
        told.is_some_and(|(status, text)| status == 503 && text.contains("which does not exist"))
    })
    .await;
    assert_eq!(installation.post_canonical("m-1", BODY, &[]).await, 200);
    server.assert_alive();
    assert_eq!(server.terminate().await, 0);

    let server = installation.serve_ready().await;
    let newer = "INSERT INTO tillwatch.schema_migrations (version, name, checksum) VALUES (999, 'x', 'x')";
    assert_eq!(installation.ask(newer).await, Ok(String::new()));
    assert_eq!(server.terminate().await, 0);
    let mut server = installation.serve();
    until("the tables' version is told", async || {
        let told = installation.admin("/ready/store").await;
        told.is_some_and(|(status, text)| status == 503 && text.contains("run the newer version"))
    })
    .await;
    installation.until_ready(&mut server, "/ingest").await;
    assert_eq!(installation.post_canonical("m-2", BODY, &[]).await, 200);
    server.assert_alive();
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn services_wait_for_a_clickhouse_server_and_say_so() {
    let installation = Installation::new("");
    let url = format!("http://127.0.0.1:{}", free_port());
    let env = [("TILLWATCH_STORE__KIND", "clickhouse"), ("TILLWATCH_STORE__URL", url.as_str())];
    for command in ["board", "alert"] {
        let server = installation.start(command, &env);
        until("what is waited for is told", async || {
            let told = installation.admin("/ready").await;
            told.is_some_and(|(status, text)| {
                status == 503 && text.contains("store: not ready: ClickHouse cannot")
            })
        })
        .await;
        assert_eq!(server.terminate().await, 0, "{command}");
    }
}
