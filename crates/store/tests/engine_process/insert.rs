//! INSERTs with data: whole or not at all.

use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::harness::{DEADLINE, Engine, eventually};

const CREATE: &str = "CREATE TABLE payments (id UInt64, source LowCardinality(String), amount_minor Nullable(Int64), \
     body String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100";

/// Bytes that cut a statement short when they are taken for text.
const AWKWARD: &[u8] = b"a;b\0c\n\n;\r\nINSERT INTO x FORMAT CSV\xff\xfe'\"`\\";

fn row_binary(ids: std::ops::Range<u64>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for id in ids {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(b"\x06stripe\x00");
        out.extend_from_slice(&(id.cast_signed() * 100).to_le_bytes());
        let mut length = body.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend_from_slice(body);
    }
    out
}

async fn count(engine: &Engine) -> u64 {
    engine.sql("SELECT count() FROM payments").await.parse().unwrap()
}

#[tokio::test]
async fn the_official_client_inserts_and_selects_typed_rows() {
    #[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
    struct Plain {
        id: u64,
        source: String,
        amount_minor: Option<i64>,
        body: String,
    }
    let (engine, _directory) = Engine::start(&[]);
    engine.sql(CREATE).await;
    let client = engine.client();
    let mut insert = client.insert::<Plain>("payments").await.unwrap();
    let rows: Vec<Plain> = (0..5_000)
        .map(|id| Plain {
            id,
            source: format!("source-{}", id % 3),
            amount_minor: (id % 2 == 0).then_some(-5),
            body: "{\"a\": \"b;c\"}\0".to_owned(),
        })
        .collect();
    for row in &rows {
        insert.write(row).await.unwrap();
    }
    insert.end().await.unwrap();
    let found = client.query("SELECT ?fields FROM payments ORDER BY id").fetch_all::<Plain>().await.unwrap();
    assert_eq!(found, rows);
    let some = client
        .query("SELECT count() FROM payments WHERE source = {source:String} AND id < ?")
        .param("source", "source-1")
        .bind(10)
        .fetch_one::<u64>()
        .await
        .unwrap();
    assert_eq!(some, 3);
    let none =
        client.query("SELECT ?fields FROM payments WHERE id > 99999").fetch_all::<Plain>().await.unwrap();
    assert!(none.is_empty());
    let error = client.query("SELECT nope FROM payments").fetch_all::<u64>().await.unwrap_err().to_string();
    assert!(error.contains("Code: 47"), "{error}");
    let error = client.insert::<Plain>("nope").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("Code: 60") || error.contains("nope"), "{error}");
}

#[tokio::test]
async fn awkward_bytes_arrive_as_they_are() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql(CREATE).await;
    let insert = [("query", "INSERT INTO payments (id, source, amount_minor, body) FORMAT RowBinary")];
    let answer = engine.post(&insert, row_binary(0..3, AWKWARD)).await;
    assert_eq!(answer.ok(), "");
    let summary: serde_json::Value = serde_json::from_str(answer.header("x-clickhouse-summary")).unwrap();
    assert_eq!(summary["written_rows"], "3");
    let hex = hex::encode_upper(AWKWARD);
    let found = engine.sql("SELECT uniqExact(body), any(hex(body)), sum(amount_minor) FROM payments").await;
    assert_eq!(found, format!("1\t{hex}\t300"));
    // Statement and data in the body alone.
    let mut body = b"INSERT INTO payments FORMAT RowBinary\n".to_vec();
    body.extend(row_binary(3..5, AWKWARD));
    engine.post(&[], body).await.ok();
    assert_eq!(count(&engine).await, 5);
}

#[tokio::test]
async fn text_formats_and_values_insert_too() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql("CREATE TABLE t (a UInt64, s String DEFAULT 'd') ENGINE = MergeTree ORDER BY a").await;
    for (query, body) in [
        ("INSERT INTO t VALUES (1, 'x;y'), (2, 'it''s')", ""),
        ("INSERT INTO t (a) VALUES", " (3)"),
        ("INSERT INTO t FORMAT CSV", "4,\"a\nb\"\n"),
        ("INSERT INTO t FORMAT JSONEachRow", "{\"a\": 5}\n{\"a\": 6, \"s\": \"z\"}\n"),
        ("INSERT INTO t SETTINGS input_format_allow_errors_num = 1 FORMAT TSV", "7\tx\nnope\tx\n"),
    ] {
        engine.post(&[("query", query)], body).await.ok();
    }
    assert_eq!(
        engine.sql("SELECT groupArray(a), groupArray(s) FROM (SELECT * FROM t ORDER BY a)").await,
        "[1,2,3,4,5,6,7]\t['x;y','it\\'s','d','a\\nb','d','z','x']"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_or_lies_inserts_nothing() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql(CREATE).await;
    let insert = [("query", "INSERT INTO payments FORMAT RowBinary")];
    let rows = row_binary(0..1_000, b"body");
    // Cut in the middle of a row.
    let answer = engine.post(&insert, rows[..rows.len() - 3].to_vec()).await;
    assert_eq!(answer.error().1, 33);
    // Not the table's format at all.
    let answer = engine.post(&[("query", "INSERT INTO payments FORMAT CSV")], "1,a,b,c,d\nx\n").await;
    assert!(answer.status >= 400, "{answer:?}");
    // The connection breaks, by each way a length can be told; whole rows have arrived.
    for head in ["Content-Length: 1000000".to_owned(), "Transfer-Encoding: chunked".to_owned()] {
        let mut stream = TcpStream::connect(&engine.address).await.unwrap();
        let target = "/?query=INSERT%20INTO%20payments%20FORMAT%20RowBinary";
        let request = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if head.contains("chunked") {
            stream.write_all(format!("{:x}\r\n", rows.len()).as_bytes()).await.unwrap();
        }
        stream.write_all(&rows).await.unwrap();
        stream.flush().await.unwrap();
        // The engine has the statement and some rows when it shows among the running queries.
        eventually("the insert runs", async || {
            engine.sql("SELECT count() FROM system.processes WHERE query ILIKE 'INSERT INTO payments%'").await
                == "1"
        })
        .await;
        drop(stream);
        eventually("the insert is gone", async || {
            engine.sql("SELECT count() FROM system.processes WHERE query ILIKE 'INSERT INTO payments%'").await
                == "0"
        })
        .await;
    }
    assert_eq!(count(&engine).await, 0);
    engine.post(&insert, rows).await.ok();
    assert_eq!(count(&engine).await, 1_000);
}

