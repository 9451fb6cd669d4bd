//! The whole way: signed webhooks in, a signed page out, and its resolve.

use payments::UnixMillis;
use runtime::{Clock as _, SystemClock};
use serde_json::Value;

use crate::harness::{Installation, until};
use crate::pages::Receiver;

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
    let pages = Receiver::start().await;
    let installation = Installation::new(&format!("{}[processor]\nlinger_ms = 50\n", Receiver::CHANNEL));
    pages.write_secrets(&installation);
    installation.rule("issuer-declines.toml", RULE);
    let server = installation.serve_ready().await;

    let now = SystemClock.now();
    let decline = r#","decline_code":"do_not_honor","decline_category":"do_not_honor""#;
    let declined = answers("bad", 60, "declined", decline, now);
    // The provider posts it twice: it counts once.
    assert_eq!(installation.post_canonical("m-bad", &declined, &[]).await, 200);
    assert_eq!(installation.post_canonical("m-bad", &declined, &[]).await, 200);
    until("the page", async || !pages.verified().is_empty()).await;
    let page = pages.verified().remove(0);
    assert_eq!(page["type"], "alert.triggered");
    let title = page["data"]["title"].as_str().unwrap();
    assert!(title.starts_with("P1 Declines 100% issuer Harbour Test Bank"), "{title}");
    assert!(page["data"]["text"].as_str().unwrap().contains("(60/60)"), "a duplicate was counted: {page}");
    assert_eq!(page["data"]["slice"]["issuer"], "Harbour Test Bank");

    let approved = answers("good", 900, "approved", "", SystemClock.now());
    assert_eq!(installation.post_canonical("m-good", &approved, &[]).await, 200);
    until("the resolve", async || pages.verified().iter().any(|page| page["type"] == "alert.resolved")).await;
    let all = pages.verified();
    let triggers = all.iter().filter(|page| page["type"] == "alert.triggered").count();
    assert_eq!(triggers, 1, "one incident is one page");
    let same = |page: &Value| page["data"]["dedup_key"] == all[0]["data"]["dedup_key"];
    assert!(all.iter().all(same));
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_request_is_shown_and_verified_as_it_arrived() {
    let installation = Installation::new("[processor]\nlinger_ms = 50\n");
    let server = installation.serve_ready().await;
    let body = answers("seen", 2, "approved", "", SystemClock.now());
    assert_eq!(installation.post_canonical("m-seen", &body, &[]).await, 200);
    let stored =
        async || installation.ask("SELECT webhook_id FROM tillwatch.webhooks").await.unwrap_or_default();
    until("it is stored", async || !stored().await.is_empty()).await;
    let id = stored().await;

    let events = |arguments: &[&str]| {
        let mut command = installation.command(&["events"]);
        command.args(arguments);
        command
    };
    let found = events(&["--event", "seen-1"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.contains("25.00 USD") && found.contains(&id), "{found}");
    let verified = events(&["--webhook", &id, "--verify"]).output().unwrap();
    let verified = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.contains("again     genuine"), "{verified}");
    let raw = events(&["--webhook", &id, "--raw"]).output().unwrap();
    assert_eq!(String::from_utf8(raw.stdout).unwrap(), body, "byte by byte");

    // A full disk behind standard output: the end of a body without a line's end is not lost unsaid.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let refused = events(&["--webhook", &id, "--raw"]).stdout(full).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("No space left on device"), "{told}");
    assert_eq!(server.terminate().await, 0);
}
