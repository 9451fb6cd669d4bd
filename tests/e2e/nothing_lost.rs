//! Nothing lost, counted once: full traffic with duplicates while the server is killed (-9) again and again. What is
//! stored must then equal the simulator's own ledger exactly.
//!
//! `TILLWATCH_TEST_KILLS=20` makes it as long as a release wants it; the default is shorter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payments::UnixMillis;
use rand::{RngExt as _, SeedableRng as _};
use runtime::SystemClock;
use runtime::config::Config;
use simulator::ledger::{Ledger, Total, TotalKey};
use simulator::simulate::{SimulateConfig, run};
use simulator::{SimulatedSource, Target};
use tokio_util::sync::CancellationToken;

use crate::harness::{Installation, until};

const RATE_PER_S: f64 = 400.0;
const DUPLICATES: f64 = 0.05;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_stored_once_however_often_the_server_is_killed() {
    let kills: usize = std::env::var("TILLWATCH_TEST_KILLS").map_or(5, |text| text.parse().unwrap());
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let ledger_file = installation.path("ledger.jsonl");
    let mut server = installation.serve_ready().await;

    let stop = CancellationToken::new();
    let simulation = tokio::spawn(run(simulation(&installation), Arc::new(SystemClock), stop.clone()));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for _ in 0..kills {
        let stored_before = stored(&installation).await;
        let more: u64 = random.random_range(50..600);
        // Kill at a random amount of progress, mid-batch, mid-commit, mid-insert as it comes.
        until("webhooks are being stored", async || stored(&installation).await > stored_before + more).await;
        server.kill();
        server = installation.serve_ready().await;
    }
    stop.cancel();
    let report = simulation.await.unwrap().unwrap();
    let ledger = Ledger::read(&ledger_file).unwrap();
    assert!(report.events > 1_000 && report.duplicates > 10, "{report:?}");

    compare(&installation, &ledger).await;
    // SIGTERM drains with exit code 0, and a restart changes no number.
    assert_eq!(tokio::task::spawn_blocking(|| server.terminate()).await.unwrap(), 0);
    let _server = installation.serve_ready().await;
    compare(&installation, &ledger).await;
}

fn simulation(installation: &Installation) -> SimulateConfig {
    let file = installation.path("tillwatch.toml");
    let config = Config::load(&file, &installation.path("data"), std::iter::empty()).unwrap();
    let sources = config
        .sources
        .iter()
        .map(|source| SimulatedSource {
            name: source.name.clone(),
            provider: source.provider,
            secret: source.secrets[0].resolve(&config.folder()).unwrap(),
            settings: source.settings(),
        })
        .collect();
    let target = Target::parse(&format!("http://127.0.0.1:{}", installation.ingest)).unwrap();
    let mut simulation = SimulateConfig::new(11, target, sources);
    simulation.rate_per_s = RATE_PER_S;
    simulation.schedule.duplicate_share = DUPLICATES;
    simulation.schedule.delay_scale = 0.1;
    simulation.schedule.retry_delay = Duration::from_millis(200);
    simulation.schedule.retry_delay_max = Duration::from_secs(2);
    simulation.ledger = Some(installation.path("ledger.jsonl"));
    simulation
}

/// Rows of `webhooks`, 0 while ClickHouse does not answer.
async fn stored(installation: &Installation) -> u64 {
    let count = installation.ask("SELECT count() FROM tillwatch.webhooks").await;
    count.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Identity, meaning and money of a fact, as text.
type Fact = (String, String);

async fn compare(installation: &Installation, ledger: &Ledger) {
    let required: BTreeMap<Fact, String> = facts(ledger.acknowledged());
    let allowed: BTreeMap<Fact, String> = facts(ledger.unacknowledged());
    until("every acknowledged fact is stored", async || {
        let rows = stored_facts(installation).await;
        required.keys().all(|key| rows.contains_key(key))
    })
    .await;

    let rows = stored_facts(installation).await;
    let count = installation.ask("SELECT count() FROM tillwatch.payment_events").await.unwrap();
    assert_eq!(count, rows.len().to_string(), "a fact is there twice");
    for (key, meaning) in &required {
        assert_eq!(rows.get(key), Some(meaning), "{key:?}");
    }
    for (key, meaning) in &rows {
        let known = required.get(key).or_else(|| allowed.get(key));
        assert_eq!(known, Some(meaning), "stored, but never posted: {key:?}");
    }

    let acknowledged: u64 = ledger.events.values().map(|event| u64::from(event.acknowledged)).sum();
    let posted: u64 = ledger.events.values().map(|event| u64::from(event.requests)).sum();
    let webhooks = stored(installation).await;
    assert!((acknowledged..=posted).contains(&webhooks), "{acknowledged} <= {webhooks} <= {posted}");
    let orphans = "SELECT count() FROM tillwatch.payment_events \
                   WHERE webhook_id NOT IN (SELECT webhook_id FROM tillwatch.webhooks)";
    assert_eq!(installation.ask(orphans).await.unwrap(), "0");
    assert_eq!(installation.ask("SELECT count() FROM tillwatch.parked_webhooks").await.unwrap(), "0");
    if ledger.unacknowledged().count() == 0 {
        assert_eq!(rollup(installation).await, ledger.totals());
    }
}

fn facts<'a>(
    events: impl Iterator<Item = (&'a (String, String), &'a simulator::ledger::LedgerEvent)>,
) -> BTreeMap<Fact, String> {
    let mut facts = BTreeMap::new();
    for ((source, _), event) in events {
        for fact in &event.facts {
            let identity = (source.clone(), format!("{} {}", fact.event_id, fact.fact));
            let meaning = format!(
                "{} {} {} {} {} {}",
                fact.kind,
                fact.outcome,
                fact.amount_minor.unwrap_or(0),
                fact.currency,
                fact.decline_category,
                fact.occurred_at.0
            );
            facts.insert(identity, meaning);
        }
    }
    facts
}

async fn stored_facts(installation: &Installation) -> BTreeMap<Fact, String> {
    let sql = "SELECT source, event_id || ' ' || toString(fact), concat(kind, ' ', outcome, ' ', \
               toString(amount_minor), ' ', currency, ' ', decline_category, ' ', \
               toString(toUnixTimestamp64Milli(occurred_at))) FROM tillwatch.payment_events FORMAT TSV";
    let text = installation.ask(sql).await.unwrap_or_default();
    let lines = text.lines().map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        ((fields.next().unwrap(), fields.next().unwrap()), fields.next().unwrap())
    });
    lines.collect()
}

async fn rollup(installation: &Installation) -> BTreeMap<TotalKey, Total> {
    let sql = "SELECT source, kind, outcome, currency, toUnixTimestamp(minute) * 1000, count(), sum(amount_minor) \
               FROM tillwatch.payment_minutes GROUP BY ALL FORMAT TSV";
    let text = installation.ask(sql).await.unwrap();
    let lines = text.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let key = TotalKey {
            source: fields[0].to_owned(),
            kind: fields[1].to_owned(),
            outcome: fields[2].to_owned(),
            currency: fields[3].to_owned(),
            minute: UnixMillis(fields[4].parse().unwrap()),
        };
        (key, Total { facts: fields[5].parse().unwrap(), amount_minor: fields[6].parse().unwrap() })
    });
    lines.collect()
}
