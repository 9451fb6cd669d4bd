//! Searching what is stored, and what is parked.

use std::process::Output;

use runtime::{Clock as _, SystemClock};
use serde_json::Value;

use crate::harness::{Installation, until};
use crate::truth::number;

fn events(installation: &Installation, arguments: &[&str]) -> Output {
    installation.command(&[&["events"], arguments].concat()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn body(number: u32, kind: &str, at: &str) -> String {
    format!(
        r#"{{"event_id":"e-{number}","kind":"{kind}","outcome":"approved","occurred_at":"{at}","amount_minor":100,"currency":"USD"}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_searched_shown_as_json_and_verified_all_together() {
    let installation = Installation::new("[processor]\nlinger_ms = 50\n");
    let _server = installation.serve_ready().await;
    let now = SystemClock.now().to_string();
    for number in 0..8 {
        let kind = if number % 2 == 0 { "authorization" } else { "capture" };
        let id = format!("m-{number}");
        assert_eq!(installation.post_canonical(&id, &body(number, kind, &now), &[]).await, 200);
    }
    for number in 8..11 {
        let id = format!("m-{number}");
        assert_eq!(installation.post_canonical(&id, &body(number, "teleport", &now), &[]).await, 200);
    }
    until("all are stored", async || {
        number(&installation, "SELECT count() FROM tillwatch.webhooks").await == 11
    })
    .await;

    let captures = events(&installation, &["--kind", "capture", "--json"]);
    let lines: Vec<Value> = said(&captures).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(
            (line["kind"].as_str(), line["amount_minor"].as_i64()),
            (Some("capture"), Some(100)),
            "{line}"
        );
    }
    for (arguments, found) in [
        (&["--received-from", "2026-01-01T00:00:00Z", "--json"] as &[_], 8),
        (&["--received-to", "2026-01-01T00:00:00Z", "--json"], 0),
    ] {
        let output = events(&installation, arguments);
        assert_eq!((said(&output).lines().count(), output.status.success()), (found, found > 0));
    }

    let parked = events(&installation, &["--parked"]);
    let text = said(&parked);
    assert!(text.contains("3 webhooks are parked:\n  3 of shop: bad_field"), "{text}");
    assert_eq!(said(&events(&installation, &["--parked", "--json"])).lines().count(), 3);
    let none = events(&installation, &["--parked", "--source", "stripe-us"]);
    assert!(!none.status.success() && said(&none).contains("0 webhooks are parked"), "{}", said(&none));

    let verified = events(&installation, &["--source", "shop", "--verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    assert!(
        said(&verified).contains("8 of 8 requests are genuine by the secrets of today, 0 are not, 0 are")
    );
    let forge = "INSERT INTO tillwatch.webhooks_stored SELECT * REPLACE (body || ' ' AS body, \
                 stored_at + INTERVAL 1 SECOND AS stored_at) FROM tillwatch.webhooks_stored FINAL \
                 WHERE body LIKE '%e-3%'";
    installation.ask(forge).await.unwrap();
    let forged = events(&installation, &["--source", "shop", "--verify"]);
    let text = said(&forged);
    assert!(!forged.status.success() && text.contains("7 of 8") && text.contains("webhook 0"), "{text}");
}
