use std::sync::Arc;

use payments::UnixMillis;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::blind::{engine, rules, steps};
use super::world::{Issuer, START, TICK_MS, shipped, tick};
use crate::page::{Action, Message};
use crate::rules::Sample;
use crate::storage::transitions::Transition;
use crate::storage::{Book, Storage};

/// Two outages with a stale stretch in the first; each tick's samples, `None` while stale.
fn scenario() -> Vec<Option<Vec<Sample>>> {
    let rule = shipped("issuer-declines");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut issuers = [Issuer::new("Harbour Bank", 90.0), Issuer::new("Mill Street Bank", 60.0)];
    (0..200)
        .map(|index| {
            let down = (40..70).contains(&index) || (120..140).contains(&index);
            issuers[0].live(if down { 0.9 } else { 0.12 }, &mut rng);
            issuers[1].live(0.12, &mut rng);
            let stale = (55..62).contains(&index);
            (!stale).then(|| issuers.iter().map(|issuer| issuer.sample(&rule)).collect())
        })
        .collect()
}

type Told = (Vec<Transition>, Vec<(String, Message)>);

/// Plays the scenario; the process is replaced after each tick for which `dies` says so.
async fn play(dies: impl Fn(usize) -> bool) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.sqlite");
    let rule = shipped("issuer-declines");
    let mut storage = Storage::open(&path).unwrap();
    let mut book = Arc::new(Book::default());
    let mut told: Told = Default::default();
    for (index, samples) in scenario().into_iter().enumerate() {
        let now = UnixMillis(START.0 + i64::try_from(index).unwrap() * TICK_MS);
        let changes = Arc::new(tick(book.as_ref().clone(), &rule, samples, now));
        storage.commit(Arc::clone(&book), Arc::clone(&changes), now).await.unwrap();
        told.0.extend(changes.transitions.clone());
        told.1.extend(changes.messages.clone());
        book = Arc::new(changes.book.clone());
        if dies(index) {
            drop(storage);
            storage = Storage::open(&path).unwrap();
            let loaded = storage.load().await.unwrap();
            assert_eq!(&loaded, book.as_ref(), "what is on the disk is what was in memory, at tick {index}");
            book = Arc::new(loaded);
        }
    }
    let stored: Vec<Transition> =
        storage.unexported(10_000).await.unwrap().into_iter().map(|(_, transition)| transition).collect();
    assert_eq!(stored, told.0, "history has every transition once, in order");
    told
}

#[tokio::test]
async fn a_restart_after_any_tick_gives_the_same_transitions_and_the_same_pages() {
    let whole = play(|_| false).await;
    let restarted = play(|_| true).await;
    assert_eq!(whole, restarted);
    let reasons: Vec<&str> = whole.0.iter().map(|transition| transition.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "pending",
            "fired",
            "freshness_lost",
            "freshness_regained",
            "improving",
            "resolved",
            "pending",
            "fired",
            "improving",
            "resolved"
        ],
    );
    assert!(whole.0.iter().all(|transition| transition.slice_key == r#"{"issuer":"Harbour Bank"}"#));
    let incidents: Vec<u64> = whole.0.iter().map(|transition| transition.incident_id).collect();
    assert_eq!(incidents[1], incidents[7], "the second outage, minutes later, re-opens the incident");
    assert_ne!(whole.0[1].dedup_key, whole.0[7].dedup_key, "but pages anew");
}

#[tokio::test]
async fn one_incident_is_one_page_per_channel_updated_and_then_resolved() {
    let (_, messages) = play(|_| false).await;
    let chat: Vec<Action> =
        messages.iter().filter(|(channel, _)| channel == "chat").map(|(_, message)| message.action).collect();
    assert_eq!(chat[..5], [Action::Trigger, Action::Update, Action::Update, Action::Update, Action::Resolve]);
    assert_eq!(chat[5..], [Action::Trigger, Action::Update, Action::Resolve]);
    let lines: Vec<&str> = messages.iter().filter(|m| m.0 == "chat").map(|m| m.1.line.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_tick_that_cannot_be_written_has_not_happened() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), rules(), Book::default());
    // Without ClickHouse, the thirteenth tick pages.
    steps(&mut engine, 0..12).await;
    let before = engine.book.clone();
    let disk = rusqlite::Connection::open(folder.path().join("alerting.sqlite")).unwrap();
    disk.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, 'disk full'); END",
    )
    .unwrap();
    let paging = UnixMillis(START.0 + 12 * TICK_MS);
    engine.step(paging).await.unwrap_err();
    assert_eq!(engine.book, before, "the memory is as before");
    assert_eq!(engine.storage.load().await.unwrap(), *before, "and so is the disk");
    assert!(engine.storage.unexported(10).await.unwrap().is_empty(), "history has nothing of it");

    disk.execute_batch("DROP TRIGGER full").unwrap();
    engine.step(paging).await.unwrap();
    let waiting = engine.storage.due("chat".to_owned(), paging).await.unwrap().unwrap().waiting;
    assert_eq!((waiting.len(), waiting[0].message.action), (1, Action::Trigger), "paged once");
}
