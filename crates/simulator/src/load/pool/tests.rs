use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::*;
use crate::ledger::FactLine;
use crate::testing::{read, sources};

const NOW: UnixMillis = UnixMillis(1_795_316_820_000);

fn pool() -> Pool {
    let target = Target::parse("http://127.0.0.1:8080").unwrap();
    Pool::new(1, NOW, &target, &sources(), true).unwrap()
}

/// The facts of a request as `payments` sees it, and those of its ledger line.
fn facts_of(request: &Request, now: UnixMillis) -> (Vec<FactLine>, Vec<FactLine>) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let body_at = parsed.parse(&request.bytes).unwrap().unwrap();
    let headers = parsed
        .headers
        .iter()
        .map(|header| (header.name.parse::<http::HeaderName>().unwrap(), header.value.try_into().unwrap()))
        .collect();
    let body = Bytes::copy_from_slice(&request.bytes[body_at..]);
    let source = &sources()[request.source];
    assert_eq!(parsed.path, Some(format!("/webhooks/{}", source.name).as_str()));
    let told = read(source, &headers, &body, now).unwrap().iter().map(FactLine::from).collect();
    let Line::Event(line) = serde_json::from_slice(&request.line).unwrap() else { panic!("not an event") };
    assert_eq!((line.source, &line.event_id), (source.name.clone(), &request.event_id));
    (told, line.facts)
}

#[test]
fn every_request_verifies_and_is_an_event_of_its_own_with_the_facts_of_its_line() {
    let mut pool = pool();
    let mut request = Request::default();
    let mut ids = HashSet::new();
    let mut by_source: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..3_000 {
        pool.next(NOW, &mut request);
        let (told, expected) = facts_of(&request, NOW);
        assert_eq!(told, expected);
        let counted: Vec<(&str, &str)> = request.facts.to_vec();
        assert_eq!(
            counted,
            told.iter().map(|fact| (fact.kind.as_str(), fact.outcome.as_str())).collect::<Vec<_>>()
        );
        assert!(told.iter().all(|fact| fact.occurred_at <= NOW), "an event of the future");
        assert!(ids.insert((request.source, request.event_id.clone())), "{} twice", request.event_id);
        *by_source.entry(request.source).or_default() += 1;
    }
    assert_eq!(by_source.len(), sources().len(), "{by_source:?}");
}

#[test]
fn requests_stay_fresh_in_a_long_run() {
    let mut pool = pool();
    let mut request = Request::default();
    let mut now = NOW;
    for _ in 0..500 {
        now = now.plus(Duration::from_secs(1));
        pool.next(now, &mut request);
        let (told, expected) = facts_of(&request, now);
        assert_eq!(told, expected);
        assert!(now.since(told[0].occurred_at) < Duration::from_mins(1));
    }
}

#[test]
fn a_request_that_is_signed_again_much_later_is_the_same_event() {
    let mut pool = pool();
    let mut request = Request::default();
    for _ in 0..300 {
        pool.next(NOW, &mut request);
        let first = facts_of(&request, NOW);
        let later = NOW.plus(Duration::from_hours(1));
        pool.sign_again(later, &mut request);
        assert_eq!(facts_of(&request, later), first);
    }
}
