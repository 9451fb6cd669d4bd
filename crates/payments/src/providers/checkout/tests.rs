use super::super::testing::{self, damaged, event, normalize, story, verify};
use super::super::{Rejection, Verifier};
use super::*;
use crate::event::ThreeDs;

const CHECKOUT: Provider = Provider::Checkout;

#[test]
fn rejections_say_what_is_wrong() {
    let verifier = Verifier::new(CHECKOUT, &[Secret::new("key")]).unwrap();
    let answer = |headers: &[(&str, &str)]| verify(&verifier, headers, b"{}").unwrap_err();
    assert_eq!(answer(&[]), Rejection::MissingSignature);
    assert_eq!(answer(&[("Cko-Signature", "abc")]), Rejection::MalformedSignature);
    assert_eq!(answer(&[("Cko-Signature", "1757921478:org:MEUCIQ==")]), Rejection::MalformedSignature);
    assert_eq!(answer(&[("Cko-Signature", &"0".repeat(64))]), Rejection::WrongSignature);
    assert_eq!(Verifier::new(CHECKOUT, &[Secret::new("")]).unwrap_err().index, 0);
}

#[test]
fn an_approved_payment_is_told_whole() {
    let event = event(CHECKOUT, "payment_approved");
    assert_eq!(event.event_id, "evt_a1approved");
    assert_eq!((event.kind, event.outcome, event.live), (Kind::Authorization, Outcome::Approved, true));
    assert_eq!(event.occurred_at.to_string(), "2026-09-14T08:15:31.155Z");
    assert_eq!(event.payment_id, "pay_h4xk7q2mzv5wtn3rjb6dcy8upe");
    assert_eq!(event.attempt_id, "act_w2n8kqv5zxm4tj7hrb3dcy6upe");
    assert_eq!((&*event.account, &*event.order_id), ("configured", "basket-20260914-0815"));
    assert_eq!(event.money.unwrap().to_string(), "45.99 USD");
    assert_eq!((&*event.method, &*event.network, &*event.funding), ("card", "visa", "debit"));
    assert_eq!((&*event.bin, &*event.last4), ("41112233", "8842"));
    assert_eq!((&*event.issuer, &*event.issuer_country), ("MEADOW SAVINGS BANK", "US"));
    assert_eq!((event.three_ds, &*event.avs, &*event.cvc), (ThreeDs::Authenticated, "s", "y"));
    assert_eq!(event.risk_score, Some(14.5));
    assert_eq!((&*event.experiment, &*event.variant), ("one-page", "2"));
    assert_eq!(event.decline, None);
}

fn decline(name: &str) -> (Outcome, String, DeclineCategory, Retry) {
    let event = event(CHECKOUT, name);
    let decline = event.decline.unwrap();
    (event.outcome, decline.code, decline.category, decline.retry)
}

#[test]
fn a_decline_says_why() {
    for (name, outcome, code, category, retry) in [
        ("payment_declined", Outcome::Declined, "20051", DeclineCategory::InsufficientFunds, Retry::Soft),
        (
            "payment_declined-timeout",
            Outcome::Failed,
            "20068",
            DeclineCategory::IssuerUnavailable,
            Retry::Soft,
        ),
        ("payment_declined-advice", Outcome::Declined, "20005", DeclineCategory::NotPermitted, Retry::Hard),
        (
            "payment_declined-unknown-code",
            Outcome::Declined,
            "29999",
            DeclineCategory::Unknown,
            Retry::Unknown,
        ),
        ("payment_declined-2019", Outcome::Declined, "30041", DeclineCategory::LostOrStolen, Retry::Hard),
        (
            "payment_capture_declined-2018",
            Outcome::Failed,
            "30401",
            DeclineCategory::InvalidAmountOrCurrency,
            Retry::Hard,
        ),
        (
            "authentication_failed",
            Outcome::Failed,
            "Declined",
            DeclineCategory::AuthenticationFailed,
            Retry::SoftFix,
        ),
    ] {
        assert_eq!(decline(name), (outcome, code.to_owned(), category, retry), "{name}");
    }
}

