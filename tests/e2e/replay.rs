//! What an older mapping made of webhooks is mapped again: shown first, put in its place when asked, and then equal to
//! what was posted, whatever the older mapping had got wrong.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use runtime::SystemClock;
use simulator::ledger::Ledger;
use simulator::load::{LoadConfig, Pace, run};
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, Installation, until};
use crate::nothing_lost::joined;
use crate::truth::{compare, number};

/// How an older mapping, which was wrong, would have stored it.
const OLDER: &[&str] = &[
    "CREATE TABLE tillwatch.kept AS tillwatch.payment_events_stored",
    "INSERT INTO tillwatch.kept SELECT * FROM tillwatch.payment_events_stored FINAL",
    "TRUNCATE TABLE tillwatch.payment_events_stored",
    "CREATE TABLE tillwatch.kept_places AS tillwatch.payment_event_places",
    "INSERT INTO tillwatch.kept_places SELECT * FROM tillwatch.payment_event_places FINAL",
    "TRUNCATE TABLE tillwatch.payment_event_places",
    "INSERT INTO tillwatch.payment_event_places SELECT * REPLACE (toUInt16(0) AS mapper_version, \
     occurred_at + INTERVAL 30 HOUR AS occurred_at) FROM tillwatch.kept_places WHERE source = 'adyen-eu'",
    "DROP TABLE tillwatch.kept_places",
    // A decline was called by a wrong name; a time was read in a wrong zone, for one provider into another day.
    "INSERT INTO tillwatch.payment_events_stored SELECT * REPLACE (toUInt16(0) AS mapper_version, \
     if(decline_category = 'insufficient_funds', 'other', decline_category) AS decline_category, \
     occurred_at + if(source = 'adyen-eu', INTERVAL 30 HOUR, INTERVAL 3 HOUR) AS occurred_at) \
     FROM tillwatch.kept WHERE source != 'shop'",
    // A fact that nothing tells any more.
    "INSERT INTO tillwatch.payment_events_stored SELECT * REPLACE (toUInt16(0) AS mapper_version, fact + 100 AS fact, \
     'JPY' AS currency, toInt64(4200) AS amount_minor) FROM tillwatch.kept WHERE source = 'stripe-us' LIMIT 10",
    // Nothing of one source was understood.
    "INSERT INTO tillwatch.webhooks_stored SELECT * REPLACE ('parked' AS outcome, toUInt16(0) AS facts, \
     stored_at + INTERVAL 1 MILLISECOND AS stored_at) FROM tillwatch.webhooks_stored FINAL WHERE source = 'shop'",
    "INSERT INTO tillwatch.parked_webhooks_stored \
     SELECT webhook_id, source, provider, received_at, stored_at, 'missing_field', 'no /kind', body \
     FROM tillwatch.webhooks WHERE source = 'shop'",
    "DROP TABLE tillwatch.kept",
];

/// Everything that is read, as one number.
const READ: &str = "SELECT (SELECT sum(cityHash64(*)) FROM tillwatch.payment_events), \
                    (SELECT sum(cityHash64(webhook_id, outcome, facts, body)) FROM tillwatch.webhooks), \
                    (SELECT sum(cityHash64(*)) FROM tillwatch.parked_webhooks)";

