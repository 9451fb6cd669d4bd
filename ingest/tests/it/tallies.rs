//! What is acknowledged is counted, and the count goes the way of the webhooks, behind them.

use std::time::Duration;

use payments::tally::fingerprint;
use payments::{QueueMessage, Tally};
use queue::BatchLimits;

use crate::harness::{DEADLINE, NOW, STRIPE_SECRET, TestIngest, request, stripe_signature};

fn genuine(seconds: i64, body: &[u8]) -> Vec<u8> {
    let signature = stripe_signature(STRIPE_SECRET, seconds, body);
    request("POST", "/webhooks/stripe-us", &[("stripe-signature", &signature)], body)
}

/// Messages of the queue, in order, until `is_last` is true of one.
async fn until(ingest: &mut TestIngest, is_last: impl Fn(&QueueMessage) -> bool) -> Vec<QueueMessage> {
    let limits = BatchLimits { records_max: 1, bytes_max: 64 << 20, linger: Duration::from_millis(1) };
    let mut messages = Vec::new();
    loop {
        let received = tokio::time::timeout(DEADLINE, ingest.consumer.receive(&limits)).await;
        let batch = received.map_err(|_| &messages).unwrap().unwrap();
        messages.push(QueueMessage::decode(batch.deliveries()[0].payload.clone()).unwrap());
        ingest.consumer.ack(batch.through()).await.unwrap();
        if messages.last().is_some_and(&is_last) {
            return messages;
        }
    }
}

fn tallies(messages: &[QueueMessage]) -> Vec<&Tally> {
    messages
        .iter()
        .filter_map(|message| if let QueueMessage::Tally(tally) = message { Some(tally) } else { None })
        .collect()
}

fn counts(message: &QueueMessage, acknowledged: u64) -> bool {
    matches!(message, QueueMessage::Tally(tally) if tally.acknowledged == acknowledged)
}

#[tokio::test]
async fn the_last_tallies_are_sent_when_the_last_request_is_answered() {
    let mut ingest = TestIngest::start().await;
    for number in 0..5 {
        let body = format!("{{\"id\":\"evt_{number}\"}}");
        assert_eq!(ingest.send(&genuine(NOW.seconds(), body.as_bytes())).await.status, 200);
    }
    assert_eq!(ingest.send(&request("POST", "/webhooks/stripe-us", &[], b"{}")).await.status, 401);
    ingest.clock.advance(Duration::from_mins(1));
    let next = NOW.seconds() + 60;
    assert_eq!(ingest.send(&genuine(next, b"{}")).await.status, 200);
    // The next tick is an hour away: these are sent because the end has come.
    ingest.lifecycle.shut_down();

    let messages = until(&mut ingest, |message| counts(message, 1)).await;
    let ids: Vec<_> = messages
        .iter()
        .filter_map(|message| if let QueueMessage::Webhook(webhook) = message { Some(webhook) } else { None })
        .map(|webhook| (webhook.received_at.minute(), webhook.id))
        .collect();
    assert_eq!(ids.len(), 6);
    let tallies = tallies(&messages);
    assert_eq!(tallies.len(), 2, "{tallies:?}");
    for (tally, (minute, acknowledged)) in
        tallies.iter().zip([(NOW, 5), (NOW.plus(Duration::from_mins(1)), 1)])
    {
        let of_minute = ids.iter().filter(|(at, _)| *at == minute.minute());
        let sum = of_minute.fold(0_u64, |sum, (_, id)| sum.wrapping_add(fingerprint(*id)));
        assert_eq!((tally.minute, tally.acknowledged, tally.uncertain), (minute.minute(), acknowledged, 0));
        assert_eq!(tally.fingerprint, sum);
        assert_eq!((tally.source.as_str(), tally.instance.as_str()), ("stripe-us", "test"));
    }
}

#[tokio::test]
async fn a_tally_that_grows_is_told_again_each_time_behind_what_it_counts() {
    let mut ingest = TestIngest::start_with(|config, _| config.heartbeat_interval_ms = 100, |_| {}).await;
    let mut cell = None;
    for round in 1..=3 {
        assert_eq!(ingest.send(&genuine(NOW.seconds(), b"{}")).await.status, 200);
        let messages = until(&mut ingest, |message| counts(message, round)).await;
        let webhook = messages.iter().position(|message| matches!(message, QueueMessage::Webhook(_)));
        assert!(webhook.is_some(), "{round}: the tally stands behind its webhook: {messages:?}");
        let tally = tallies(&messages)[0];
        assert_eq!(*cell.get_or_insert(tally.cell), tally.cell, "one count");
    }
}

#[tokio::test]
async fn what_the_queue_did_not_take_is_not_counted() {
    let mut ingest = TestIngest::start_with(
        |_, _| {},
        |log| {
            log.record_bytes_max = 128 << 10;
            log.segment_bytes = 1 << 20;
            log.bytes_max = 2 << 20;
        },
    )
    .await;
    let body = format!("{{\"pad\":\"{}\"}}", "x".repeat(60 << 10));
    let mut accepted = 0;
    loop {
        let reply = ingest.send(&genuine(NOW.seconds(), body.as_bytes())).await;
        if reply.status != 200 {
            assert!(reply.answers("queue_full"), "{reply:?}");
            break;
        }
        accepted += 1;
    }
    // What is consumed makes room for the tally, which waited for it.
    let limits = BatchLimits { records_max: accepted, bytes_max: 64 << 20, linger: Duration::from_millis(1) };
    let mut consumed = 0;
    while consumed < accepted {
        let batch = ingest.consumer.receive(&limits).await.unwrap();
        consumed += batch.deliveries().len();
        ingest.consumer.ack(batch.through()).await.unwrap();
    }
    let accepted = u64::try_from(accepted).unwrap();
    let room = async { while ingest.send(&genuine(NOW.seconds(), b"{}")).await.status != 200 {} };
    tokio::time::timeout(DEADLINE, room).await.unwrap();
    ingest.lifecycle.shut_down();
    let messages = until(&mut ingest, |message| matches!(message, QueueMessage::Tally(_))).await;
    let tally = tallies(&messages)[0];
    assert_eq!((tally.acknowledged, tally.uncertain), (accepted + 1, 0));
}
