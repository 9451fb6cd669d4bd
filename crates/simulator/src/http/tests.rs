use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// Answers one connection: reads once, writes the next of `answers`, and so on; then closes.
async fn serve(listener: TcpListener, answers: Vec<&'static str>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4_096];
    for answer in answers {
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn answers_to(served: Vec<&'static str>, requests: usize) -> (Vec<Answer>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, served));
    let mut slot = None;
    let mut answers = Vec::new();
    for _ in 0..requests {
        answers.push(post(&mut slot, &target, b"POST / HTTP/1.1\r\n\r\n", LIMIT).await);
    }
    (answers, slot.is_some())
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[accepted]";
    let (answers, kept) = answers_to(vec![ok, ok], 2).await;
    assert_eq!((answers, kept), (vec![Ok(200), Ok(200)], true));
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_not_kept() {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answers_to(vec![busy], 1).await, (vec![Ok(503)], false));
    let unsized_body = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(answers_to(vec![unsized_body], 1).await, (vec![Ok(200)], false));
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    assert_eq!(answers_to(vec![], 1).await, (vec![Err(Failure::Closed)], false));
    assert_eq!(answers_to(vec!["SSH-2.0-x\r\n"], 1).await, (vec![Err(Failure::BrokenAnswer)], false));
    assert_eq!(
        answers_to(vec!["HTTP/1.1 200 OK\r\ncontent-le"], 1).await,
        (vec![Err(Failure::Closed)], false)
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_runs_into_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = post(&mut None, &target, b"POST", Duration::from_millis(20)).await;
    assert_eq!(answer, Err(Failure::Timeout));
    drop(listener);
    assert_eq!(post(&mut None, &target, b"POST", LIMIT).await, Err(Failure::Connect));
}

#[test]
fn a_target_is_a_plain_http_url() {
    assert_eq!(Target::parse("http://127.0.0.1:8080/").unwrap().to_string(), "http://127.0.0.1:8080");
    assert_eq!(Target::parse("http://ingest/hooks/").unwrap().to_string(), "http://ingest:80/hooks");
    for wrong in ["https://x", "x:8080", "ftp://x", "http://", "http://a b"] {
        assert!(Target::parse(wrong).is_err(), "{wrong}");
    }
}