#[test]
fn spellings_of_every_year_become_one() {
    let event = event(CHECKOUT, "payment_declined-2019");
    assert_eq!((&*event.network, &*event.funding, event.live), ("visa", "prepaid", false));
    assert_eq!((&*event.avs, &*event.cvc, event.three_ds), ("", "", ThreeDs::NotTold));
    let event = testing::event(CHECKOUT, "payment_declined-timeout");
    assert_eq!((&*event.network, &*event.funding, event.live), ("mastercard", "credit", false));
    assert_eq!(event.occurred_at.to_string(), "2026-09-14T08:15:31.158Z");
}

#[test]
fn payouts_are_no_payments() {
    for (name, outcome) in [
        ("payout-approved", Outcome::Approved),
        ("payout-declined", Outcome::Declined),
        ("payment_paid", Outcome::Succeeded),
        ("payment_returned", Outcome::Failed),
    ] {
        let event = event(CHECKOUT, name);
        assert_eq!((event.kind, event.outcome, event.is_answer()), (Kind::Payout, outcome, false), "{name}");
    }
}

#[test]
fn verifying_a_card_is_no_attempt_to_pay() {
    let verified = event(CHECKOUT, "card_verified");
    assert_eq!((verified.kind, verified.outcome), (Kind::Other, Outcome::Approved));
    let refused = event(CHECKOUT, "card_verification_declined");
    assert_eq!((refused.kind, refused.outcome), (Kind::Other, Outcome::Declined));
    assert_eq!(refused.decline.unwrap().category, DeclineCategory::IncorrectCvc);
}

#[test]
fn authentication_tells_a_trans_status_and_an_amount_as_text() {
    let event = event(CHECKOUT, "authentication_failed");
    assert_eq!((event.kind, event.three_ds), (Kind::Authentication, ThreeDs::Failed));
    assert_eq!(event.money.unwrap().to_string(), "45.99 USD");
    assert_eq!((&*event.payment_id, &*event.network), ("pay_h4xk7q2mzv5wtn3rjb6dcy8upe", "visa"));
}

#[test]
fn a_dispute_names_its_payment_and_not_itself() {
    let event = event(CHECKOUT, "dispute_evidence_required");
    assert_eq!((event.kind, event.outcome), (Kind::Dispute, Outcome::Opened));
    assert_eq!(event.payment_id, "pay_h4xk7q2mzv5wtn3rjb6dcy8upe");
    assert_eq!(
        (&*event.account, &*event.network, &*event.order_id),
        ("ent_g1", "visa", "basket-20260914-0815")
    );
    let old = testing::event(CHECKOUT, "dispute_won-2018");
    assert_eq!((old.outcome, old.money, &*old.order_id), (Outcome::Won, None, "order-18"));
}

#[test]
fn an_event_of_another_product_is_kept_as_another_fact() {
    for name in ["issuing-event", "unmapped-type-of-other-shape"] {
        let event = event(CHECKOUT, name);
        assert_eq!(
            (event.kind, event.outcome, &*event.payment_id),
            (Kind::Other, Outcome::Updated, ""),
            "{name}"
        );
    }
    let priced = r#"{"id":"e","type":"vault_card_priced","created_on":"2026-01-01T00:00:00Z","data":
        {"id":"card_1","amount":"1.50","currency":"EUR"}}"#;
    let priced = normalize(CHECKOUT, priced).unwrap().remove(0);
    assert_eq!((priced.kind, priced.money), (Kind::Other, None));
    let report = event(CHECKOUT, "report_generated");
    assert_eq!((report.kind, &*report.account), (Kind::Settlement, "ent_h1"));
}

#[test]
fn only_a_payments_id_is_taken_for_one() {
    let payment_id = |kind: &str, id: &str| {
        let body = format!(
            r#"{{"id":"e","type":"{kind}","created_on":"2026-01-01T00:00:00Z","data":{{"id":"{id}"}}}}"#
        );
        normalize(CHECKOUT, body).unwrap().remove(0).payment_id
    };
    assert_eq!(payment_id("card_verified", "pay_1"), "pay_1");
    assert_eq!(payment_id("card_updated", "crd_1"), "");
    assert_eq!(payment_id("payment_method_added", "src_1"), "");
}

