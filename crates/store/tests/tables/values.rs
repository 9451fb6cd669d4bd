//! What is written comes back as it was, to the byte.

use clickhouse::Row;
use payments::money::Currency;
use payments::{Decline, DeclineCategory, Envelope, Money, Provider, Retry, ThreeDs, UnixMillis};
use serde::Deserialize;
use store::rows::{OCCURRED_AT_MAX, ParkedWebhookRow, WebhookRow};
use uuid::Uuid;

use crate::harness::{DEADLINE, Fact, NOW, Tables, envelope};

#[derive(Debug, PartialEq, Row, Deserialize)]
struct StoredRequest {
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    source: String,
    provider: String,
    received_at: i64,
    stored_at: i64,
    secret: String,
    outcome: String,
    facts: u16,
    traceparent: String,
    headers: Vec<(serde_bytes::ByteBuf, serde_bytes::ByteBuf)>,
    body: serde_bytes::ByteBuf,
    body_bytes: u64,
}

#[tokio::test]
async fn bodies_and_headers_to_the_byte() {
    let tables = Tables::new().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let zeros = vec![0; 70_000];
    let bodies: [&[u8]; 5] =
        [&every_byte, b"", b"{\"a\":\"b; DROP\"}\n;INSERT", &zeros, "größe €".as_bytes()];
    let headers: [(&str, &[u8]); 3] = [("x-sig", b"t=1,v1=\xff\x00"), ("x-sig", b"again"), ("empty", b"")];
    let envelopes: Vec<Envelope> =
        (1..).zip(bodies).map(|(id, body)| envelope(Provider::Stripe, id, NOW, &headers, body)).collect();
    let rows: Vec<_> = envelopes.iter().map(|one| WebhookRow::new(one, "stored", 3, NOW)).collect();
    tables.store.insert::<WebhookRow<'_>>(&rows, DEADLINE).await.unwrap();

    let query = tables.store.client().query("SELECT ?fields FROM webhooks ORDER BY webhook_id");
    let stored: Vec<StoredRequest> = query.fetch_all().await.unwrap();
    let mut expected: Vec<StoredRequest> = envelopes
        .iter()
        .map(|envelope| StoredRequest {
            webhook_id: envelope.id,
            source: "stripe-us".to_owned(),
            provider: "stripe".to_owned(),
            received_at: NOW.0,
            stored_at: NOW.0,
            secret: "env:SECRET".to_owned(),
            outcome: "stored".to_owned(),
            facts: 3,
            traceparent: String::new(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).as_bytes().to_vec().into(), value.to_vec().into()))
                .collect(),
            body: envelope.body.to_vec().into(),
            body_bytes: envelope.body.len() as u64,
        })
        .collect();
    expected.sort_by_key(|webhook| webhook.webhook_id.as_u64_pair().1);
    assert_eq!(stored, expected);
    let value = "SELECT headers['x-sig'] = 't=1,v1=\\xff\\x00' FROM webhooks LIMIT 1";
    assert_eq!(tables.sql(value).await, "1");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_kept_whole_and_not_expired() {
    let tables = Tables::new().await;
    let now: i64 = tables.sql("SELECT toUnixTimestamp64Milli(now64(3))").await.parse().unwrap();
    let row = ParkedWebhookRow::unreadable(
        b"\x01\x09\xff;",
        Uuid::from_u128(5),
        "kind 9".to_owned(),
        UnixMillis(now),
    );
    tables.store.insert::<ParkedWebhookRow<'_>>(&[row], DEADLINE).await.unwrap();
    tables.sql("OPTIMIZE TABLE parked_webhooks_stored FINAL").await;
    assert_eq!(
        tables.sql("SELECT reason, detail, hex(body) FROM parked_webhooks").await,
        "unreadable_message\tkind 9\t0109FF3B"
    );
}

/// Every column of a fact, as text.
async fn stored(tables: &Tables) -> String {
    tables.sql("SELECT * FROM payment_events FORMAT Vertical").await
}

