//! SIGTERM once: what is in hand is finished. Twice: it is dropped.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Installation, Server, until};

/// Nothing but a second signal may end these tests in time: the deadlines are longer than the tests'.
const PATIENT: &[(&str, &str)] = &[
    ("TILLWATCH_INGEST__BODY_READ_TIMEOUT_MS", "600000"),
    ("TILLWATCH_SHUTDOWN__DRAIN_TIMEOUT_MS", "600000"),
];

const BODY: &str =
    r#"{"event_id":"e-1","kind":"authorization","outcome":"approved","occurred_at":"2026-11-22T03:07:00Z"}"#;

/// A server that has received the head of a request and waits for its body.
async fn holding(installation: &Installation) -> (Server, TcpStream) {
    let mut server = installation.start("serve", PATIENT);
    installation.until_ready(&mut server, "").await;
    let mut request = TcpStream::connect(("127.0.0.1", installation.ingest)).await.unwrap();
    let signature =
        installation.signature("m-1", BODY).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let head = format!(
        "POST /webhooks/shop HTTP/1.1\r\nhost: till\r\nexpect: 100-continue\r\ncontent-length: {}\r\n{signature}\r\n",
        BODY.len()
    );
    request.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    request.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.signal("-TERM");
    // The operators' port stays, and tells.
    until("ingest drains", async || {
        let answer = installation.admin("/ready/ingest").await;
        answer.is_some_and(|(status, text)| status == 503 && text.contains("draining"))
    })
    .await;
    assert_eq!(installation.admin("/live").await.unwrap().0, 200);
    server.assert_alive();
    (server, request)
}

#[tokio::test]
async fn a_request_in_hand_is_answered_after_sigterm() {
    let installation = Installation::new("");
    let (mut server, mut request) = holding(&installation).await;
    request.write_all(BODY.as_bytes()).await.unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(server.exit_code().await, 0);
}

#[tokio::test]
async fn a_second_sigterm_ends_the_process_whatever_is_in_hand() {
    let installation = Installation::new("");
    let (mut server, mut request) = holding(&installation).await;
    server.signal("-TERM");
    assert_eq!(server.exit_code().await, 1);
    let mut answer = Vec::new();
    let _ = request.read_to_end(&mut answer).await;
    assert_eq!(String::from_utf8_lossy(&answer), "", "nothing was acknowledged");
}
