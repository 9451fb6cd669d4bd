//! Bounded memory, bounded waiting, and clients that leave.

use futures_util::StreamExt as _;

use super::harness::{Engine, eventually, send};

/// Memory that the engine allocated and holds, in bytes: without the pages of its library (160 MB of them), which
/// the system maps from the file as they are first used and takes back when it likes.
fn allocated_bytes(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_result_of_any_size_streams_with_bounded_memory() {
    let (engine, _directory) = Engine::start(&[]);
    let row_bytes = 8 + 2 + 200;
    let rows = 5_000_000_u64;
    let before = allocated_bytes(&engine);
    for (format, header_bytes) in [("RowBinary", 0), ("RowBinaryWithNamesAndTypes", 1 + 2 + 2 + 7 + 7)] {
        let sql = format!("SELECT number AS n, repeat('x', 200) AS s FROM numbers({rows})");
        let response = engine
            .request(reqwest::Method::POST, &[("default_format", format)])
            .body(sql)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let mut pieces = response.bytes_stream();
        let (mut bytes, mut number, mut most) = (0_u64, 0_u64, 0);
        while let Some(piece) = pieces.next().await {
            bytes += piece.unwrap().len() as u64;
            number += 1;
            if number % 64 == 0 {
                most = most.max(allocated_bytes(&engine));
            }
        }
        assert_eq!(bytes, header_bytes + rows * (row_bytes), "{format}");
        let grown = most.saturating_sub(before);
        // About 200 MB are seen, whatever the size of the result: blocks on their way and the allocator's own store.
        assert!(grown < bytes / 2, "{format}: a result of {bytes} bytes grew the engine by {grown} bytes");
        assert!(most > before, "{format}: the memory was read while the answer streamed");
    }
}

#[tokio::test]
async fn a_result_that_must_be_held_whole_has_a_limit_that_says_so() {
    let (engine, _directory) = Engine::start(&["result_bytes_max=1000000"]);
    let sql = "SELECT number FROM numbers(1000000) FORMAT JSON";
    let answer = engine.post(&[], sql).await;
    assert_eq!(answer.error(), (500, 396));
    assert!(answer.text().contains("Limit for result exceeded"), "{}", answer.text());
    let rows = engine.sql("SELECT number FROM numbers(1000) FORMAT JSON").await;
    assert!(rows.contains("\"rows\": 1000"), "{rows}");
    let streamed = engine.post(&[], "SELECT number FROM numbers(1000000)").await.ok();
    assert_eq!(streamed.lines().count(), 1_000_000);
}

#[tokio::test]
async fn a_failure_in_the_middle_of_a_streamed_answer_is_not_taken_for_its_end() {
    let (engine, _directory) = Engine::start(&["connections=1"]);
    let sql = "SELECT number, throwIf(number = 1500000) FROM numbers(2000000)";
    let rows = engine.client().query(sql).fetch_all::<(u64, u8)>().await;
    let error = rows.unwrap_err().to_string();
    assert!(error.contains("Code: 395"), "{error}");
    let response = engine
        .request(reqwest::Method::POST, &[])
        .body(sql)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    let tag = response.headers()["x-clickhouse-exception-tag"].to_str().unwrap().to_owned();
    let mut pieces = response.bytes_stream();
    let (mut text, mut broke) = (Vec::new(), false);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => text.extend_from_slice(&piece),
            Err(_) => broke = true,
        }
    }
    assert!(broke, "the body must not end properly");
    let end = String::from_utf8_lossy(&text[text.len() - 400..]).into_owned();
    assert!(end.contains(&format!("__exception__\r\n{tag}\r\nCode: 395. DB::Exception")), "{end}");
    assert_eq!(engine.sql("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_query() {
    let (engine, _directory) = Engine::start(&["connections=2"]);
    let sql = "SELECT number FROM numbers(100000000000) FORMAT RowBinary";
    let response = engine.request(reqwest::Method::POST, &[]).body(sql).send().await.unwrap();
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%100000000000)%' AND query NOT LIKE '%processes%'";
    assert_eq!(engine.sql(running).await, "1");
    drop(response);
    eventually("the query is cancelled", async || engine.sql(running).await == "0").await;
}

