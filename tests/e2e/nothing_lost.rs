//! Nothing lost, counted once: load as fast as it is taken, with duplicates, while the server is killed (-9) again and
//! again, also while it recovers from the last kill. What is stored and shown must then equal the generator's own ledger.
//!
//! `TILLWATCH_TEST_KILLS=20` makes it as long as a release wants it; the default is shorter.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runtime::SystemClock;
use simulator::ledger::Ledger;
use simulator::load::{LoadConfig, LoadReport, Pace, run};
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, Installation, Server, until};
use crate::truth::{compare, number};

const DUPLICATES: f64 = 0.05;

/// New events are made for so long in each round; then each is sent until it is acknowledged.
const ROUND: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_stored_once_however_often_the_server_is_killed() {
    let kills: u32 = std::env::var("TILLWATCH_TEST_KILLS").map_or(6, |text| text.parse().unwrap());
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let mut server = installation.serve_ready().await;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut killed, mut duplicates) = (0, 0);
    let mut ledgers = Vec::new();
    while killed < kills {
        let ledger = installation.path(&format!("ledger-{killed}.jsonl"));
        let load = load(&installation, u64::from(killed), &ledger);
        ledgers.push(ledger);
        let load = tokio::spawn(run(load, Arc::new(SystemClock), CancellationToken::new()));
        server = kill_in_the_middle(&installation, server, &mut random).await;
        killed += 1;
        if killed < kills && random.random_bool(0.5) {
            // And again, before it has recovered.
            reach(&installation, &mut server, &mut random).await;
            server.kill();
            killed += 1;
            server = installation.serve();
        }
        installation.until_ready(&mut server, "").await;
        let report: LoadReport = load.await.unwrap().unwrap();
        assert_eq!(
            report.events, report.acknowledged_events,
            "not all was acknowledged in the end: {report}"
        );
        duplicates += report.duplicates;
    }
    let ledger = joined(&installation, &ledgers);
    assert!(ledger.events.len() > 1_000 && duplicates > 10, "{} events", ledger.events.len());
    eprintln!("{killed} kills, {} events, {duplicates} duplicates", ledger.events.len());

    compare(&installation, &ledger).await;
    // Killed processes take their last counts with them: too little is counted, and nothing called missing.
    assert_eq!(number(&installation, "SELECT sum(missing) FROM tillwatch.completeness").await, 0);
    assert!(number(&installation, "SELECT sum(acknowledged) FROM tillwatch.completeness").await > 1_000);
    // SIGTERM drains with exit code 0, and a restart changes no number.
    assert_eq!(server.terminate().await, 0);
    let _server = installation.serve_ready().await;
    compare(&installation, &ledger).await;
}

fn load(installation: &Installation, seed: u64, ledger: &Path) -> LoadConfig {
    let mut load = LoadConfig::new(seed, installation.target(), installation.sources());
    load.pace = Pace::FlatOut;
    load.connections = 32;
    load.warm_up = Duration::ZERO;
    load.duration = ROUND;
    load.duplicate_share = DUPLICATES;
    load.retry = true;
    load.drain = 2 * DEADLINE;
    load.request_timeout = Duration::from_secs(5);
    load.ledger = Some(ledger.to_owned());
    load
}

/// Kills at a random amount of progress, mid-batch, mid-commit, mid-insert as it comes; and starts anew.
async fn kill_in_the_middle(installation: &Installation, server: Server, random: &mut ChaCha8Rng) -> Server {
    let webhooks = "SELECT count() FROM tillwatch.webhooks";
    let before = number(installation, webhooks).await;
    let more = random.random_range(50..600);
    until("webhooks are being stored", async || number(installation, webhooks).await > before + more).await;
    server.kill();
    installation.serve()
}

/// Lets a starting server come as far as chance wants.
async fn reach(installation: &Installation, server: &mut Server, random: &mut ChaCha8Rng) {
    let lines = || std::fs::read_to_string(installation.path("serve.log")).unwrap().lines().count();
    match random.random_range(0..4) {
        0 => {}
        1 => {
            let before = lines();
            until("it says something", async || lines() > before).await;
        }
        2 => installation.until_ready(server, "/ingest").await,
        _ => installation.until_ready(server, "/engine").await,
    }
}

/// One ledger out of many, whose events are different ones.
pub(crate) fn joined(installation: &Installation, ledgers: &[PathBuf]) -> Ledger {
    let path = installation.path("ledger.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut events = 0;
    for ledger in ledgers {
        file.write_all(&std::fs::read(ledger).unwrap()).unwrap();
        events += Ledger::read(ledger).unwrap().events.len();
    }
    let ledger = Ledger::read(&path).unwrap();
    assert_eq!(ledger.events.len(), events, "two rounds made the same event");
    ledger
}
