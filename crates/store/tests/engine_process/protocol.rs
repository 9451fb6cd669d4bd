//! Parameters, headers, formats, errors, refusals.

use super::harness::{Engine, send};

#[tokio::test]
async fn health_paths_answer_ok_and_unknown_paths_are_named() {
    let (engine, _directory) = Engine::start(&[]);
    for path in ["/ping", "/replicas_status", "/"] {
        let answer = send(reqwest::Client::builder().build().unwrap().get(engine.url() + path)).await;
        assert_eq!(answer.ok(), "Ok.\n", "{path}");
    }
    let answer = send(reqwest::Client::builder().build().unwrap().get(engine.url() + "/nope")).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "There is no handle /nope\n"));
}

#[tokio::test]
async fn an_answer_carries_clickhouses_headers_with_real_numbers() {
    let (engine, _directory) = Engine::start(&[]);
    let answer = engine
        .post(&[("default_format", "JSONEachRow"), ("query_id", "q-1")], "SELECT number FROM numbers(1000)")
        .await;
    assert_eq!(answer.ok().lines().count(), 1000);
    assert_eq!(answer.header("x-clickhouse-format"), "JSONEachRow");
    assert_eq!(answer.header("x-clickhouse-query-id"), "q-1");
    assert_eq!(answer.header("x-clickhouse-timezone"), "UTC");
    assert!(!answer.header("x-clickhouse-server-display-name").is_empty());
    assert_eq!(answer.header("content-type"), "application/x-ndjson; charset=UTF-8");
    let summary: serde_json::Value = serde_json::from_str(answer.header("x-clickhouse-summary")).unwrap();
    assert_eq!(summary["read_rows"], "1000");
    assert_eq!(summary["result_rows"], "1000");
    assert_eq!(summary["read_bytes"], "8000");
    assert!(summary["elapsed_ns"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{summary}");
}

#[tokio::test]
async fn url_and_body_are_one_statement_and_the_statements_format_wins() {
    let (engine, _directory) = Engine::start(&[]);
    let answer = engine.post(&[("query", "SELECT 1 AS a, 'x' AS b"), ("default_format", "CSV")], "").await;
    assert_eq!(answer.ok(), "1,\"x\"\n");
    let answer =
        engine.post(&[("query", "SELECT 1 AS"), ("default_format", "CSV")], "a FORMAT JSONEachRow").await;
    assert_eq!(answer.ok(), "{\"a\":1}\n");
    let answer = engine.get(&[("query", "SELECT timezone(), toDateTime(0)")]).await;
    assert_eq!(answer.ok(), "UTC\t1970-01-01 00:00:00\n");
}

#[tokio::test]
async fn database_settings_and_parameters_hold_for_one_request_only() {
    let (engine, _directory) = Engine::start(&["connections=1"]);
    engine.sql("CREATE DATABASE `a``b`").await;
    let asked = "SELECT currentDatabase(), getSetting('max_threads'), {x:String} || {y:UInt8}::String";
    let parameters =
        [("database", "a`b"), ("max_threads", "7"), ("param_x", "it's; \\\\ \\n"), ("param_y", "3")];
    assert_eq!(engine.post(&parameters, asked).await.ok(), "a`b\t7\tit\\'s; \\\\ \\n3\n");
    let plain = "SELECT currentDatabase(), getSetting('max_threads') = 7";
    assert_eq!(engine.sql(plain).await, "default\t0");
    engine.sql("SET max_threads = 7").await;
    engine.sql("USE `a``b`").await;
    assert_eq!(engine.sql(plain).await, "default\t0", "SET and USE do not reach the next request");
}

#[tokio::test]
async fn a_failed_query_leaves_nothing_for_the_next_one_on_its_connection() {
    let (engine, _directory) = Engine::start(&["connections=1"]);
    let big = "SELECT number, toString(number) FROM numbers(1000000) FORMAT JSON";
    let failed = engine.post(&[("max_result_bytes", "100000")], big).await;
    assert_eq!(failed.error(), (500, 396));
    assert_eq!(engine.sql("SELECT 1").await, "1");
}

#[tokio::test]
async fn errors_have_the_servers_code_status_and_text() {
    let (engine, _directory) = Engine::start(&[]);
    for (sql, status, code) in [
        ("SELEC 1", 400, 62),
        ("SELECT * FROM nope", 404, 60),
        ("SELECT * FROM nope.nope", 404, 81),
        ("SELECT nope", 404, 47),
        ("SELECT nope(1)", 404, 46),
        ("SELECT 1 FORMAT Nope", 404, 73),
        ("INSERT INTO nope FORMAT CSV\n1", 404, 60),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT {x:UInt8}", 500, 456),
        ("CREATE TEMPORARY TABLE t (a UInt8) ENGINE = Memory", 501, 48),
        ("", 400, 62),
    ] {
        let answer = engine.post(&[], sql).await;
        assert_eq!(answer.error(), (status, code), "{sql}: {}", answer.text());
        assert!(answer.text().contains("(version "), "{}", answer.text());
    }
    let answer = engine.post(&[("no_such_setting", "1")], "SELECT 1").await;
    assert_eq!(answer.error(), (404, 115));
    assert!(answer.text().contains("no_such_setting"), "{}", answer.text());
    let answer = engine.post(&[("a=1, b", "1")], "SELECT 1").await;
    assert_eq!(answer.error(), (400, 36));
    assert_eq!(engine.post(&[("database", "nope")], "SELECT 1").await.error(), (404, 81));
}

#[tokio::test]
async fn reading_is_all_that_get_and_readonly_allow() {
    let (engine, _directory) = Engine::start(&["connections=1"]);
    let create = "CREATE TABLE t (a UInt8) ENGINE = Memory";
    assert_eq!(engine.get(&[("query", create)]).await.error(), (500, 164));
    assert_eq!(engine.post(&[("readonly", "1")], create).await.error(), (500, 164));
    assert_eq!(engine.get(&[("query", "SELECT 1 SETTINGS max_threads = 1")]).await.ok(), "1\n");
    let with_settings =
        [("readonly", "1"), ("max_threads", "3"), ("query", "SELECT getSetting('max_threads')")];
    assert_eq!(engine.post(&with_settings, "").await.ok(), "3\n");
    engine.sql(create).await;
    let insert = [("query", "INSERT INTO t FORMAT CSV"), ("readonly", "1")];
    assert_eq!(engine.post(&insert, "1\n").await.error(), (500, 164));
    assert_eq!(engine.sql("SELECT count() FROM t").await, "0");
}

#[tokio::test]
async fn several_statements_are_refused_before_any_runs() {
    let (engine, _directory) = Engine::start(&[]);
    let create = "CREATE TABLE t (a UInt8) ENGINE = Memory";
    for rest in ["SELECT 1", "garbage", create] {
        assert_eq!(engine.post(&[], format!("{create}; {rest}")).await.error(), (400, 62), "{rest}");
    }
    assert_eq!(engine.sql("EXISTS TABLE t").await, "0");
    assert_eq!(engine.sql("SELECT ';' ; -- the end").await, ";");
}

#[tokio::test]
async fn no_query_reaches_files_or_the_network() {
    let (engine, directory) = Engine::start(&[]);
    let file = directory.path().join("out.csv");
    let file = file.to_str().unwrap();
    for (sql, code) in [
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')".to_owned(), 497),
        ("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')".to_owned(), 497),
        ("SELECT * FROM remote('127.0.0.1', 'system.one')".to_owned(), 497),
        (format!("INSERT INTO FUNCTION file('{file}', 'CSV', 'a UInt8') VALUES (1)"), 497),
        ("CREATE TABLE f (a UInt8) ENGINE = File(CSV)".to_owned(), 497),
        ("CREATE TABLE u (a UInt8) ENGINE = URL('http://127.0.0.1:1/', CSV)".to_owned(), 497),
        (format!("SELECT 1 INTO OUTFILE '{file}'"), 48),
        (format!("INSERT INTO t FROM INFILE '{file}' FORMAT CSV"), 48),
    ] {
        let answer = engine.post(&[], sql.clone()).await;
        assert_eq!(answer.error().1, code, "{sql}: {}", answer.text());
    }
    assert!(!std::path::Path::new(file).exists());
}

#[tokio::test]
async fn a_configured_password_is_required_everywhere_but_on_ping() {
    let (engine, _directory) = Engine::start(&["password=s3cret"]);
    assert_eq!(engine.post(&[], "SELECT 1").await.error(), (403, 516));
    assert_eq!(engine.post(&[("password", "wrong")], "SELECT 1").await.error(), (403, 516));
    let basic =
        engine.request(reqwest::Method::POST, &[]).basic_auth("anyone", Some("s3cret")).body("SELECT 1");
    assert_eq!(send(basic).await.ok(), "1\n");
    let key =
        engine.request(reqwest::Method::POST, &[]).header("X-ClickHouse-Key", "s3cret").body("SELECT 1");
    assert_eq!(send(key).await.ok(), "1\n");
    let ping = reqwest::Client::builder().build().unwrap().get(engine.url() + "/ping");
    assert_eq!(send(ping).await.ok(), "Ok.\n");
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    let (engine, _directory) = Engine::start(&[]);
    for statement in ["SET max_threads = 1", "USE default"] {
        let answer = engine.post(&[("session_id", "s")], statement).await;
        assert_eq!(answer.error(), (501, 48));
        assert!(answer.text().contains("session_id"), "{}", answer.text());
    }
    let brotli = engine.request(reqwest::Method::POST, &[]).header("Content-Encoding", "br").body("x");
    assert_eq!(send(brotli).await.error(), (501, 48));
    assert_eq!(engine.post(&[("role", "r")], "SELECT 1").await.error(), (501, 48));
    let put = engine.request(reqwest::Method::PUT, &[("query", "SELECT 1")]);
    assert_eq!(send(put).await.status, 405);
}

#[tokio::test]
async fn a_session_that_nothing_is_kept_in_is_no_reason_to_refuse() {
    let (engine, _directory) = Engine::start(&[]);
    let session = [("session_id", "s"), ("session_timeout", "60"), ("max_threads", "2")];
    assert_eq!(engine.post(&session, "SELECT getSetting('max_threads')").await.ok(), "2\n");
    engine.post(&session, "CREATE TABLE t (a UInt8) ENGINE = Memory").await.ok();
    engine.post(&session, "INSERT INTO t FORMAT CSV\n1").await.ok();
    assert_eq!(engine.post(&session, "SELECT count() FROM t").await.ok(), "1\n");
}

#[tokio::test]
async fn bodies_may_come_in_gzip_or_lz4_frames() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a").await;
    let rows = (0..50_000).map(|row| format!("{row}\n")).collect::<Vec<_>>().concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, rows.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    // Magic; version 1, blocks of their own; blocks up to 4 MiB; a checksum of the head; one block; the end.
    let block = lz4_flex::block::compress(rows.as_bytes());
    let mut lz4 = vec![0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 7 << 4, 0];
    lz4.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
    lz4.extend_from_slice(&block);
    lz4.extend_from_slice(&[0; 4]);
    for (encoding, body) in [("gzip", gzip), ("lz4", lz4)] {
        let insert = || engine.request(reqwest::Method::POST, &[("query", "INSERT INTO t FORMAT TSV")]);
        let request = insert().header("Content-Encoding", encoding).body(body.clone());
        send(request).await.ok();
        assert_eq!(engine.sql("SELECT count(), sum(a) FROM t").await, "50000\t1249975000", "{encoding}");
        let request = insert().header("Content-Encoding", encoding).body(body[..body.len() / 2].to_vec());
        assert_eq!(send(request).await.error().1, 271, "{encoding}");
        engine.sql("TRUNCATE TABLE t").await;
    }
}

#[tokio::test]
async fn a_web_page_cannot_write_to_it() {
    let (engine, _directory) = Engine::start(&[]);
    let create = "CREATE TABLE t (a UInt8) ENGINE = Memory";
    for (name, value) in [("Origin", "https://attacker.example"), ("Host", "attacker.example:8123")] {
        let request = engine.request(reqwest::Method::POST, &[]).header(name, value).body(create);
        assert_eq!(send(request).await.status, 403, "{name}");
    }
    assert_eq!(engine.sql("EXISTS TABLE t").await, "0");
    let (engine, _directory) = Engine::start(&["password=s3cret"]);
    let other = engine.request(reqwest::Method::POST, &[]).header("Host", "tillwatch:8123");
    assert_eq!(send(other.basic_auth("any", Some("s3cret")).body("SELECT 1")).await.ok(), "1\n");
}

#[tokio::test]
async fn nothing_temporary_outlives_its_request() {
    let (engine, _directory) = Engine::start(&["connections=1"]);
    for create in [
        "CREATE OR REPLACE TEMPORARY TABLE t (a UInt8) ENGINE = Memory",
        "CREATE /* */ TEMPORARY TABLE t (a UInt8)",
        "CREATE TEMPORARY VIEW t AS SELECT 1",
        "REPLACE TEMPORARY TABLE t (a UInt8) ENGINE = Memory",
    ] {
        let answer = engine.post(&[], create).await;
        assert!(answer.status >= 400, "{create}");
        assert_eq!(engine.sql("EXISTS TEMPORARY TABLE t").await, "0", "{create}");
    }
}

#[tokio::test]
async fn statements_of_every_kind_answer() {
    let (engine, _directory) = Engine::start(&[]);
    engine.sql("CREATE DATABASE d").await;
    engine.sql("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    engine.sql("INSERT INTO d.t SELECT number FROM numbers(10)").await;
    engine.sql("CREATE MATERIALIZED VIEW d.v ENGINE = AggregatingMergeTree ORDER BY m AS SELECT a % 2 AS m, uniqExactState(a) AS u FROM d.t GROUP BY m").await;
    engine.sql("ALTER TABLE d.t DELETE WHERE a < 5 SETTINGS mutations_sync = 1").await;
    assert_eq!(engine.sql("SELECT count() FROM d.t").await, "5");
    assert_eq!(engine.sql("SHOW TABLES FROM d LIKE '%t%' ").await.lines().next_back(), Some("t"));
    assert!(engine.sql("DESC TABLE d.t").await.starts_with("a\tUInt64"));
    assert_eq!(engine.sql("WITH 1 AS x SELECT x UNION ALL SELECT 2 ORDER BY x").await, "1\n2");
    assert_eq!(
        engine.sql("SELECT a % 2 AS m, count() FROM d.t GROUP BY m WITH TOTALS ORDER BY m").await,
        "0\t2\n1\t3\n\n0\t5"
    );
    assert!(engine.sql("EXPLAIN SELECT 1").await.contains("ReadFromSystemOne"));
    let empty = engine
        .post(&[("default_format", "RowBinaryWithNamesAndTypes")], "SELECT a FROM d.t WHERE a > 99")
        .await;
    assert_eq!(empty.body, b"\x01\x01a\x06UInt64");
    assert_eq!(
        engine.post(&[("default_format", "Native")], "SELECT a FROM d.t WHERE a > 99").await.body,
        b""
    );
}
