//! Ends of every kind: asked, killed, orphaned; and what is found afterwards.

use std::process::{Command, Stdio};
use std::time::Duration;

use store::engine::{Health, Supervisor, SupervisorConfig};
use tokio::sync::watch;

use super::harness::{BINARY, DEADLINE, Engine, command, eventually, library};

const CREATE: &str = "CREATE TABLE t (batch UInt64, n UInt64, s String) ENGINE = MergeTree ORDER BY (batch, n) \
     SETTINGS non_replicated_deduplication_window = 1000";

/// One batch of 2,000 rows as CSV.
fn batch(number: u64) -> String {
    (0..2_000).map(|n| format!("{number},{n},{}\n", "y".repeat(200))).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_stopped_engine_finishes_what_runs_exits_cleanly_and_opens_again() {
    let (engine, directory) = Engine::start(&[]);
    engine.sql(CREATE).await;
    let sleep = "SELECT sleepEachRow(1) FROM numbers(2) SETTINGS max_block_size = 1";
    let running = engine.request(reqwest::Method::POST, &[]).body(sleep).send();
    let running =
        tokio::task::JoinSet::from_iter([async move { running.await.unwrap().text().await.unwrap() }]);
    eventually("the query runs", async || {
        engine.sql("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(1)%' AND query NOT LIKE '%processes%'").await == "1"
    })
    .await;
    engine.post(&[("query", "INSERT INTO t FORMAT CSV")], batch(1)).await.ok();
    let stopped = tokio::task::spawn_blocking(|| engine.stop()).await.unwrap();
    assert_eq!(running.join_all().await, ["0\n0\n"]);
    assert_eq!(stopped.code(), Some(0), "{stopped}");
    let engine = Engine::start_in(directory.path(), &[]);
    assert_eq!(engine.sql("SELECT count() FROM t").await, "2000");
    assert_eq!(engine.stop().code(), Some(0));
}

#[tokio::test]
async fn after_a_kill_in_mid_insert_every_answered_batch_is_there_and_none_is_half() {
    let directory = tempfile::tempdir().unwrap();
    let mut answered = 0_u64;
    for round in 0..4_u32 {
        let mut engine = Engine::start_in(directory.path(), &[]);
        if round == 0 {
            engine.sql(CREATE).await;
        }
        // Insert until the engine dies under us: killed while the batch after so many answered ones is on its way.
        let last = answered + 2 + u64::from(round);
        let pid = engine.child.id().to_string();
        let mut killer = None;
        let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
        let url = format!("{}/?query=INSERT%20INTO%20t%20FORMAT%20CSV", engine.url());
        loop {
            if answered >= last && killer.is_none() {
                killer = Some(Command::new("kill").args(["-9", &pid]).spawn().unwrap());
            }
            match client.post(&url).body(batch(answered + 1)).send().await {
                Ok(response) if response.status() == 200 => answered += 1,
                _ => break,
            }
        }
        assert!(killer.unwrap().wait().unwrap().success());
        assert!(!engine.wait().success());
        let engine = Engine::start_in(directory.path(), &[]);
        let torn = "SELECT count() FROM (SELECT batch FROM t GROUP BY batch HAVING count() != 2000 OR uniqExact(n) != 2000)";
        assert_eq!(engine.sql(torn).await, "0", "round {round}: half a batch");
        let whole = format!("SELECT uniqExact(batch) FROM t WHERE batch <= {answered}");
        assert_eq!(
            engine.sql(&whole).await,
            answered.to_string(),
            "round {round}: an answered batch is missing"
        );
        // The batch in flight may be there or not; the next round goes on behind it.
        answered = engine.sql("SELECT max(batch) FROM t").await.parse::<u64>().unwrap();
        assert_eq!(engine.stop().code(), Some(0));
    }
    assert!(answered > 0, "no round inserted anything");
}

#[tokio::test]
async fn a_second_engine_on_the_same_directory_is_refused_by_name() {
    let (_engine, directory) = Engine::start(&[]);
    let output = command(directory.path(), &["lock_wait_ms_max=200"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("another engine is using"), "{error}");
    assert!(error.contains(directory.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn an_engine_waits_for_its_predecessor_to_go() {
    let (first, directory) = Engine::start(&[]);
    first.sql(CREATE).await;
    let mut second = command(directory.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(first.stop().code(), Some(0));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(second.stdout.take().unwrap()), &mut line)
        .unwrap();
    let client = clickhouse::Client::default().with_url(format!("http://{}", line.trim()));
    let tables: Vec<String> = client.query("SHOW TABLES").fetch_all().await.unwrap();
    assert_eq!(tables, ["t"]);
    drop(second.stdin.take());
    assert!(second.wait().unwrap().success());
}

#[tokio::test]
async fn a_damaged_library_is_an_error_that_says_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let fake = directory.path().join("libchdb.so");
    std::fs::write(&fake, "not a library").unwrap();
    let output = command(directory.path(), &[]).env("TILLWATCH_ENGINE_LIBRARY", &fake).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot load the engine library") && error.contains("engine fetch"), "{error}");
}

/// An address nobody listens on.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until the supervisor tells a state like that.
async fn let_health(health: &watch::Receiver<Health>, condition: impl FnMut(&Health) -> bool) -> Health {
    let mut health = health.clone();
    tokio::time::timeout(DEADLINE, health.wait_for(condition)).await.unwrap().unwrap().clone()
}

async fn process_of(address: std::net::SocketAddr) -> Option<u32> {
    let answer = reqwest::get(format!("http://{address}/ping")).await.ok()?;
    answer.headers().get("x-tillwatch-engine-process")?.to_str().ok()?.parse().ok()
}

#[tokio::test]
async fn the_supervisor_starts_restarts_and_stops_its_engine() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let arguments =
        ["serve".into(), directory.path().into(), address.to_string().into()].into_iter().collect();
    // The child finds the library as everyone does.
    let _ = library();
    let supervisor = Supervisor::new(SupervisorConfig::new(BINARY, arguments, address));
    let health = supervisor.health();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(supervisor.run(async {
        let _ = stopped.await;
    }));
    let_health(&health, |health| health.ready).await;
    assert_eq!(health.borrow().restarts, 0);
    let first = process_of(address).await.unwrap();
    assert!(Command::new("kill").args(["-9", &first.to_string()]).status().unwrap().success());
    eventually("it is ready again", async || {
        let now = health.borrow().clone();
        now.ready && now.restarts == 1
    })
    .await;
    let second = process_of(address).await.unwrap();
    assert_ne!(first, second);
    stop.send(()).unwrap();
    let stopping = let_health(&health, |health| !health.ready).await;
    assert_eq!(stopping.trouble.as_deref(), Some("stopping"));
    tasks.join_all().await;
    assert!(!health.borrow().ready);
    assert_eq!(process_of(address).await, None);
}

#[tokio::test]
async fn an_engine_that_no_longer_answers_is_killed_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let arguments = vec!["serve".into(), directory.path().into(), address.to_string().into()];
    let _ = library();
    let mut config = SupervisorConfig::new(BINARY, arguments, address);
    config.look_every = Duration::from_millis(20);
    config.answer_max = Duration::from_millis(500);
    let supervisor = Supervisor::new(config);
    let health = supervisor.health();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(supervisor.run(std::future::pending()));
    let_health(&health, |health| health.ready).await;
    let stuck = process_of(address).await.unwrap().to_string();
    // It still takes connections, as a stopped process does.
    assert!(Command::new("kill").args(["-STOP", &stuck]).status().unwrap().success());
    let silent = let_health(&health, |health| !health.ready).await;
    assert_eq!((silent.restarts, silent.trouble.as_deref()), (0, Some("does not answer")));
    let restarted = let_health(&health, |health| health.restarts == 1).await;
    assert_eq!(restarted.trouble.as_deref(), Some("does not answer any more"));
    let_health(&health, |health| health.ready).await;
    assert_ne!(process_of(address).await.unwrap().to_string(), stuck);
}

#[tokio::test]
async fn a_taken_port_is_told_at_once_and_not_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let arguments = vec!["serve".into(), directory.path().into(), address.to_string().into()];
    let _ = library();
    let supervisor = Supervisor::new(SupervisorConfig::new(BINARY, arguments, address));
    let health = supervisor.health();
    tokio::time::timeout(DEADLINE, supervisor.run(std::future::pending())).await.unwrap();
    let Health { given_up, restarts, trouble, .. } = health.borrow().clone();
    assert!(given_up && restarts == 0);
    let trouble = trouble.unwrap();
    assert!(
        trouble.starts_with(&format!("cannot listen on {address}: stop what listens there")),
        "{trouble}"
    );
}

#[tokio::test]
async fn an_engine_that_cannot_start_is_trouble_the_supervisor_tells() {
    let arguments = vec!["no-such-command".into()];
    let supervisor = Supervisor::new(SupervisorConfig::new(BINARY, arguments, free_address()));
    let health = supervisor.health();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(supervisor.run(std::future::pending()));
    let trouble = let_health(&health, |health| health.trouble.is_some()).await.trouble.unwrap();
    assert!(trouble.contains("usage: store-engine") && trouble.contains("(exit status: 1)"), "{trouble}");
}

#[tokio::test]
async fn no_engine_outlives_its_killed_parent() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut parent = Command::new(BINARY)
        .env("TILLWATCH_ENGINE_LIBRARY", library())
        .arg("supervise")
        .arg(directory.path())
        .arg(address.to_string())
        .spawn()
        .unwrap();
    eventually("the engine serves", async || process_of(address).await.is_some()).await;
    let engine = process_of(address).await.unwrap();
    assert_ne!(engine, parent.id());
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the engine is gone", async || {
        !Command::new("kill")
            .args(["-0", &engine.to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    })
    .await;
    // And it left the database properly.
    let engine = Engine::start_in(directory.path(), &[]);
    assert_eq!(engine.sql("SELECT 1").await, "1");
}