#[tokio::test]
async fn every_column_of_a_fact() {
    let tables = Tables::new().await;
    let mut fact = Fact::new(Provider::Checkout, 7, NOW);
    let event = &mut fact.event;
    event.fact = 3;
    event.live = false;
    event.money = Some(Money::new(123_456, Currency::USD));
    event.decline = Some(Decline {
        code: "20051".to_owned(),
        category: DeclineCategory::InsufficientFunds,
        network_code: "51".to_owned(),
        retry: Retry::Soft,
    });
    event.three_ds = ThreeDs::Authenticated;
    event.risk_score = Some(12.5);
    event.latency_ms = Some(u32::MAX);
    event.fee_minor = Some(-31);
    for (text, value) in [
        (&mut event.account, "acc"),
        (&mut event.payment_id, "pay"),
        (&mut event.attempt_id, "act"),
        (&mut event.order_id, "ord"),
        (&mut event.method, "card"),
        (&mut event.wallet, "apple_pay"),
        (&mut event.network, "visa"),
        (&mut event.funding, "credit"),
        (&mut event.bin, "424242"),
        (&mut event.last4, "0042"),
        (&mut event.issuer, "GRÜN BANK"),
        (&mut event.issuer_country, "US"),
        (&mut event.avs, "pass"),
        (&mut event.cvc, "fail"),
        (&mut event.experiment, "e"),
        (&mut event.variant, "b"),
    ] {
        value.clone_into(text);
    }
    tables.store_facts(&[fact], UnixMillis(NOW.0 + 2_500)).await;
    let text = stored(&tables).await;
    let values: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let version = Provider::Checkout.mapper_version().to_string();
    let expected = [
        ("event_id", "evt_00000007"),
        ("fact", "3"),
        ("source", "checkout-us"),
        ("provider", "checkout"),
        ("account", "acc"),
        ("live", "false"),
        ("kind", "authorization"),
        ("outcome", "approved"),
        ("occurred_at", "2026-11-22 03:07:00.123"),
        ("received_at", "2026-11-22 03:07:01.123"),
        ("stored_at", "2026-11-22 03:07:02.623"),
        ("payment_id", "pay"),
        ("attempt_id", "act"),
        ("order_id", "ord"),
        ("amount_minor", "123456"),
        ("currency", "USD"),
        ("method", "card"),
        ("wallet", "apple_pay"),
        ("network", "visa"),
        ("funding", "credit"),
        ("bin", "424242"),
        ("last4", "0042"),
        ("issuer", "GRÜN BANK"),
        ("issuer_country", "US"),
        ("decline_code", "20051"),
        ("decline_category", "insufficient_funds"),
        ("decline_class", "cardholder"),
        ("network_code", "51"),
        ("retry", "soft"),
        ("three_ds", "authenticated"),
        ("avs", "pass"),
        ("cvc", "fail"),
        ("risk_score", "12.5"),
        ("latency_ms", "4294967295"),
        ("fee_minor", "-31"),
        ("experiment", "e"),
        ("variant", "b"),
        ("mapper_version", &version),
        ("webhook_id", "00000000-0000-0000-0000-000000000007"),
    ];
    let values: Vec<(&str, &str)> =
        values.into_iter().map(|(name, value)| (name, value.split(" -- ").next().unwrap_or(value))).collect();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn what_is_not_told_is_empty_or_null_and_never_zero() {
    let tables = Tables::new().await;
    tables.store_facts(&[Fact::new(Provider::Stripe, 1, NOW)], NOW).await;
    let sql = "SELECT risk_score IS NULL, latency_ms IS NULL, fee_minor IS NULL, issuer = '', currency = '', \
               amount_minor, three_ds = '', decline_category = '' FROM payment_events";
    assert_eq!(tables.sql(sql).await, "1\t1\t1\t1\t1\t0\t1\t1");
}

#[tokio::test]
async fn money_of_every_exponent_and_size_is_exact() {
    let tables = Tables::new().await;
    let amounts =
        [("JPY", 1_234), ("USD", 1_234), ("KWD", 1_234), ("EUR", i64::MAX), ("GBP", i64::MIN), ("CHF", 0)];
    let mut facts = Vec::new();
    for (number, (currency, amount)) in (0..).zip(amounts) {
        let mut fact = Fact::new(Provider::Stripe, number, NOW);
        fact.event.money = Some(Money::new(amount, Currency::parse(currency).unwrap()));
        facts.push(fact);
    }
    tables.store_facts(&facts, NOW).await;
    let sql = "SELECT currency, sum(amount_minor) FROM payment_minutes GROUP BY currency ORDER BY currency";
    let expected =
        "CHF\t0\nEUR\t9223372036854775807\nGBP\t-9223372036854775808\nJPY\t1234\nKWD\t1234\nUSD\t1234";
    assert_eq!(tables.sql(sql).await, expected);
}

#[tokio::test]
async fn times_at_the_ends_of_what_can_be_kept() {
    let tables = Tables::new().await;
    let times = [i64::MIN, -1, 0, 1, NOW.0, UnixMillis::MAX.0, i64::MAX];
    let mut facts = Vec::new();
    for (number, time) in (0..).zip(times) {
        let mut fact = Fact::new(Provider::Checkout, number, NOW);
        fact.event.occurred_at = UnixMillis(time);
        facts.push(fact);
    }
    tables.store_facts(&facts, NOW).await;
    assert_eq!(tables.sql("SELECT count() FROM payment_events").await, "7");
    let ends = "SELECT min(toUnixTimestamp64Milli(occurred_at)), max(toUnixTimestamp64Milli(occurred_at)) FROM payment_events";
    assert_eq!(tables.sql(ends).await, format!("0\t{}", OCCURRED_AT_MAX.0));
    let minutes = "SELECT countIf(toUnixTimestamp(minute) * 1000 > toUnixTimestamp64Milli(now64(3)) + 1000000000000) FROM payment_minutes";
    assert_eq!(tables.sql(minutes).await, "2", "a minute of next century is not one of this");
}

#[tokio::test]
async fn quantiles_of_latency_do_not_move_when_rows_are_stored_twice() {
    let tables = Tables::new().await;
    let facts: Vec<Fact> = (1..=100_u32)
        .map(|number| {
            let mut fact = Fact::new(Provider::Adyen, number, NOW);
            fact.event.latency_ms = (number <= 99).then_some(number * 10);
            fact
        })
        .collect();
    let sql = "SELECT arrayStringConcat(arrayMap(x -> toString(x), quantilesExact(0.5, 0.95, 0.99)(assumeNotNull(latency_ms))), ' ') \
               FROM payment_minutes WHERE latency_ms IS NOT NULL";
    tables.store_facts(&facts, NOW).await;
    let once = tables.sql(sql).await;
    tables.store_facts(&facts[90..], UnixMillis(NOW.0 + 1)).await;
    assert_eq!((once.as_str(), tables.sql(sql).await.as_str()), ("500 950 990", "500 950 990"));
}
