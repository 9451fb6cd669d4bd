//! One source's flood does not starve another; what cannot be made durable is not acknowledged.

use crate::harness::{DEADLINE, NOW, STRIPE_SECRET, TestIngest, read_reply, request, stripe_signature};
use payments::signature::HmacKey;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;

fn genuine(body: &[u8]) -> Vec<u8> {
    let signature = stripe_signature(STRIPE_SECRET, NOW.seconds(), body);
    request("POST", "/webhooks/stripe-us", &[("stripe-signature", &signature)], body)
}

fn genuine_checkout() -> Vec<u8> {
    let signature = HmacKey::new(crate::harness::CHECKOUT_SECRET.as_bytes()).sign(&[BODY]);
    let signature = payments::signature::encode_hex(&signature);
    request("POST", "/webhooks/checkout-uk", &[("cko-signature", &signature)], BODY)
}

#[tokio::test]
async fn over_its_rate_a_source_is_asked_to_come_back_and_others_do_not_notice() {
    let ingest = TestIngest::start_with(|_, sources| sources[0].requests_per_second_max = 3, |_| {}).await;
    for _ in 0..3 {
        assert_eq!(ingest.send(&genuine(BODY)).await.status, 200);
    }
    let refused = ingest.send(&genuine(BODY)).await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 5"), "{refused:?}");
    assert_eq!(ingest.send(&genuine_checkout()).await.status, 200);
    ingest.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(ingest.send(&genuine(BODY)).await.status, 200);
}

