//! The contract: every simulated webhook verifies, and becomes exactly the facts that were expected of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use strum::VariantArray as _;

use super::*;
use crate::world::{Answer, DeclineReason, World};

const START: UnixMillis = UnixMillis(1_795_316_820_123);
const NOW: UnixMillis = UnixMillis(1_795_316_900_000);

fn source(provider: Provider, settings: SourceSettings) -> SimulatedSource {
    SimulatedSource { settings, ..crate::testing::source(provider) }
}

fn with_settings() -> SourceSettings {
    SourceSettings {
        account: "acct \"quoted\" & Söhne".to_owned(),
        live: None,
        experiment_key: Some("exp".to_owned()),
        variant_key: Some("arm".to_owned()),
    }
}

/// What `payments` makes of `webhook` as it arrives.
fn facts_of(source: &SimulatedSource, webhook: &mut Webhook) -> Vec<PaymentEvent> {
    let headers: HeaderMap = Signer::new(source)
        .unwrap()
        .sign(webhook, NOW)
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()))
        .collect();
    let body = Bytes::from(webhook.body.clone());
    let shown = String::from_utf8_lossy(&body);
    crate::testing::read(source, &headers, &body, NOW).unwrap_or_else(|problem| panic!("{problem}: {shown}"))
}

fn check(provider: Provider, settings: &SourceSettings, payments: u64) -> Vec<Webhook> {
    let source = source(provider, settings.clone());
    let world = World::new(11, START, &[provider]);
    let mut all = Vec::new();
    for index in 0..payments {
        let payment = world.payment(index, START, None);
        for mut webhook in webhooks(&source, &payment) {
            let facts = facts_of(&source, &mut webhook);
            let shown = String::from_utf8_lossy(&webhook.body).into_owned();
            assert_eq!(facts, webhook.facts, "{shown}");
            all.push(webhook);
        }
    }
    all
}

#[test]
fn every_webhook_verifies_and_becomes_exactly_the_expected_facts() {
    for provider in Provider::VARIANTS {
        check(*provider, &SourceSettings::default(), 500);
        check(*provider, &with_settings(), 100);
    }
}

#[test]
fn every_reason_of_refusal_is_told_in_each_providers_words() {
    for provider in Provider::VARIANTS {
        let source = source(*provider, with_settings());
        let world = World::new(11, START, &[*provider]);
        for index in 0..12 {
            for reason in DeclineReason::all() {
                let mut payment = world.payment(index, START, None);
                payment.answer = Answer::Refused(reason);
                for mut webhook in webhooks(&source, &payment) {
                    let facts = facts_of(&source, &mut webhook);
                    let shown = String::from_utf8_lossy(&webhook.body).into_owned();
                    assert_eq!(facts, webhook.facts, "{reason:?}: {shown}");
                }
            }
        }
    }
}

#[test]
fn one_attempt_gives_one_answer() {
    for provider in Provider::VARIANTS {
        let source = source(*provider, SourceSettings::default());
        let world = World::new(12, START, &[*provider]);
        for index in 0..500 {
            let told = webhooks(&source, &world.payment(index, START, None));
            let answers =
                told.iter().flat_map(|webhook| &webhook.facts).filter(|fact| fact.is_answer()).count();
            assert_eq!(answers, 1, "{provider}, payment {index}");
        }
    }
}

#[test]
fn stripe_tells_twice_of_a_decline_and_up_to_four_times_of_an_approval() {
    let stripe = source(Provider::Stripe, SourceSettings::default());
    let world = World::new(13, START, &[Provider::Stripe]);
    let mut most = 0;
    for index in 0..500 {
        let mut payment = world.payment(index, START, None);
        (payment.later.refund, payment.later.dispute) = (None, None);
        let told = webhooks(&stripe, &payment).len();
        match payment.answer {
            Answer::Approved => most = most.max(told),
            Answer::Refused(DeclineReason::AuthenticationFailed) => assert_eq!(told, 1),
            Answer::Refused(_) => assert_eq!(told, 2),
        }
    }
    assert_eq!(most, 4);
}

#[test]
fn bodies_have_the_size_of_real_ones() {
    let median = |provider| {
        let mut sizes: Vec<usize> =
            check(provider, &with_settings(), 200).iter().map(|webhook| webhook.body.len()).collect();
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    };
    assert!((1_800..3_500).contains(&median(Provider::Stripe)), "{}", median(Provider::Stripe));
    let adyen = check(Provider::Adyen, &with_settings(), 50);
    assert!((2_000..3_500).contains(&adyen[0].body.len()), "{}", adyen[0].body.len());
    let checkout = check(Provider::Checkout, &with_settings(), 50);
    assert!((2_000..3_500).contains(&checkout[0].body.len()), "{}", checkout[0].body.len());
    assert!((600..1_500).contains(&median(Provider::Canonical)), "{}", median(Provider::Canonical));
}

#[test]
fn every_place_of_every_template_is_filled_and_no_body_holds_a_card_number() {
    for provider in Provider::VARIANTS {
        for webhook in check(*provider, &with_settings(), 120) {
            let body = String::from_utf8(webhook.body).unwrap();
            assert!(!body.contains("\"$"), "{body}");
            let digits = body.split(|character: char| !character.is_ascii_digit()).map(str::len).max();
            assert!(digits < Some(12), "{body}");
        }
    }
}

#[test]
fn signing_again_changes_the_signature_and_not_the_event() {
    let stripe = source(Provider::Stripe, SourceSettings::default());
    let signer = Signer::new(&stripe).unwrap();
    let payment = World::new(14, START, &[Provider::Stripe]).payment(0, START, None);
    let mut webhook = webhooks(&stripe, &payment).remove(0);
    let first = webhook.clone();
    let signed = signer.sign(&mut webhook, NOW);
    let again = signer.sign(&mut webhook, UnixMillis(NOW.0 + 5_000));
    assert_ne!(signed, again);
    assert_eq!((webhook.body, webhook.event_id), (first.body, first.event_id));
}

#[test]
fn a_secret_that_cannot_sign_is_refused_without_being_shown() {
    let mut adyen = source(Provider::Adyen, SourceSettings::default());
    adyen.secret = Secret::new("not hexadecimal");
    let error = Signer::new(&adyen).unwrap_err().to_string();
    assert!(error.contains("adyen-test") && !error.contains("not hexadecimal"), "{error}");
}
