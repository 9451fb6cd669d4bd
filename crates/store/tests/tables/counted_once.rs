//! No copy of a row changes any count: asked plainly, right after, merged or not.

use payments::money::Currency;
use payments::{Envelope, Heartbeat, Money, Outcome, Provider, UnixMillis};

use crate::harness::{Fact, NOW, Tables, envelope, facts};

/// Facts, their money, and the share of them in every form a reader may ask.
async fn counts(tables: &Tables) -> String {
    let sql = "SELECT \
        (SELECT count() FROM payment_events), \
        (SELECT count() FROM payment_events FINAL), \
        (SELECT count() FROM payment_minutes), \
        (SELECT uniqExactMerge(facts) FROM payment_minutes), \
        (SELECT sum(amount_minor) FROM payment_minutes), \
        (SELECT countIf(latency_ms IS NOT NULL) FROM payment_minutes), \
        (SELECT sum(c) FROM (SELECT minute, source, outcome, count() AS c FROM payment_minutes GROUP BY ALL))";
    tables.sql(sql).await
}

fn with_money(mut facts: Vec<Fact>) -> Vec<Fact> {
    for fact in &mut facts {
        fact.event.money = Some(Money::new(1_000, Currency::USD));
        fact.event.latency_ms = Some(250);
    }
    facts
}