fn replay(installation: &Installation, arguments: &[&str]) -> Output {
    installation.command(&[&["replay"], arguments].concat()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

async fn loaded(installation: &Installation, seed: u64) -> std::path::PathBuf {
    let ledger = installation.path(&format!("ledger-{seed}.jsonl"));
    let mut load = LoadConfig::new(seed, installation.target(), installation.sources());
    (load.pace, load.connections, load.warm_up) = (Pace::PerSecond(600.0), 16, Duration::ZERO);
    (load.duration, load.drain, load.ledger) = (Duration::from_secs(3), DEADLINE, Some(ledger.clone()));
    load.duplicate_share = 0.1;
    let report = run(load, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
    assert_eq!(report.events, report.acknowledged_events, "{report}");
    ledger
}

/// What was posted, and is stored wrongly.
async fn stored_by_an_older_mapping(installation: &Installation) -> Ledger {
    let ledger = loaded(installation, 11).await;
    let truth = joined(installation, &[ledger]);
    compare(installation, &truth).await;
    for sql in OLDER {
        installation.ask(sql).await.unwrap();
    }
    truth
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_mapping_made_is_shown_beside_and_replaced_by_what_this_one_makes() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let _server = installation.serve_ready().await;
    let truth = stored_by_an_older_mapping(&installation).await;
    let before = installation.ask(READ).await.unwrap();

    let shown = replay(&installation, &[]);
    let text = said(&shown);
    assert!(shown.status.success(), "{text}");
    let shop = number(&installation, "SELECT count() FROM tillwatch.parked_webhooks").await;
    assert!(shop > 10 && text.contains(&format!("{shop} parked -> stored\n")), "{text}");
    assert!(text.contains(" 10 withdrawn, ") && text.contains("with another occurred_at"), "{text}");
    assert!(text.contains("with another decline_category") && !text.contains("adyen-eu"), "{text}");
    assert!(text.contains("stripe-us ") && text.contains("JPY"), "{text}");
    assert_eq!(installation.ask(READ).await.unwrap(), before, "shown, and nothing changed");
    eprintln!("{text}");

    // Something else is not begun over it, and one that lives is not gone on with.
    let other = replay(&installation, &["--source", "shop"]);
    assert!(!other.status.success() && said(&other).contains("--abandon"), "{}", said(&other));
    let alive = "INSERT INTO tillwatch.replay_run (parameters, instance, to_ms, phase) \
                 SELECT parameters, 'another', to_ms, phase FROM tillwatch.replay_run ORDER BY at DESC LIMIT 1";
    installation.ask(alive).await.unwrap();
    for arguments in [&["--apply"] as &[_], &["--abandon"]] {
        let second = replay(&installation, arguments);
        assert!(
            !second.status.success() && said(&second).contains("under way, on another"),
            "{}",
            said(&second)
        );
    }
    installation
        .ask("ALTER TABLE tillwatch.replay_run DELETE WHERE instance = 'another' SETTINGS mutations_sync = 2")
        .await
        .unwrap();

    let applied = replay(&installation, &["--apply"]);
    let text = said(&applied);
    assert!(
        applied.status.success() && text.contains("going on with") && text.contains("in place"),
        "{text}"
    );
    compare(&installation, &truth).await;
    let left = "SELECT count() FROM system.tables WHERE database = 'tillwatch' AND name LIKE 'replay%'";
    assert_eq!(number(&installation, left).await, 0);
    assert_eq!(
        number(&installation, "SELECT count() FROM tillwatch.payment_events WHERE mapper_version = 0").await,
        0
    );

    let again = replay(&installation, &[]);
    let text = said(&again);
    assert!(text.contains("nothing changes"), "{text}");
    assert!(said(&replay(&installation, &["--abandon"])).contains("there is no replay"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_replay_goes_on_and_loses_nothing_that_comes_meanwhile() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let _server = installation.serve_ready().await;
    let first = loaded(&installation, 11).await;
    compare(&installation, &joined(&installation, std::slice::from_ref(&first))).await;
    for sql in OLDER {
        installation.ask(sql).await.unwrap();
    }
    let mut command = installation.command(&["replay", "--apply"]);
    let mut killed = 0;
    for table in ["replay_webhooks_read", "replay_payment_events_stored"] {
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let rows = format!(
            "SELECT sum(rows) FROM system.parts WHERE database = 'tillwatch' AND table = '{table}' AND active"
        );
        until("it has begun", async || {
            number(&installation, &rows).await > 0 || child.try_wait().unwrap().is_some()
        })
        .await;
        killed += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        // Nobody is at work, as after two minutes of silence.
        let _ = installation
            .ask("ALTER TABLE tillwatch.replay_run UPDATE instance = '' WHERE 1 SETTINGS mutations_sync = 2")
            .await;
    }
    assert!(killed > 0, "it was too fast to be interrupted");
    // Mapped, then killed while it puts the days in their place: some are, and are attached again.
    let text = said(&replay(&installation, &[]));
    assert!(text.contains("going on with"), "{text}");
    let day = "SELECT max(partition_id) FROM system.parts \
               WHERE database = 'tillwatch' AND table = 'replay_payment_events_stored' AND active";
    let day = installation.ask(day).await.unwrap();
    let attach = format!(
        "ALTER TABLE tillwatch.payment_events_stored ATTACH PARTITION ID '{day}' \
         FROM tillwatch.replay_payment_events_stored"
    );
    installation.ask(&attach).await.unwrap();
    let applying = "INSERT INTO tillwatch.replay_run (parameters, instance, to_ms, phase) \
                    SELECT parameters, '', to_ms, 'applying' FROM tillwatch.replay_run ORDER BY at DESC LIMIT 1";
    installation.ask(applying).await.unwrap();
    // Looked at once more, it is still half in place.
    assert!(said(&replay(&installation, &[])).contains("going on with"));
    let abandoned = replay(&installation, &["--abandon"]);
    assert!(!abandoned.status.success() && said(&abandoned).contains("finish it"), "{}", said(&abandoned));
    let second = loaded(&installation, 12).await;
    let text = said(&replay(&installation, &["--apply"]));
    assert!(text.contains("in place"), "{text}");
    compare(&installation, &joined(&installation, &[first, second])).await;
}

/// One Stripe event was delivered twice, an older mapping read its time wrongly, and only the first delivery is replayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_is_there_once_whichever_of_its_deliveries_is_replayed() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let _server = installation.serve_ready().await;
    let ledger = loaded(&installation, 11).await;
    compare(&installation, &joined(&installation, &[ledger])).await;
    let facts = "SELECT count(), uniqExact(source, event_id, fact) FROM tillwatch.payment_events";
    let before = installation.ask(facts).await.unwrap();
    let twice = "SELECT argMin(webhook_id, received_at) FROM tillwatch.webhooks WHERE source = 'stripe-us' \
                 AND facts > 0 GROUP BY body HAVING count() = 2 LIMIT 1";
    let first = installation.ask(twice).await.unwrap();
    assert!(!first.is_empty(), "no event was delivered twice");
    for sql in [
        "CREATE TABLE tillwatch.kept AS tillwatch.payment_events_stored",
        "INSERT INTO tillwatch.kept SELECT * FROM tillwatch.payment_events_stored FINAL WHERE source = 'stripe-us'",
        "DELETE FROM tillwatch.payment_events_stored WHERE source = 'stripe-us' SETTINGS lightweight_deletes_sync = 2",
        "INSERT INTO tillwatch.payment_events_stored SELECT * REPLACE (toUInt16(0) AS mapper_version, \
         occurred_at + INTERVAL 3 HOUR AS occurred_at) FROM tillwatch.kept",
        "DROP TABLE tillwatch.kept",
    ] {
        installation.ask(sql).await.unwrap();
    }
    assert_eq!(installation.ask(facts).await.unwrap(), before);
    let text = said(&replay(&installation, &["--webhook", &first, "--apply"]));
    assert!(text.contains("in place") && !text.contains(" 0 changed"), "{text}");
    assert_eq!(installation.ask(facts).await.unwrap(), before, "{text}");
    let text = said(&replay(&installation, &["--source", "stripe-us", "--apply"]));
    assert!(text.contains("in place"), "{text}");
    assert_eq!(installation.ask(facts).await.unwrap(), before, "{text}");
}

/// A build that understands less takes nothing away that its own version told: it could not be given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_same_mapping_told_stays_and_a_half_dropped_replay_maps_anew() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let _server = installation.serve_ready().await;
    let truth = stored_by_an_older_mapping(&installation).await;
    assert!(replay(&installation, &[]).status.success());
    // Killed while it was thrown away.
    for table in ["replay_webhooks_read", "replay_payment_events_stored"] {
        installation.ask(&format!("DROP TABLE tillwatch.{table} SYNC")).await.unwrap();
    }
    let text = said(&replay(&installation, &["--apply"]));
    assert!(text.contains("going on with") && text.contains("in place"), "{text}");
    compare(&installation, &truth).await;
    let same = "INSERT INTO tillwatch.payment_events_stored SELECT * REPLACE (fact + 100 AS fact) \
                FROM tillwatch.payment_events WHERE source = 'stripe-us' LIMIT 10";
    let columns = installation
        .ask("SELECT arrayStringConcat(groupArray(name), ', ') FROM system.columns WHERE database = 'tillwatch' \
              AND table = 'payment_events'")
        .await
        .unwrap();
    let same = same.replace("stored SELECT *", &format!("stored ({columns}) SELECT *"));
    installation.ask(&same).await.unwrap();
    let text = said(&replay(&installation, &[]));
    assert!(text.contains(" 0 withdrawn,") && text.contains("nothing changes"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_chosen_is_mapped_again() {
    let installation = Installation::new("[processor]\nlinger_ms = 100\n");
    let _server = installation.serve_ready().await;
    let ledger = loaded(&installation, 11).await;
    compare(&installation, &joined(&installation, &[ledger])).await;
    let captures = "SELECT uniqExact(webhook_id) FROM tillwatch.webhooks WHERE source = 'adyen-eu' \
                    AND match(body, '\"eventCode\"\\s*:\\s*\"CAPTURE\"')";
    let of_shop = "SELECT count() FROM tillwatch.webhooks WHERE source = 'shop'";
    let dropped = "INSERT INTO tillwatch.parked_webhooks_stored \
                   SELECT webhook_id, source, provider, received_at, stored_at, 'dropped', 'a load test', body \
                   FROM tillwatch.webhooks WHERE source = 'checkout-uk'";
    installation.ask(dropped).await.unwrap();
    let kept = "SELECT count() FROM tillwatch.webhooks WHERE source != 'checkout-uk'";
    let one = installation.ask("SELECT any(webhook_id) FROM tillwatch.webhooks").await.unwrap();
    for (arguments, expected) in [
        (&["--source", "adyen-eu", "--type", "CAPTURE"] as &[_], number(&installation, captures).await),
        (&["--source", "shop"], number(&installation, of_shop).await),
        (&["--from", "2026-01-01T00:00:00Z"], number(&installation, kept).await),
        (&["--to", "2026-01-01T00:00:00Z"], 0),
        (&["--webhook", &one], 1),
        (&["--parked"], 0),
    ] {
        let text = said(&replay(&installation, arguments));
        assert!(text.starts_with(&format!("{expected} webhooks mapped again")), "{arguments:?}: {text}");
        assert!(text.contains("nothing changes"), "{arguments:?}: {text}");
        assert_eq!(text.contains(", 0 as before,"), expected == 0, "{arguments:?}: {text}");
    }
    for (arguments, problem) in [
        (
            &["--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"] as &[_],
            "--from must be the earlier",
        ),
        (&["--from", "yesterday"], "RFC 3339"),
        (&["--abandon", "--apply"], "cannot be used with"),
    ] {
        let refused = replay(&installation, arguments);
        assert!(!refused.status.success() && said(&refused).contains(problem), "{}", said(&refused));
    }
}
