//! Acknowledged is stored: proven for a load through the real binary, and told when it is not so.

use std::sync::Arc;
use std::time::Duration;

use runtime::SystemClock;
use simulator::load::{LoadConfig, Pace, run};
use tokio_util::sync::CancellationToken;

use crate::harness::{Installation, until};
use crate::truth::number;

const RULE: &str = r#"type = "completeness"
severity = "critical"
owner = "oncall"
runbook = "https://runbooks.example/completeness"
recover_for_s = 0
"#;

/// Columns of the two tables, with the time two hours earlier.
const WEBHOOKS: &str = "INSERT INTO tillwatch.webhooks_stored (webhook_id, source, provider, received_at, stored_at, secret, \
    outcome, facts, traceparent, headers, body) SELECT webhook_id, source, provider, received_at - INTERVAL 2 HOUR, \
    stored_at, secret, outcome, facts, traceparent, headers, body FROM tillwatch.webhooks";
const ACKNOWLEDGED: &str = "INSERT INTO tillwatch.acknowledged_stored (minute, source, cell, instance, acknowledged, \
    fingerprint, uncertain, uncertain_ids, stored_at) SELECT minute - INTERVAL 2 HOUR, source, cell, instance, \
    acknowledged, fingerprint, uncertain, uncertain_ids, stored_at FROM tillwatch.acknowledged";

async fn missing_by_metric(installation: &Installation, source: &str) -> Option<u64> {
    let (_, text) = installation.admin("/metrics").await?;
    let line = text
        .lines()
        .find(|line| line.starts_with("tillwatch_completeness_missing_webhooks{") && line.contains(source))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// What alerting decided about the rule last, oldest first.
async fn decided(installation: &Installation) -> String {
    let sql = "SELECT arrayStringConcat(groupArray(to_state), ' ') FROM (SELECT to_state FROM tillwatch.alert_transitions \
               WHERE rule = 'completeness' ORDER BY at, id)";
    installation.ask(sql).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_webhook_is_proven_to_be_stored_and_one_that_is_not_is_told() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    installation.rule("completeness.toml", RULE);
    let env = [("TILLWATCH_ALERTING__COMPLETENESS_INTERVAL_MS", "500")];
    let mut server = installation.start("serve", &env);
    installation.until_ready(&mut server, "").await;
    let mut load = LoadConfig::new(7, installation.target(), installation.sources());
    load.pace = Pace::FlatOut;
    load.connections = 8;
    load.warm_up = Duration::ZERO;
    load.duration = Duration::from_secs(2);
    load.duplicate_share = 0.05;
    run(load, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();

    // Not even the simulator's parked ones or repeats leave a difference.
    let proof = "SELECT sum(missing) + sum(unaccounted), min(exact) AND sum(acknowledged) = sum(stored) + sum(parked) AND \
                 sum(acknowledged) > 500 FROM tillwatch.completeness";
    until("everything acknowledged is proven to be stored", async || {
        installation.ask(proof).await.is_ok_and(|proof| proof == "0\t1")
    })
    .await;
    let acknowledged = number(&installation, "SELECT sum(acknowledged) FROM tillwatch.completeness").await;
    assert_eq!(acknowledged, number(&installation, "SELECT count() FROM tillwatch.webhooks").await);

    // The same had it all been two hours ago, and one of it never stored.
    let lost = installation
        .ask("SELECT webhook_id, source FROM tillwatch.webhooks ORDER BY received_at LIMIT 1")
        .await
        .unwrap();
    let (id, source) = lost.split_once('\t').unwrap();
    installation.ask(&format!("{WEBHOOKS} WHERE webhook_id != '{id}'")).await.unwrap();
    installation.ask(ACKNOWLEDGED).await.unwrap();
    assert_eq!(number(&installation, "SELECT sum(missing) FROM tillwatch.completeness").await, 1);
    until("the metric says so", async || missing_by_metric(&installation, source).await == Some(1)).await;
    until("an alert fires", async || decided(&installation).await.ends_with("firing")).await;

    // It is found.
    installation
        .ask(&format!("{WEBHOOKS} WHERE webhook_id = '{id}' AND received_at > now() - INTERVAL 1 HOUR"))
        .await
        .unwrap();
    until("the metric says so", async || missing_by_metric(&installation, source).await == Some(0)).await;
    until("the alert ends", async || decided(&installation).await.ends_with("inactive")).await;

    // Rows that go are missing again.
    installation
        .ask(&format!("DELETE FROM tillwatch.webhooks_stored WHERE webhook_id = '{id}'"))
        .await
        .unwrap();
    assert_eq!(number(&installation, "SELECT sum(missing) FROM tillwatch.completeness").await, 2);
    assert_eq!(server.terminate().await, 0);
}