fn later(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

#[tokio::test]
async fn a_batch_that_is_sent_again_with_the_same_token() {
    let tables = Tables::new().await;
    for provider in [Provider::Stripe, Provider::Adyen] {
        let facts = with_money(facts(provider, 50));
        for _ in 0..3 {
            tables.store_facts(&facts, NOW).await;
        }
    }
    assert_eq!(counts(&tables).await, "100\t100\t100\t100\t100000\t100\t100");
}

#[tokio::test]
async fn a_batch_that_is_stored_again_after_a_redelivery() {
    let tables = Tables::new().await;
    tables.sql("SYSTEM STOP MERGES payment_events_stored").await;
    for provider in [Provider::Stripe, Provider::Adyen] {
        let facts = with_money(facts(provider, 50));
        for attempt in 0..3 {
            tables.store_facts(&facts, later(attempt * 7)).await;
        }
    }
    assert_eq!(counts(&tables).await, "100\t100\t100\t100\t100000\t100\t100");
    assert_eq!(tables.sql("SELECT count() FROM payment_events_stored").await, "300", "the copies are there");
    tables.sql("SYSTEM START MERGES payment_events_stored").await;
    tables.sql("OPTIMIZE TABLE payment_events_stored FINAL").await;
    assert_eq!(counts(&tables).await, "100\t100\t100\t100\t100000\t100\t100");
}

#[tokio::test]
async fn batches_that_are_cut_elsewhere_the_second_time() {
    let tables = Tables::new().await;
    let facts = with_money(facts(Provider::Checkout, 60));
    for chunk in facts.chunks(25) {
        tables.store_facts(chunk, NOW).await;
    }
    for chunk in facts.chunks(13) {
        tables.store_facts(chunk, later(5)).await;
    }
    assert_eq!(counts(&tables).await, "60\t60\t60\t60\t60000\t60\t60");
}

#[tokio::test]
async fn the_same_event_twice_in_one_batch_and_in_two_webhooks() {
    let tables = Tables::new().await;
    let mut facts = with_money(facts(Provider::Stripe, 10));
    let again: Vec<Fact> = (100..)
        .zip(&facts)
        .map(|(number, fact)| {
            let mut again = fact.again(number, fact.event.occurred_at);
            again.event = fact.event.clone();
            again
        })
        .collect();
    facts.extend(again.clone());
    tables.store_facts(&facts, NOW).await;
    tables.store_facts(&again, later(30_000)).await;
    assert_eq!(counts(&tables).await, "10\t10\t10\t10\t10000\t10\t10");
}

#[tokio::test]
async fn facts_of_one_event_and_of_two_sources_stay_apart() {
    let tables = Tables::new().await;
    let one = with_money(facts(Provider::Stripe, 1));
    let mut second_fact = one.clone();
    second_fact[0].event.fact = 1;
    let mut other_source = with_money(facts(Provider::Checkout, 1));
    other_source[0].event.event_id.clone_from(&one[0].event.event_id);
    tables.store_facts(&[one, second_fact, other_source].concat(), NOW).await;
    assert_eq!(counts(&tables).await, "3\t3\t3\t3\t3000\t3\t3");
}

#[tokio::test]
async fn a_replay_with_changed_values_moves_the_fact_and_does_not_add_one() {
    let tables = Tables::new().await;
    let before = with_money(facts(Provider::Stripe, 20));
    tables.store_facts(&before, NOW).await;
    let mut after = before.clone();
    for fact in &mut after {
        fact.event.outcome = Outcome::Declined;
        fact.event.money = Some(Money::new(500, Currency::USD));
    }
    tables.store_facts(&after, later(3_600_000)).await;
    assert_eq!(counts(&tables).await, "20\t20\t20\t20\t10000\t20\t20");
    let outcomes = "SELECT outcome, count() FROM payment_minutes GROUP BY outcome";
    assert_eq!(tables.sql(outcomes).await, "declined\t20");
}

#[tokio::test]
async fn a_replay_of_the_very_same_batch_is_not_taken_for_a_retry() {
    let tables = Tables::new().await;
    let mut facts = facts(Provider::Stripe, 5);
    tables.store_facts(&facts, NOW).await;
    for fact in &mut facts {
        "mastercard".clone_into(&mut fact.event.network);
    }
    tables.store_facts(&facts, later(1)).await;
    assert_eq!(tables.sql("SELECT DISTINCT network FROM payment_events").await, "mastercard");
}

#[tokio::test]
async fn webhooks_and_parked_webhooks() {
    let tables = Tables::new().await;
    let envelopes: Vec<Envelope> = (0..30)
        .map(|id| envelope(Provider::Adyen, id, later(i64::try_from(id).unwrap()), &[], b"{}"))
        .collect();
    for attempt in 0..3 {
        tables.store_webhooks(&envelopes, later(attempt)).await;
        tables.store_parked(&envelopes, later(attempt)).await;
    }
    for chunk in envelopes.chunks(7) {
        tables.store_webhooks(chunk, later(50)).await;
        tables.store_parked(chunk, later(50)).await;
    }
    for table in ["webhooks", "parked_webhooks"] {
        assert_eq!(
            tables.sql(&format!("SELECT count(), uniqExact(webhook_id) FROM {table}")).await,
            "30\t30"
        );
        let newest = format!("SELECT DISTINCT toUnixTimestamp64Milli(stored_at) FROM {table}");
        assert_eq!(tables.sql(&newest).await, later(50).0.to_string());
    }
}

#[tokio::test]
async fn a_heartbeat_counts_from_when_it_was_first_stored() {
    let tables = Tables::new().await;
    let heartbeats: Vec<Heartbeat> =
        (0..3).map(|number| Heartbeat { instance: "a".to_owned(), sent_at: later(number * 5_000) }).collect();
    tables.store_heartbeats(&heartbeats, later(20_000)).await;
    tables.store_heartbeats(&heartbeats[1..], later(19_000)).await;
    tables.store_heartbeats(&heartbeats, later(90_000)).await;
    let sql = "SELECT count(), toUnixTimestamp64Milli(max(sent_at)), toUnixTimestamp64Milli(min(stored_at)), \
               toUnixTimestamp64Milli(max(stored_at)) FROM heartbeats";
    let expected = format!("3\t{}\t{}\t{}", later(10_000).0, later(19_000).0, later(20_000).0);
    assert_eq!(tables.sql(sql).await, expected);
}

#[tokio::test]
async fn an_alert_transition() {
    let tables = Tables::new().await;
    let insert = "INSERT INTO alert_transitions_stored \
        (id, rule, slice, incident, from_state, to_state, at, severity, details, stored_at) VALUES \
        ('t-1', 'issuer', 'issuer=x', '7', 'pending', 'firing', '2026-11-22 03:07:00.000', 'page', '{}', now64(3))";
    for _ in 0..3 {
        tables.sql(insert).await;
    }
    assert_eq!(tables.sql("SELECT count(), any(to_state) FROM alert_transitions").await, "1\tfiring");
}

#[tokio::test]
async fn batches_of_twenty_thousand_rows_and_their_copies() {
    let tables = Tables::new().await;
    let facts = with_money(facts(Provider::Adyen, 20_000));
    tables.store_facts(&facts, NOW).await;
    tables.store_facts(&facts, later(1)).await;
    assert_eq!(counts(&tables).await, "20000\t20000\t20000\t20000\t20000000\t20000\t20000");
    let envelopes: Vec<Envelope> = facts.into_iter().map(|fact| fact.envelope).collect();
    tables.store_webhooks(&envelopes, NOW).await;
    tables.store_webhooks(&envelopes, later(1)).await;
    assert_eq!(tables.sql("SELECT count() FROM webhooks").await, "20000");
}