#[test]
fn every_story_is_answered_once() {
    for (name, answer, facts) in [
        ("3ds-approved", Outcome::Approved, 6),
        ("3ds-failed", Outcome::Declined, 3),
        ("increment-declined", Outcome::Approved, 3),
    ] {
        let events = story(CHECKOUT, name);
        let answers: Vec<_> = events.iter().filter(|event| event.is_answer()).collect();
        assert_eq!((answers.len(), answers[0].outcome, events.len()), (1, answer, facts), "{name}");
        assert!(events.iter().all(|event| event.payment_id == events[0].payment_id), "{name}");
    }
}

#[test]
fn where_it_is_live_is_told_by_the_host_or_the_configuration() {
    let live = |href: &str, configured| {
        let body = format!(
            r#"{{"id":"e","type":"payment_approved","created_on":"2026-01-01T00:00:00Z","data":{{}},
            "_links":{{"self":{{"href":"{href}"}}}}}}"#
        );
        let mut settings = testing::settings();
        settings.live = configured;
        Provider::normalize(&testing::envelope(CHECKOUT, body), &settings).unwrap()[0].live
    };
    assert!(live("https://prefix.api.checkout.com/events/e", Some(false)));
    assert!(!live("https://prefix.api.sandbox.checkout.com/events/e", Some(true)));
    assert!(!live("http://localhost:5000/events/sandbox", Some(false)));
    assert!(live("nonsense", None));
}

#[test]
fn what_cannot_be_read_is_parked_with_the_field() {
    let park = |body: &str| normalize(CHECKOUT, body.to_owned()).unwrap_err().to_string();
    assert_eq!(park(r#"{"type":"payment_approved"}"#), "/id is missing");
    assert_eq!(park(r#"{"id":"e"}"#), "/type is missing");
    assert_eq!(park(r#"{"id":"e","type":"payment_approved"}"#), "/created_on is missing");
    let late = r#"{"id":"e","type":"payment_approved","timestamp":"soon","data":{}}"#;
    assert_eq!(park(late), "/timestamp is not an RFC 3339 time");
    let priced = r#"{"id":"e","type":"payment_approved","data":
        {"processed_on":"2026-01-01T00:00:00Z","amount":"1.50","currency":"EUR"}}"#;
    assert_eq!(park(priced), "/data/amount is not a whole number of minor units");
    let shaped = r#"{"id":"e","type":"payment_approved","created_on":"2026-01-01T00:00:00Z","data":
        {"source":"card"}}"#;
    assert!(park(shaped).starts_with("/data/source cannot be read"), "{}", park(shaped));
    // Delivered like this: two keys torn out of the middle.
    assert_eq!(
        normalize(CHECKOUT, "{\"id\": \"e\",\n\u{fffd}\n{\"reason\": \"x\"}}").unwrap_err().code(),
        "invalid_json"
    );
}

#[test]
fn damaged_bodies_never_panic() {
    for name in ["payment_approved", "authentication_failed"] {
        let body = std::fs::read(testing::fixture(&format!("checkout/{name}.json"))).unwrap();
        for bytes in damaged(&body) {
            let _ = normalize(CHECKOUT, bytes);
        }
    }
}

/// The field guide's response codes, where they are at hand: all 257.
#[test]
fn the_response_codes_agree_with_the_field_guide() {
    let Some(path) = testing::guide("decline_codes/checkout.json") else { return };
    let guide: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let codes = guide["codes"].as_array().unwrap();
    assert_eq!(codes.len(), 257);
    for row in codes {
        let text = |key: &str| row[key].as_str().unwrap();
        let expected = (text("category") != "approved").then(|| {
            let category = text("category").parse().unwrap_or(DeclineCategory::Unknown);
            (category, text("retry").replace('-', "_").parse::<Retry>().unwrap())
        });
        assert_eq!(response_codes::look_up(text("code")), expected, "{row}");
    }
}