#[tokio::test]
async fn a_source_whose_requests_hang_does_not_keep_others_waiting() {
    let ingest = TestIngest::start_with(
        |config, sources| {
            sources[0].requests_in_flight_max = 2;
            config.body_read_timeout_ms = 60_000;
        },
        |_| {},
    )
    .await;
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(ingest.address).await.unwrap();
        stream
            .write_all(b"POST /webhooks/stripe-us HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nx")
            .await
            .unwrap();
        hanging.push(stream);
    }
    // Both places are taken as soon as a third request is refused.
    let refused = tokio::time::timeout(DEADLINE, async {
        loop {
            let reply = ingest.send(&genuine(BODY)).await;
            if reply.status != 200 {
                return reply;
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after") && refused.body.contains("busy"), "{refused:?}");
    assert_eq!(ingest.send(&genuine_checkout()).await.status, 200);
    drop(hanging);
    tokio::time::timeout(DEADLINE, async { while ingest.send(&genuine(BODY)).await.status != 200 {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_source_whose_bodies_never_end_leaves_memory_to_the_others() {
    let ingest = TestIngest::start_with(
        |config, _| {
            config.body_bytes_max = 32 << 20;
            config.body_read_timeout_ms = 60_000;
        },
        |log| log.segment_bytes = 64 << 20,
    )
    .await;
    // Four of the largest bodies are a source's share; nobody has to sign to send them.
    let almost = vec![b'x'; 31 << 20];
    let mut hanging = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(ingest.address).await.unwrap();
        let head = "POST /webhooks/stripe-us HTTP/1.1\r\nhost: t\r\ncontent-length: 33554432\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The last one is refused on its way.
        let _ = stream.write_all(&almost).await;
        hanging.push(stream);
    }
    let busy = "tillwatch_ingest_requests_total{answer=\"busy\",source=\"stripe-us\"}";
    tokio::time::timeout(DEADLINE, async {
        while ingest.metric(busy) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(ingest.send(&genuine_checkout()).await.status, 200);
}

#[tokio::test]
async fn connections_over_the_limit_wait_and_are_served_when_a_place_is_free() {
    let ingest = TestIngest::start_with(
        |config, _| {
            config.connections_max = 1;
            config.header_read_timeout_ms = 60_000;
        },
        |_| {},
    )
    .await;
    let mut first = TcpStream::connect(ingest.address).await.unwrap();
    first.write_all(&genuine(BODY)).await.unwrap();
    assert_eq!(read_reply(&mut first).await.status, 200);
    let mut second = TcpStream::connect(ingest.address).await.unwrap();
    second.write_all(&genuine(BODY)).await.unwrap();
    // While the first has the only place, it is served again and again, and the second is not.
    for _ in 0..20 {
        first.write_all(&genuine(BODY)).await.unwrap();
        assert_eq!(read_reply(&mut first).await.status, 200);
    }
    assert_eq!(second.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(read_reply(&mut second).await.status, 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_takes_no_answers_loses_its_place() {
    let ingest = TestIngest::start_with(|config, _| config.connections_max = 1, |_| {}).await;
    let mut deaf = TcpStream::connect(ingest.address).await.unwrap();
    // Requests until neither side's buffers take any more: the server is stuck with an answer.
    let asked = request("GET", "/webhooks/stripe-us", &[], b"").repeat(100);
    let full = tokio::time::timeout(DEADLINE, async {
        while let Ok(Ok(())) =
            tokio::time::timeout(std::time::Duration::from_millis(200), deaf.write_all(&asked)).await
        {
        }
    });
    full.await.expect("buffers without end");
    // It is still connected, and still reads nothing.
    assert_eq!(ingest.send(&genuine(BODY)).await.status, 200);
}

#[tokio::test]
async fn a_request_whose_client_goes_away_is_counted_too() {
    let ingest = TestIngest::start_with(|config, _| config.body_read_timeout_ms = 60_000, |_| {}).await;
    let mut stream = TcpStream::connect(ingest.address).await.unwrap();
    stream
        .write_all(b"POST /webhooks/stripe-us HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nx")
        .await
        .unwrap();
    drop(stream);
    let line =
        |answer: &str| format!("tillwatch_ingest_requests_total{{answer=\"{answer}\",source=\"stripe-us\"}}");
    tokio::time::timeout(DEADLINE, async {
        while ingest.metric(&line("body_broken")) + ingest.metric(&line("client_gone")) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_full_queue_is_503_until_it_is_consumed() {
    let mut ingest = TestIngest::start_with(
        |config, _| config.body_bytes_max = 256 << 10,
        |log| {
            log.record_bytes_max = 300 << 10;
            log.segment_bytes = 1 << 20;
            log.bytes_max = 2 << 20;
        },
    )
    .await;
    let body = vec![b'x'; 200 << 10];
    let mut stored = 0;
    let refused = loop {
        let reply = ingest.send(&genuine(&body)).await;
        if reply.status != 200 {
            break reply;
        }
        stored += 1;
        assert!(stored < 100, "the queue has no limit");
    };
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("queue_full") && refused.head.contains("retry-after"), "{refused:?}");
    assert_eq!(ingest.received(stored).await.len(), stored);
    tokio::time::timeout(DEADLINE, async { while ingest.send(&genuine(&body)).await.status != 200 {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn draining_finishes_the_request_in_hand_and_takes_no_other() {
    let ingest = TestIngest::start_with(|config, _| config.body_read_timeout_ms = 60_000, |_| {}).await;
    let whole = genuine(BODY);
    let (first, rest) = whole.split_at(whole.len() - 5);
    let mut stream = TcpStream::connect(ingest.address).await.unwrap();
    stream.write_all(first).await.unwrap();
    // The request is in hand once its place among those in flight is taken: a second one proves the order of events.
    assert_eq!(ingest.send(&genuine_checkout()).await.status, 200);
    ingest.lifecycle.shut_down();
    stream.write_all(rest).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 200);
    ingest.lifecycle.run(std::time::Duration::ZERO, DEADLINE).await.unwrap();
    assert!(!ingest.lifecycle.has_failed());
    assert!(TcpStream::connect(ingest.address).await.is_err());
}

#[tokio::test]
async fn each_request_is_counted_under_exactly_one_answer() {
    let ingest = TestIngest::start().await;
    assert_eq!(ingest.send(&genuine(BODY)).await.status, 200);
    assert_eq!(ingest.post("/webhooks/stripe-us", &[], BODY).await.status, 401);
    assert_eq!(ingest.post("/webhooks/nobody", &[], BODY).await.status, 404);
    let count = |answer: &str, source: &str| {
        ingest.metric(&format!("tillwatch_ingest_requests_total{{answer=\"{answer}\",source=\"{source}\"}}"))
    };
    assert_eq!(count("accepted", "stripe-us"), 1);
    assert_eq!(count("missing_signature", "stripe-us"), 1);
    assert_eq!(count("unknown_source", ""), 1);
    assert_eq!(ingest.metric("tillwatch_ingest_secret_matches_total{secret=\"file:stripe\""), 1);
}
