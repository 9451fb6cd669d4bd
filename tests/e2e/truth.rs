//! What is stored and shown, beside the simulator's own ledger.

use std::collections::BTreeMap;

use payments::UnixMillis;
use serde_json::Value;
use simulator::ledger::{Ledger, LedgerEvent, Total, TotalKey};

use crate::harness::{Installation, until};

/// Identity of a fact, as text.
type Identity = (String, String);

/// Everything in the ledger was acknowledged: every table, the rollup and the board must say exactly what it says.
pub(crate) async fn compare(installation: &Installation, ledger: &Ledger) {
    compare_when(installation, ledger, async || queue_is_empty(installation).await).await;
}

/// The same where the queue is not the embedded log.
pub(crate) async fn compare_when(
    installation: &Installation,
    ledger: &Ledger,
    mut queue_is_empty: impl AsyncFnMut() -> bool,
) {
    assert_eq!(ledger.unacknowledged().count(), 0, "the ledger holds events that may be stored or not");
    let expected = facts(&ledger.events);
    let count = "SELECT count() FROM tillwatch.payment_events";
    until("every acknowledged fact is stored", async || {
        number(installation, count).await >= expected.len() as u64 && queue_is_empty().await
    })
    .await;
    let rows = stored_facts(installation).await;
    assert_eq!(number(installation, count).await, rows.len() as u64, "a fact is there twice");
    for (identity, meaning) in &expected {
        assert_eq!(rows.get(identity), Some(meaning), "{identity:?}");
    }
    for identity in rows.keys() {
        assert!(expected.contains_key(identity), "stored, but never posted: {identity:?}");
    }

    let acknowledged: u64 = ledger.events.values().map(|event| u64::from(event.acknowledged)).sum();
    let posted: u64 = ledger.events.values().map(|event| u64::from(event.requests)).sum();
    let webhooks = number(installation, "SELECT count() FROM tillwatch.webhooks").await;
    assert!((acknowledged..=posted).contains(&webhooks), "{acknowledged} <= {webhooks} <= {posted}");
    let orphans = "SELECT source, event_id, fact, kind, occurred_at, stored_at, mapper_version, webhook_id \
                   FROM tillwatch.payment_events \
                   WHERE webhook_id NOT IN (SELECT webhook_id FROM tillwatch.webhooks) LIMIT 10";
    assert_eq!(installation.ask(orphans).await.unwrap(), "", "facts of no webhook");
    assert_eq!(number(installation, "SELECT count() FROM tillwatch.parked_webhooks").await, 0);
    assert_eq!(rollup(installation).await, ledger.totals());

    let answers = answers(&ledger.events);
    assert!(answers.values().all(|[approved, declined, _]| *approved > 0 && *declined > 0), "{answers:?}");
    let mut shown = BTreeMap::new();
    until("the board shows what the ledger says", async || {
        // It remembers its answers for a moment, so that many viewers cost one.
        shown = board(installation).await;
        shown == answers
    })
    .await;
}

/// What ClickHouse answers, 0 while it does not.
pub(crate) async fn number(installation: &Installation, sql: &str) -> u64 {
    installation.ask(sql).await.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the processor has acknowledged everything, so that nothing can be stored a second time from now on.
async fn queue_is_empty(installation: &Installation) -> bool {
    let Some((200, text)) = installation.admin("/metrics").await else { return false };
    let waiting = text.lines().find_map(|line| line.strip_prefix("tillwatch_queue_records_waiting"));
    waiting.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).is_some_and(|count| count < 1.0)
}

fn facts(events: &BTreeMap<(String, String), LedgerEvent>) -> BTreeMap<Identity, String> {
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

async fn stored_facts(installation: &Installation) -> BTreeMap<Identity, String> {
    let sql = "SELECT source, event_id || ' ' || toString(fact), concat(kind, ' ', outcome, ' ', \
               toString(amount_minor), ' ', currency, ' ', decline_category, ' ', \
               toString(toUnixTimestamp64Milli(occurred_at))) FROM tillwatch.payment_events FORMAT TSV";
    let text = installation.ask(sql).await.unwrap();
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

/// Approved, declined and failed answers of each source.
type Answers = BTreeMap<String, [u64; 3]>;

const OUTCOMES: [&str; 3] = ["approved", "declined", "failed"];

fn answers(events: &BTreeMap<(String, String), LedgerEvent>) -> Answers {
    let mut answers = Answers::new();
    for ((source, _), event) in events {
        for fact in event.facts.iter().filter(|fact| fact.live && fact.kind == "authorization") {
            if let Some(index) = OUTCOMES.iter().position(|outcome| *outcome == fact.outcome) {
                answers.entry(source.clone()).or_default()[index] += 1;
            }
        }
    }
    answers
}

/// The sums of the board's charts over the last hour; empty while it cannot tell.
async fn board(installation: &Installation) -> Answers {
    let Some((200, text)) = installation.admin("/board/data.json?window=60m").await else {
        return Answers::new();
    };
    let data: Value = serde_json::from_str(&text).unwrap();
    let Some(sources) = data["history"]["known"]["value"]["by_source"].as_array() else {
        return Answers::new();
    };
    let of = |source: &Value| {
        let steps = source["steps"].as_array().unwrap();
        let sum = |outcome: &str| steps.iter().map(|step| step[outcome].as_u64().unwrap()).sum();
        (source["source"].as_str().unwrap().to_owned(), OUTCOMES.map(sum))
    };
    sources.iter().map(of).collect()
}
