//! What holds for every provider: a new one is done when this passes.

use std::collections::{BTreeMap, HashMap, HashSet};

use payments::{Kind, Outcome, PaymentEvent, Provider, Rejection};
use strum::VariantArray as _;

use crate::support::signing::{secret, sign};
use crate::support::{Fixture, NOW, fixture_folder, fixtures, normalize, repository};

/// Every fixture of every provider with its facts.
fn every_fixture() -> Vec<(Provider, Fixture, Vec<PaymentEvent>)> {
    let of = |provider: Provider| {
        fixtures(provider).into_iter().map(move |fixture| {
            let events = normalize(provider, &fixture.body)
                .unwrap_or_else(|reason| panic!("{provider}/{}: {reason}", fixture.name));
            (provider, fixture, events)
        })
    };
    Provider::VARIANTS.iter().copied().flat_map(of).collect()
}

#[test]
fn every_provider_has_fixtures_stories_vectors_and_a_page() {
    for provider in Provider::VARIANTS {
        let fixtures = fixtures(*provider);
        assert!(fixtures.len() >= 5, "{provider} has too few fixtures");
        assert!(fixtures.iter().any(|fixture| fixture.story().is_some()), "{provider} has no story");
        let vectors = fixture_folder(*provider).join("vectors.json");
        assert!(vectors.is_file(), "{provider} has no signature vectors");
        let page = repository().join(format!("docs/providers/{provider}.md"));
        assert!(page.is_file(), "{provider} has no page: {}", page.display());
        assert!(provider.mapper_version() >= 1);
    }
}

#[test]
fn every_webhook_is_visible_and_its_facts_are_stable_and_distinct() {
    for (provider, fixture, events) in every_fixture() {
        let name = format!("{provider}/{}", fixture.name);
        assert!(!events.is_empty(), "{name} leaves no trace");
        assert!(events.iter().all(|event| !event.event_id.is_empty()), "{name}");
        let identities: HashSet<_> = events.iter().map(|event| (&event.event_id, event.fact)).collect();
        assert_eq!(identities.len(), events.len(), "{name}: two facts share (event_id, fact)");
        assert_eq!(normalize(provider, &fixture.body).unwrap(), events, "{name}: not the same twice");
    }
}

#[test]
fn two_different_webhooks_never_share_an_identity() {
    let mut seen: HashMap<_, (String, PaymentEvent)> = HashMap::new();
    for (provider, fixture, events) in every_fixture() {
        for event in events {
            let identity = (provider, event.event_id.clone(), event.fact);
            if let Some((first, same)) = seen.insert(identity, (fixture.name.clone(), event.clone())) {
                assert_eq!(same, event, "{provider}: {first} and {} share an identity", fixture.name);
            }
        }
    }
}

#[test]
fn every_attempt_of_a_story_has_exactly_one_answer() {
    let mut answers: BTreeMap<(&str, String), Vec<PaymentEvent>> = BTreeMap::new();
    for (provider, fixture, events) in every_fixture() {
        let Some(story) = fixture.story() else { continue };
        let of_story = answers.entry((provider.name(), story.to_owned())).or_default();
        of_story.extend(events.into_iter().filter(PaymentEvent::is_answer));
    }
    for ((provider, story), answers) in answers {
        let name = format!("{provider}/{story}");
        assert_eq!(answers.len(), attempts(&story), "{name}: {answers:#?}");
        let attempts: HashSet<_> = answers.iter().map(|answer| &answer.attempt_id).collect();
        assert_eq!(attempts.len(), answers.len(), "{name}: two answers for one attempt");
        assert!(
            answers.iter().all(|answer| !answer.attempt_id.is_empty()),
            "{name}: an answer to no attempt"
        );
    }
}

/// `story-…-2-attempts` holds two attempts, every other story one.
fn attempts(story: &str) -> usize {
    let count = story.strip_suffix("-attempts").and_then(|rest| rest.rsplit('-').next());
    count.map_or(1, |count| count.parse().unwrap())
}

#[test]
fn declines_are_explained_and_nothing_else_is() {
    for (provider, fixture, events) in every_fixture() {
        for event in &events {
            let name = format!("{provider}/{}: {event:#?}", fixture.name);
            let refused = matches!(event.outcome, Outcome::Declined | Outcome::Failed);
            if event.kind == Kind::Authorization {
                assert_eq!(event.decline.is_some(), refused, "{name}");
            }
            if event.outcome == Outcome::Approved {
                assert_eq!(event.decline, None, "{name}");
            }
        }
    }
}

#[test]
fn columns_hold_what_their_names_promise() {
    for (provider, fixture, events) in every_fixture() {
        for event in &events {
            let name = format!("{provider}/{}: {event:#?}", fixture.name);
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(event.bin.len() <= 8 && digits(&event.bin), "{name}");
            assert!(event.last4.is_empty() || event.last4.len() == 4, "{name}");
            assert!(matches!(event.issuer_country.len(), 0 | 2), "{name}");
            assert_eq!(event.issuer_country, event.issuer_country.to_uppercase(), "{name}");
            assert!(matches!(&*event.funding, "" | "credit" | "debit" | "prepaid"), "{name}");
            assert!(event.occurred_at.0 > 1_000_000_000_000, "{name}: not in milliseconds");
            for word in [&event.method, &event.wallet, &event.network, &event.avs, &event.cvc] {
                assert_eq!(*word, word.to_lowercase(), "{name}");
            }
            assert!(event.fee_minor.is_none() || event.money.is_some(), "{name}: a fee of no currency");
            if event.is_answer() {
                assert!(event.money.is_some(), "{name}: an answer about no amount");
            }
        }
    }
}

#[test]
fn what_the_sender_signs_is_accepted_and_its_secret_told() {
    for (provider, fixture, _) in every_fixture() {
        let secrets = [secret(provider, 0), secret(provider, 1)];
        for (index, secret) in secrets.iter().enumerate() {
            let signed = sign(provider, secret, &fixture.body, NOW);
            assert_eq!(signed.verify(&secrets, NOW), Ok(index), "{provider}/{}", fixture.name);
        }
    }
}

#[test]
fn what_another_signs_is_refused_as_wrong_however_old_it_is() {
    for (provider, fixture, _) in every_fixture() {
        for seconds in [0, 10_000, -10_000] {
            let at = payments::UnixMillis(NOW.0 + seconds * 1000);
            let signed = sign(provider, &secret(provider, 7), &fixture.body, at);
            let rejection = signed.verify(&[secret(provider, 0), secret(provider, 1)], NOW).unwrap_err();
            assert_eq!(rejection, Rejection::WrongSignature, "{provider}/{}", fixture.name);
        }
    }
}

#[test]
fn a_provider_that_signs_its_clock_is_refused_a_replay() {
    for provider in [Provider::Stripe, Provider::Canonical] {
        let fixture = &fixtures(provider)[0];
        for (seconds, expected) in [(-301, Rejection::StaleTimestamp), (301, Rejection::FutureTimestamp)] {
            let at = payments::UnixMillis(NOW.0 + seconds * 1000);
            let signed = sign(provider, &secret(provider, 0), &fixture.body, at);
            assert_eq!(signed.verify(&[secret(provider, 0)], NOW), Err(expected), "{provider}");
        }
    }
}
