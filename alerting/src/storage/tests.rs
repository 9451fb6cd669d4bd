use std::sync::Arc;

use payments::UnixMillis;

use super::transitions::Transition;
use super::*;
use crate::page::Action;
use crate::page::tests::{message, outage};
use crate::slice::Slice;

fn transition(id: &str, at: i64) -> Transition {
    Transition {
        id: id.to_owned(),
        at: UnixMillis(at),
        decided_at: UnixMillis(at),
        rule_id: "issuer-declines".to_owned(),
        slice_key: "{}".to_owned(),
        incident_id: 1,
        dedup_key: String::new(),
        from_state: "inactive".to_owned(),
        to_state: "firing".to_owned(),
        severity: "critical".to_owned(),
        reason: "fired".to_owned(),
        details: "{}".to_owned(),
    }
}

fn changes() -> TickChanges {
    let watch = Watch { sighted_to: Some(UnixMillis(3)), blind_ticks: 1, late_ticks: 0 };
    let mut book = Book { last_incident_id: 7, watch, ..Book::default() };
    book.rules.insert("issuer-declines".to_owned(), RuleRecord { hash: "h".to_owned(), failures: 2 });
    let mut tracked = Tracked::new(Slice::default());
    tracked.page = Some(outage());
    book.slices.insert(("issuer-declines".to_owned(), "{}".to_owned()), tracked);
    TickChanges {
        book,
        transitions: vec![transition("a", 1)],
        messages: vec![("pager".to_owned(), message(Action::Trigger, outage()))],
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_the_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.sqlite");
    let storage = Storage::open(&path).unwrap();
    storage.commit(Arc::default(), Arc::new(changes()), UnixMillis(5)).await.unwrap();
    drop(storage);

    let storage = Storage::open(&path).unwrap();
    let book = storage.load().await.unwrap();
    assert_eq!(book, changes().book);
    let due = storage.due("pager".to_owned(), UnixMillis(5)).await.unwrap().unwrap();
    assert_eq!((due.waiting.len(), due.waiting[0].seq, due.delivered_before), (1, 1, false));
    assert_eq!(due.waiting[0].message, changes().messages[0].1);

    storage.commit(Arc::new(book), Arc::new(TickChanges::default()), UnixMillis(6)).await.unwrap();
    assert_eq!(storage.load().await.unwrap().slices.len(), 0, "what the tick no longer has is gone");
}

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
    let broken = storage.call(|connection| Ok(connection.execute_batch("DROP TABLE outbox")?)).await;
    broken.unwrap();
    let failed = storage.commit(Arc::default(), Arc::new(changes()), UnixMillis(5)).await;
    assert!(matches!(failed, Err(StorageError::Sqlite(_))));
    assert_eq!(storage.load().await.unwrap(), Book::default());
    assert!(storage.unexported(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn history_waits_until_it_is_exported_and_the_same_transition_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
    for _ in 0..2 {
        let tick = TickChanges {
            transitions: vec![transition("a", 1), transition("b", 2)],
            ..TickChanges::default()
        };
        storage.commit(Arc::default(), Arc::new(tick), UnixMillis(5)).await.unwrap();
    }
    let waiting = storage.unexported(10).await.unwrap();
    assert_eq!(waiting.iter().map(|(_, row)| row.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    storage.mark_exported(waiting[0].0, UnixMillis(6)).await.unwrap();
    assert_eq!(storage.unexported(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_earlier_build_wrote_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
    let written =
        storage.call(|connection| Ok(connection.execute_batch(include_str!("fixtures/first.sql"))?));
    written.await.unwrap();
    let book = storage.load().await.unwrap();
    let key = ("issuer-declines".to_owned(), r#"{"issuer":"Harbour Bank"}"#.to_owned());
    let tracked = &book.slices[&key];
    assert!(tracked.state.phase.is_open() && tracked.page.is_some());
    assert_eq!((book.last_incident_id, book.rules.len()), (8, 1));
    let line = storage.due("pager".to_owned(), UnixMillis(i64::MAX)).await.unwrap().unwrap();
    assert_eq!(line.waiting[0].message.action, Action::Update);
    assert_eq!(storage.unexported(10).await.unwrap()[0].1.reason, "fired");
    assert_eq!(storage.take_unreadable(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_counted_and_stops_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
    storage.commit(Arc::default(), Arc::new(changes()), UnixMillis(5)).await.unwrap();
    let damage = "UPDATE outbox SET message = '{}'; UPDATE transitions SET row = '{}'; UPDATE slices SET tracked = '{}';";
    storage.call(|connection| Ok(connection.execute_batch(damage)?)).await.unwrap();
    let more = TickChanges { transitions: vec![transition("b", 2)], ..changes() };
    storage.commit(Arc::new(changes().book), Arc::new(more), UnixMillis(6)).await.unwrap();

    let book = storage.load().await.unwrap();
    assert_eq!((book.slices.len(), book.rules.len()), (0, 1));
    let line = storage.due("pager".to_owned(), UnixMillis(6)).await.unwrap().unwrap();
    assert_eq!(
        line.waiting.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [2],
        "what stood behind it is delivered"
    );
    let rows = storage.unexported(10).await.unwrap();
    assert_eq!(rows.iter().map(|(_, row)| row.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(storage.take_unreadable(), 3);
}

#[test]
fn a_second_evaluator_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.sqlite");
    let first = Storage::open(&path).unwrap();
    let second = Storage::open(&path).unwrap_err();
    assert!(matches!(second, StorageError::Locked { .. }));
    assert!(second.to_string().contains("give this one its own --data-dir"), "{second}");
    drop(first);
    Storage::open(&path).unwrap();
}

#[test]
fn a_file_of_a_newer_build_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.sqlite");
    drop(Storage::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Storage::open(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the alerting state has schema version 99, this build knows up to 1; upgrade Tillwatch"
    );
    let missing = Storage::open(Path::new("/nonexistent/alerting.sqlite")).unwrap_err();
    assert!(missing.to_string().contains("is the data directory writable?"));
}
