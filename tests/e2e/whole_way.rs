//! The whole way: signed webhooks in, a signed page out, and its resolve.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use payments::UnixMillis;
use runtime::{Clock as _, SystemClock};
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::harness::{Installation, until};

/// base64 of 24 bytes.
const HOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

const RULE: &str = r#"
type = "threshold"
severity = "critical"
owner = "payments-oncall"
runbook = "https://runbooks.example/issuer-declines"
measure = "decline_rate"
by = ["issuer"]
window_s = 60
fire_above = 0.35
recover_below = 0.25
attempts_min = 30
for_s = 0
recover_for_s = 0
"#;

/// Pages as they arrived: their headers and exact bytes.
type Pages = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn receive(State(pages): State<Pages>, headers: HeaderMap, body: Bytes) {
    pages.lock().unwrap().push((headers, body));
}

/// A place that receives pages, on a port of its own.
async fn receiver() -> (u16, Pages) {
    let pages = Pages::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/pages", post(receive)).with_state(Arc::clone(&pages));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, pages)
}

/// Verified by an independent implementation of the scheme, then parsed.
fn verified(pages: &Pages) -> Vec<Value> {
    let webhook = Webhook::new(HOOK_SECRET).unwrap();
    let pages = pages.lock().unwrap();
    let genuine = pages.iter().map(|(headers, body)| {
        webhook.verify(body, headers).expect("a page is genuinely signed");
        serde_json::from_slice(body).unwrap()
    });
    genuine.collect()
}

/// `count` answers of one issuer, now.
fn answers(prefix: &str, count: u32, outcome: &str, decline: &str, now: UnixMillis) -> String {
    let events: Vec<String> = (0..count)
        .map(|number| {
            format!(
                r#"{{"event_id":"{prefix}-{number}","kind":"authorization","outcome":"{outcome}","occurred_at":"{now}","amount_minor":2500,"currency":"USD","issuer":"Harbour Test Bank"{decline}}}"#
            )
        })
        .collect();
    format!("[{}]", events.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declines_of_one_issuer_become_one_signed_page_that_resolves() {
    let (port, pages) = receiver().await;
    let installation = Installation::new(
        "[[channels]]\nname = \"hook\"\nkind = \"webhook\"\nurl = { file = \"secrets/hook-url\" }\n\
         secrets = [{ file = \"secrets/hook-secret\" }]\nprivate_address_allowed = true\n\n\
         [processor]\nlinger_ms = 50\n",
    );
    std::fs::write(installation.path("secrets/hook-url"), format!("http://127.0.0.1:{port}/pages")).unwrap();
    std::fs::write(installation.path("secrets/hook-secret"), HOOK_SECRET).unwrap();
    installation.rule("issuer-declines.toml", RULE);
    let server = installation.serve_ready().await;

    let now = SystemClock.now();
    let decline = r#","decline_code":"do_not_honor","decline_category":"do_not_honor""#;
    let declined = answers("bad", 60, "declined", decline, now);
    // The provider posts it twice: it counts once.
    assert_eq!(installation.post_canonical("m-bad", &declined, &[]).await, 200);
    assert_eq!(installation.post_canonical("m-bad", &declined, &[]).await, 200);
    until("the page", async || !verified(&pages).is_empty()).await;
    let page = verified(&pages).remove(0);
    assert_eq!(page["type"], "alert.triggered");
    let title = page["data"]["title"].as_str().unwrap();
    assert!(title.starts_with("P1 Declines 100% issuer Harbour Test Bank"), "{title}");
    assert!(page["data"]["text"].as_str().unwrap().contains("(60/60)"), "a duplicate was counted: {page}");
    assert_eq!(page["data"]["slice"]["issuer"], "Harbour Test Bank");

    let approved = answers("good", 900, "approved", "", SystemClock.now());
    assert_eq!(installation.post_canonical("m-good", &approved, &[]).await, 200);
    until("the resolve", async || verified(&pages).iter().any(|page| page["type"] == "alert.resolved")).await;
    let all = verified(&pages);
    let triggers = all.iter().filter(|page| page["type"] == "alert.triggered").count();
    assert_eq!(triggers, 1, "one incident is one page");
    let same = |page: &Value| page["data"]["dedup_key"] == all[0]["data"]["dedup_key"];
    assert!(all.iter().all(same));
    assert_eq!(tokio::task::spawn_blocking(|| server.terminate()).await.unwrap(), 0);
}