#[tokio::test]
async fn a_silent_client_is_cut_and_its_insert_cancelled() {
    let (engine, _directory) = Engine::start(&["client_idle_ms_max=200"]);
    engine.sql(CREATE).await;
    let mut stream = TcpStream::connect(&engine.address).await.unwrap();
    let target = "/?query=INSERT%20INTO%20payments%20FORMAT%20RowBinary";
    let request = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&row_binary(0..2, b"x")).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("Code: 209. DB::Exception: No data from the client"), "{answer}");
    assert_eq!(count(&engine).await, 0);
}

#[tokio::test]
async fn who_goes_on_sending_after_a_refusal_is_answered_all_the_same() {
    let (engine, _directory) = Engine::start(&["client_idle_ms_max=1000"]);
    let stream = TcpStream::connect(&engine.address).await.unwrap();
    let (mut answers, mut sender) = stream.into_split();
    let target = "/?query=INSERT%20INTO%20nowhere%20FORMAT%20RowBinary";
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    sender.write_all(head.as_bytes()).await.unwrap();
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        while sender.write_all(b"x").await.is_ok() {
            pause.tick().await;
        }
    });
    let mut answer = Vec::new();
    let reading = async {
        // It may come in several pieces.
        while !String::from_utf8_lossy(&answer).contains("Code: 60. DB::Exception") {
            let bytes = answers.read_buf(&mut answer).await.unwrap();
            assert!(bytes > 0, "{}", String::from_utf8_lossy(&answer));
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("no answer while the client sends");
}

#[tokio::test]
async fn a_batch_sent_twice_with_its_token_counts_once() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql(CREATE).await;
    let rows = row_binary(0..100, b"x");
    for token in ["batch-1", "batch-1", "it's \\ 2", "it's \\ 2"] {
        let parameters =
            [("query", "INSERT INTO payments FORMAT RowBinary"), ("insert_deduplication_token", token)];
        engine.post(&parameters, rows.clone()).await.ok();
    }
    assert_eq!(count(&engine).await, 200);
}

#[tokio::test]
async fn queries_run_beside_inserts_and_see_whole_batches_only() {
    let (engine, _directory) = Engine::start(&["connections=4"]);
    engine.sql(CREATE).await;
    let engine = &engine;
    let inserting = async move {
        for batch in 0..30 {
            let rows = row_binary(batch * 1_000..(batch + 1) * 1_000, &[b'x'; 500]);
            engine.post(&[("query", "INSERT INTO payments FORMAT RowBinary")], rows).await.ok();
        }
    };
    let asking = async move {
        let mut seen = Vec::new();
        while seen.last() != Some(&30_000) {
            seen.push(count(engine).await);
        }
        seen
    };
    let all = async {
        tokio::join!(asking, inserting, async move {
            for number in 0..200_u32 {
                let sql = format!("SELECT {number}, max(id) < 30000 FROM payments");
                assert_eq!(engine.sql(&sql).await, format!("{number}\t1"));
            }
        })
    };
    let (seen, (), ()) = tokio::time::timeout(DEADLINE, all).await.expect("the engine keeps up");
    assert!(seen.iter().all(|count| count % 1_000 == 0), "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
}

/// The engine's own column files are made of the same blocks as compressed bodies: what it wrote itself
/// must be accepted, checksum included, and what we send must be readable by its rules.
#[tokio::test]
async fn compressed_bodies_are_blocks_as_the_engine_itself_writes_them() {
    let (engine, directory) = Engine::start(&[]);
    for table in ["a", "b"] {
        let settings = "SETTINGS min_bytes_for_wide_part = 0, compress_marks = 0";
        engine
            .sql(&format!("CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY tuple() {settings}"))
            .await;
    }
    engine.sql("INSERT INTO a SELECT number FROM numbers(100000)").await;
    let part = engine.sql("SELECT path FROM system.parts WHERE table = 'a' AND active").await;
    assert!(part.contains(directory.path().to_str().unwrap()), "{part}");
    let column = std::fs::read(std::path::Path::new(&part).join("n.bin")).unwrap();
    // A UInt64 column file holds what RowBinary holds.
    let insert = [("query", "INSERT INTO b FORMAT RowBinary"), ("decompress", "1")];
    engine.post(&insert, column.clone()).await.ok();
    assert_eq!(engine.sql("SELECT count(), sum(n) FROM b").await, "100000\t4999950000");
    let mut broken = column;
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(engine.post(&insert, broken).await.error().1, 40);
    // And back: what the engine's front compresses, it takes again.
    let select = [("query", "SELECT n FROM b"), ("compress", "1"), ("default_format", "RowBinary")];
    let compressed = engine.post(&select, "").await;
    assert!(compressed.body.len() < 800_000, "{}", compressed.body.len());
    engine.post(&insert, compressed.body).await.ok();
    assert_eq!(engine.sql("SELECT count(), sum(n) FROM b").await, "200000\t9999900000");
}
