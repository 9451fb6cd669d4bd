use payments::{Provider, Secret, SourceSettings};

use super::*;
use crate::http::Failure;
use crate::providers::webhooks;
use crate::world::World;

const START: UnixMillis = UnixMillis(1_795_316_820_123);

fn source() -> SimulatedSource {
    SimulatedSource {
        name: "stripe-us".to_owned(),
        provider: Provider::Stripe,
        secret: Secret::new("whsec_x"),
        settings: SourceSettings::default(),
    }
}

#[test]
fn what_is_written_is_read_and_summed_once_per_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let world = World::new(1, START, &[Provider::Stripe]);
    let told: Vec<Webhook> =
        (0..50).flat_map(|index| webhooks(&source(), &world.payment(index, START, None))).collect();

    let mut writer = LedgerWriter::create(&path).unwrap();
    let run = RunLine::new("simulate", 1, START, "http://x".to_owned(), &[source()]);
    writer.write(&Line::Run(run.clone())).unwrap();
    for webhook in &told {
        writer.write(&Line::Event(EventLine::new("stripe-us", webhook))).unwrap();
        for (attempt, answer) in [(1, Err(Failure::Timeout)), (2, Ok(503)), (3, Ok(200)), (1, Ok(200))] {
            let request = RequestLine::new("stripe-us", &webhook.event_id, attempt, START, answer);
            writer.write(&Line::Request(request)).unwrap();
        }
    }
    writer.flush().unwrap();

    let ledger = Ledger::read(&path).unwrap();
    assert_eq!(ledger.run, Some(run));
    assert_eq!(ledger.events.len(), told.len());
    assert!(ledger.events.values().all(|event| (event.requests, event.acknowledged) == (4, 2)));
    let summed: u64 = ledger.totals().values().map(|total| total.facts).sum();
    assert_eq!(summed, told.iter().map(|webhook| webhook.facts.len() as u64).sum::<u64>());
    assert_eq!(ledger.end, None);
}

#[test]
fn an_event_that_was_never_acknowledged_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let world = World::new(1, START, &[Provider::Stripe]);
    let webhook = webhooks(&source(), &world.payment(0, START, None)).remove(0);
    let mut writer = LedgerWriter::create(&path).unwrap();
    writer.write(&Line::Event(EventLine::new("stripe-us", &webhook))).unwrap();
    let request = RequestLine::new("stripe-us", &webhook.event_id, 1, START, Err(Failure::Closed));
    writer.write(&Line::Request(request)).unwrap();
    // The simulator was killed in the middle of a line.
    writer.write_raw(br#"{"line":"request","sou"#).unwrap();
    writer.flush().unwrap();

    let ledger = Ledger::read(&path).unwrap();
    assert_eq!((ledger.acknowledged().count(), ledger.unacknowledged().count()), (0, 1));
    assert!(ledger.totals().is_empty());
}

#[test]
fn a_line_that_is_none_of_ours_is_an_error_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    std::fs::write(&path, "{\"line\":\"end\",\"events\":0,\"acknowledged_events\":0,\"requests\":0,\"acknowledged_requests\":0}\nnonsense\n")
        .unwrap();
    let error = Ledger::read(&path).unwrap_err();
    assert!(matches!(error, LedgerError::Line { number: 2, .. }), "{error}");
}