#[tokio::test]
async fn a_query_too_many_is_told_to_come_back() {
    let (engine, _directory) = Engine::start(&["connections=1", "waiting_max=1", "queue_wait_ms_max=300"]);
    let sleep = || engine.post(&[], "SELECT sleepEachRow(1) FROM numbers(2) SETTINGS max_block_size = 1");
    let (first, second, third) = tokio::join!(sleep(), sleep(), sleep());
    let answers = [first, second, third];
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert_eq!(refused.len(), 2, "one runs, one finds the queue full, one waits in vain: {answers:?}");
    for answer in refused {
        assert_eq!(answer.error(), (503, 202));
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(engine.sql("SELECT 1").await, "1");
}

#[tokio::test]
async fn bodies_and_statements_have_limits_that_say_so() {
    let (engine, _directory) = Engine::start(&["body_bytes_max=3000000"]);
    engine.sql("CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()").await;
    let insert = [("query", "INSERT INTO t FORMAT LineAsString")];
    let line = "x".repeat(99) + "\n";
    let answer = engine.post(&insert, line.repeat(40_000)).await;
    assert_eq!(answer.error(), (413, 307));
    assert!(answer.text().contains("3000000 bytes"), "{}", answer.text());
    assert_eq!(engine.sql("SELECT count() FROM t").await, "0");
    engine.post(&insert, line.repeat(20_000)).await.ok();
    assert_eq!(engine.sql("SELECT count() FROM t").await, "20000");
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    assert_eq!(engine.post(&[], long).await.error(), (413, 307));
}

#[tokio::test]
async fn the_engines_memory_limit_fails_the_query_and_not_the_engine() {
    let (engine, _directory) = Engine::start(&["memory_bytes_max=600000000"]);
    let answer = engine.post(&[], "SELECT length(groupArray(number)) FROM numbers(200000000)").await;
    assert_eq!(answer.error(), (500, 241), "{}", answer.text());
    let timeout = [("max_execution_time", "1")];
    let answer = engine.post(&timeout, "SELECT sum(sipHash64(number)) FROM numbers(100000000000)").await;
    assert_eq!(answer.error(), (408, 159), "{}", answer.text());
    assert_eq!(engine.sql("SELECT 1").await, "1");
}

#[tokio::test]
async fn however_many_ask_rows_are_stored_and_the_engine_tells_that_it_lives() {
    let (engine, _directory) = Engine::start(&["connections=2", "queue_wait_ms_max=300"]);
    engine.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").await;
    let long = || engine.request(reqwest::Method::POST, &[]).body("SELECT count() FROM system.numbers");
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        readers.spawn(long().send());
    }
    let ours = |sql: &'static str| {
        send(engine.request(reqwest::Method::POST, &[]).header("X-Tillwatch-Lane", "writes").body(sql))
    };
    eventually("both connections of readers are taken", async || {
        ours("SELECT count() FROM system.processes WHERE query LIKE '%system.numbers'").await.ok() == "2\n"
    })
    .await;
    assert_eq!(engine.post(&[], "SELECT 1").await.error(), (503, 202));
    engine.post(&[("query", "INSERT INTO t FORMAT CSV")], "1\n").await.ok();
    assert_eq!(ours("SELECT count() FROM t").await.ok(), "1\n");
    let ping = reqwest::Client::builder().build().unwrap().get(engine.url() + "/ping");
    assert_eq!(send(ping).await.ok(), "Ok.\n");
    ours("KILL QUERY WHERE query LIKE '%system.numbers' SYNC").await.ok();
    while let Some(reader) = readers.join_next().await {
        assert_eq!(reader.unwrap().unwrap().status(), 500);
    }
}
