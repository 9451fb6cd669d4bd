use super::super::testing::{self, damaged, event, events, normalize, story, verify};
use super::super::{Provider, Rejection, Verifier};
use super::*;
use crate::Secret;
use crate::decline::{DeclineCategory, Retry};
use crate::event::{Kind, Outcome, ThreeDs};

const ADYEN: Provider = Provider::Adyen;
const KEY: &str = "0F1E2D3C4B5A69788796A5B4C3D2E1F00F1E2D3C4B5A69788796A5B4C3D2E1F0";

fn verifier() -> Verifier {
    Verifier::new(ADYEN, &[Secret::new(KEY)]).unwrap()
}

#[test]
fn rejections_say_what_is_wrong() {
    let answer =
        |headers: &[(&str, &str)], body: &str| verify(&verifier(), headers, body.as_bytes()).unwrap_err();
    let item =
        |fields: &str| format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{{{fields}}}}}]}}"#);
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(answer(&[], ""), Rejection::MalformedBody);
    assert_eq!(answer(&[], r#"{"type":"recurring.token.created"}"#), Rejection::MalformedBody);
    assert_eq!(answer(&[], r#"{"notificationItems":[{}]}"#), Rejection::MalformedBody);
    assert_eq!(answer(&[], &item("")), Rejection::MissingSignature);
    assert_eq!(
        answer(&[], &item(r#""additionalData":{"hmacSignature":"?"}"#)),
        Rejection::MalformedSignature
    );
    let wrong = item(&format!(r#""additionalData":{{"hmacSignature":"{zeros}"}}"#));
    assert_eq!(answer(&[], &wrong), Rejection::WrongSignature);
    assert_eq!(answer(&[("hmacsignature", "?")], "x"), Rejection::MalformedSignature);
    assert_eq!(answer(&[("hmacsignature", zeros)], "x"), Rejection::WrongSignature);
    assert_eq!(answer(&[("HMACSignature", "")], "x"), Rejection::MissingSignature);
}

#[test]
fn a_field_that_is_there_twice_cannot_be_signed_once_and_read_as_the_other() {
    let body = std::fs::read_to_string(testing::fixture("adyen/authorisation-approved.json")).unwrap();
    let forged = body.replacen("\"success\": \"true\"", "\"success\": \"true\", \"success\": \"false\"", 1);
    assert_ne!(forged, body);
    assert_eq!(verify(&verifier(), &[], body.as_bytes()), Ok(0));
    assert_eq!(verify(&verifier(), &[], forged.as_bytes()), Err(Rejection::MalformedBody));
}

#[test]
fn fields_cannot_be_signed_by_position_and_read_by_another() {
    let body = std::fs::read(testing::fixture("adyen/authorisation-approved.json")).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let items = &body["notificationItems"];
    let item = &items[0]["NotificationRequestItem"];
    let signed = [
        "pspReference",
        "originalReference",
        "merchantAccountCode",
        "merchantReference",
        "amount",
        "eventCode",
        "success",
        "additionalData",
    ];
    let by_position: Vec<_> = signed.iter().map(|field| &item[field]).collect();
    for forged in [
        serde_json::json!({"notificationItems": [{"NotificationRequestItem": by_position}]}),
        serde_json::json!([items]),
    ] {
        let forged = forged.to_string();
        assert_eq!(verify(&verifier(), &[], forged.as_bytes()), Err(Rejection::MalformedBody), "{forged}");
        assert!(normalize(ADYEN, forged).is_err());
    }
}

#[test]
fn more_items_than_a_webhook_may_hold_are_refused_before_any_is_verified() {
    let item = r#"{"NotificationRequestItem":{}}"#;
    let body = format!(r#"{{"notificationItems":[{}]}}"#, vec![item; EVENTS_MAX + 1].join(","));
    assert_eq!(verify(&verifier(), &[], body.as_bytes()), Err(Rejection::MalformedBody));
    let reason = normalize(ADYEN, body).unwrap_err();
    assert_eq!(reason, ParkReason::TooManyEvents { count: EVENTS_MAX + 1, max: EVENTS_MAX });
}

#[test]
fn a_secret_that_is_not_a_key_is_named() {
    for bad in ["", "abcd", &KEY[1..], &KEY.replace('F', "G")] {
        let error = Verifier::new(ADYEN, &[Secret::new(KEY), Secret::new(bad)]).unwrap_err();
        assert_eq!((error.index, error.provider), (1, ADYEN), "{bad}");
    }
}

#[test]
fn the_oldest_key_of_a_batch_is_the_one_seen_in_use() {
    let body = std::fs::read(testing::fixture("adyen/batch.json")).unwrap();
    let verifier = Verifier::new(ADYEN, &[Secret::new("00".repeat(32)), Secret::new(KEY)]).unwrap();
    assert_eq!(verify(&verifier, &[], &body), Ok(1));
}

#[test]
fn an_approved_authorisation_is_told_whole() {
    let event = event(ADYEN, "authorisation-approved");
    assert_eq!(event.event_id, "AUTHORISATION:KQ7W3ZR5MNT82HX5:FreshBasketUS:true");
    assert_eq!((event.kind, event.outcome, event.live), (Kind::Authorization, Outcome::Approved, true));
    assert_eq!(event.occurred_at.to_string(), "2026-09-14T08:15:31.000Z");
    assert_eq!((&*event.payment_id, &*event.attempt_id), ("KQ7W3ZR5MNT82HX5", "KQ7W3ZR5MNT82HX5"));
    assert_eq!((&*event.account, &*event.order_id), ("FreshBasketUS", "basket-20260914-0815"));
    assert_eq!(event.money.unwrap().to_string(), "45.99 USD");
    assert_eq!((&*event.method, &*event.network, &*event.wallet), ("card", "visa", ""));
    assert_eq!((&*event.funding, &*event.bin, &*event.last4), ("debit", "411122", "8842"));
    assert_eq!((&*event.issuer, &*event.issuer_country), ("Meadow Savings Bank", "US"));
    assert_eq!((event.three_ds, &*event.avs, &*event.cvc), (ThreeDs::Authenticated, "7", "1"));
    assert_eq!(event.risk_score, Some(12.0));
    assert_eq!((&*event.experiment, &*event.variant), ("one-page", "B"));
    assert_eq!(event.decline, None);
}

#[test]
fn a_wallet_is_told_from_the_card_in_it() {
    let event = event(ADYEN, "authorisation-apple-pay");
    assert_eq!((&*event.method, &*event.wallet, &*event.network), ("card", "apple_pay", "mastercard"));
    assert_eq!(event.three_ds, ThreeDs::Exempted);
    assert_eq!(event.money.unwrap().amount_minor, 12_750);
    assert_eq!(event.occurred_at.0 % 1000, 418);
}

#[test]
fn methods_that_are_no_cards_keep_their_names() {
    let event = event(ADYEN, "authorisation-ideal");
    assert_eq!((&*event.method, &*event.network, event.decline), ("ideal", "", None));
    let name = |names: &[&str]| {
        let told = instrument::instrument(names);
        (told.method, told.network)
    };
    assert_eq!(name(&["bankTransfer_IBAN"]), ("bank_transfer_iban".to_owned(), String::new()));
    assert_eq!(name(&["mc", "m1"]), ("card".to_owned(), "mastercard".to_owned()));
    assert_eq!(name(&["", "visastandarddebit"]), ("card".to_owned(), "visa".to_owned()));
    assert_eq!(name(&["scheme"]), ("card".to_owned(), String::new()));
}

fn decline(name: &str) -> (Outcome, String, DeclineCategory, String, Retry) {
    let event = event(ADYEN, name);
    let decline = event.decline.unwrap();
    (event.outcome, decline.code, decline.category, decline.network_code, decline.retry)
}

#[test]
fn a_refusal_says_why() {
    let told = |code: &str, network_code: &str| (code.to_owned(), network_code.to_owned());
    let (outcome, code, category, network_code, retry) = decline("authorisation-refused-insufficient-funds");
    assert_eq!((code, network_code), told("Not enough balance", "51"));
    assert_eq!(
        (outcome, category, retry),
        (Outcome::Declined, DeclineCategory::InsufficientFunds, Retry::Soft)
    );
    let (outcome, code, category, network_code, retry) = decline("authorisation-refused-advice");
    assert_eq!((code, network_code), told("REFUSED", "05"));
    assert_eq!((outcome, category, retry), (Outcome::Declined, DeclineCategory::NotPermitted, Retry::Hard));
}

#[test]
fn an_issuer_that_does_not_answer_is_a_failure_and_no_decline() {
    let (outcome, code, category, ..) = decline("authorisation-refused-issuer-unavailable");
    assert_eq!((outcome, &*code, category), (Outcome::Failed, "Refused", DeclineCategory::IssuerUnavailable));
}

#[test]
fn verifying_a_card_is_no_attempt_to_pay() {
    let event = event(ADYEN, "authorisation-card-verification");
    assert_eq!((event.kind, event.outcome, event.is_answer()), (Kind::Other, Outcome::Declined, false));
    assert_eq!(event.decline.unwrap().category, DeclineCategory::IncorrectCvc);
}

#[test]
fn failures_that_come_with_success_true_are_failures() {
    for (name, kind) in [("capture-failed", Kind::Capture), ("refund-failed", Kind::Refund)] {
        let event = event(ADYEN, name);
        assert_eq!((event.kind, event.outcome), (kind, Outcome::Failed), "{name}");
        assert_eq!(event.payment_id, "KQ7W3ZR5MNT82HX5");
    }
    assert_eq!(event_codes::meaning("REFUNDED_REVERSED", true, "", ""), (Kind::Refund, Outcome::Failed));
}

#[test]
fn cancel_or_refund_is_what_its_action_says() {
    let meaning = |action, success| event_codes::meaning("CANCEL_OR_REFUND", success, action, "");
    assert_eq!(meaning("cancel", true), (Kind::Cancel, Outcome::Succeeded));
    assert_eq!(meaning("refund", false), (Kind::Refund, Outcome::Failed));
    assert_eq!(meaning("", true), (Kind::Other, Outcome::Succeeded));
    assert_eq!(event(ADYEN, "cancel-or-refund").kind, Kind::Cancel);
}

#[test]
fn disputes_end_by_name_or_status() {
    let meaning = |code, status| event_codes::meaning(code, true, "", status);
    assert_eq!(meaning("PREARBITRATION_WON", ""), (Kind::Dispute, Outcome::Won));
    assert_eq!(meaning("SCHEME_ARBITRATION_LOST", ""), (Kind::Dispute, Outcome::Lost));
    assert_eq!(meaning("ISSUER_COMMENTS", ""), (Kind::Dispute, Outcome::Updated));
    assert_eq!(meaning("DISPUTE_DEFENSE_PERIOD_ENDED", "Lost"), (Kind::Dispute, Outcome::Lost));
    assert_eq!(meaning("DISPUTE_DEFENSE_PERIOD_ENDED", "Undefended"), (Kind::Dispute, Outcome::Updated));
    let opened = event(ADYEN, "chargeback");
    assert_eq!((opened.outcome, &*opened.network, opened.decline), (Outcome::Opened, "mastercard", None));
    assert_eq!(event(ADYEN, "dispute-defense-period-ended").outcome, Outcome::Lost);
}

#[test]
fn an_unknown_event_code_is_kept_as_another_fact() {
    let event = event(ADYEN, "unknown-event-code");
    assert_eq!((event.kind, event.outcome), (Kind::Other, Outcome::Updated));
}

#[test]
fn a_report_is_no_payment() {
    let event = event(ADYEN, "report-available");
    assert_eq!((event.kind, event.outcome), (Kind::Settlement, Outcome::Succeeded));
    assert_eq!((&*event.payment_id, event.money), ("", None));
}

#[test]
fn pesos_are_counted_in_pesos() {
    assert_eq!(event(ADYEN, "authorisation-chilean-pesos").money.unwrap().to_string(), "15990 CLP");
}

#[test]
fn a_batch_gives_one_fact_for_each_item() {
    let events = events(ADYEN, "batch");
    let outcomes: Vec<_> = events.iter().map(|event| (event.kind, event.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            (Kind::Authorization, Outcome::Approved),
            (Kind::Authorization, Outcome::Declined),
            (Kind::Capture, Outcome::Succeeded)
        ]
    );
}

#[test]
fn of_the_same_item_twice_in_a_batch_the_newer_stands() {
    let item = |date: &str, reason: &str| {
        format!(
            r#"{{"NotificationRequestItem":{{"eventCode":"AUTHORISATION","pspReference":"P","success":"false",
            "merchantAccountCode":"M","eventDate":"{date}","reason":"{reason}"}}}}"#
        )
    };
    let (old, new) = (item("2026-01-01T00:00:00Z", "Refused"), item("2026-01-01T00:00:01Z", "Expired Card"));
    for items in [format!("{old},{new}"), format!("{new},{old}")] {
        let events = normalize(ADYEN, format!(r#"{{"notificationItems":[{items}]}}"#)).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].decline.as_ref().unwrap().code, "Expired Card");
    }
}

#[test]
fn every_story_is_answered_once() {
    for (name, answer, facts) in [
        ("captured-and-refunded", Outcome::Approved, 7),
        ("refused", Outcome::Declined, 3),
        ("adjustment-refused", Outcome::Approved, 3),
    ] {
        let events = story(ADYEN, name);
        let answers: Vec<_> = events.iter().filter(|event| event.is_answer()).collect();
        assert_eq!((answers.len(), answers[0].outcome), (1, answer), "{name}");
        let identities: std::collections::HashSet<_> =
            events.iter().map(|event| (&event.event_id, event.fact)).collect();
        assert_eq!((identities.len(), events.len()), (facts, facts), "{name}");
        assert!(events.iter().all(|event| event.payment_id == events[0].payment_id), "{name}");
    }
}

#[test]
fn a_transfer_that_comes_back_is_a_failed_payout() {
    let event = event(ADYEN, "platform-payout-failed");
    assert_eq!(event.event_id, "3K8Q2ZVXN5TWB7R1:4");
    assert_eq!((event.kind, event.outcome), (Kind::Payout, Outcome::Failed));
    assert_eq!(event.decline.unwrap().code, "counterpartyAccountClosed");
    assert_eq!(event.money.unwrap().to_string(), "12500.00 USD");
}

#[test]
fn interchange_is_told_by_the_step_that_caused_the_event_alone() {
    let event = event(ADYEN, "platform-interchange");
    assert_eq!((event.kind, event.fee_minor), (Kind::Settlement, Some(83)));
    assert_eq!((&*event.payment_id, &*event.order_id), ("KQ7W3ZR5MNT82HX5", "basket-20260914-0815"));
}

#[test]
fn platform_events_have_an_identity_and_a_time_even_where_they_tell_none() {
    let token = event(ADYEN, "platform-token-created");
    assert_eq!((&*token.event_id, token.live, &*token.account), ("XR4T8NKQ2VW6BZ9M", false, "FreshBasketUS"));
    assert_eq!(event(ADYEN, "platform-report-created").kind, Kind::Settlement);
    let events = normalize(ADYEN, r#"{"type":"balancePlatform.dispute.created","data":{"id":"D"}}"#).unwrap();
    assert_eq!(events[0].occurred_at, testing::RECEIVED_AT);
    assert_eq!(events[0].event_id.len(), 64);
    assert_eq!((events[0].live, &*events[0].account), (true, "configured"));
}

#[test]
fn a_type_that_is_not_mapped_may_hold_data_of_any_shape() {
    let body = r#"{"type":"merchant.updated","createdAt":"2026-01-01T00:00:00Z","data":{"amount":7}}"#;
    assert_eq!(normalize(ADYEN, body).unwrap()[0].kind, Kind::Other);
    let body = body.replace("merchant.updated", "balancePlatform.transfer.updated");
    assert_eq!(normalize(ADYEN, body).unwrap_err().code(), "bad_field");
    let body = r#"{"type":"balancePlatform.dispute.created","data":{"disputedAmount":{"value":"1.5","currency":"EUR"}}}"#;
    assert_eq!(normalize(ADYEN, body).unwrap()[0].money, None);
    let body = body.replace("dispute.created", "transfer.updated").replace("disputedAmount", "amount");
    let problem = normalize(ADYEN, body).unwrap_err().to_string();
    assert_eq!(problem, "/data/amount/value is not a whole number of minor units");
}

#[test]
fn what_cannot_be_read_is_parked_with_the_field() {
    let park = |item: &str| {
        let body = format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{{{item}}}}}]}}"#);
        normalize(ADYEN, body).unwrap_err().to_string()
    };
    let at = "/notificationItems/0/NotificationRequestItem";
    let whole = r#""eventCode":"CAPTURE","pspReference":"P","eventDate":"2026-01-01T00:00:00Z""#;
    assert_eq!(park(""), format!("{at}/eventCode is missing"));
    assert_eq!(park(r#""eventCode":"CAPTURE""#), format!("{at}/pspReference is missing"));
    let priced = format!(r#"{whole},"amount":{{"value":"1.5","currency":"EUR"}}"#);
    assert_eq!(park(&priced), format!("{at}/amount/value is not a whole number of minor units"));
    for success in ["", r#","success":null"#, r#","success":"yes""#, r#","success":0"#] {
        let answer = format!("{}{success}", whole.replace("CAPTURE", "AUTHORISATION"));
        assert_eq!(park(&answer), format!("{at}/success is neither true nor false"));
    }
    assert_eq!(normalize(ADYEN, "TestPayload").unwrap_err().code(), "invalid_json");
    assert_eq!(normalize(ADYEN, r#"{"SaleToPOIRequest":{}}"#).unwrap_err().code(), "unexpected_shape");
}

#[test]
fn an_item_without_a_readable_date_does_not_park_its_batch() {
    let item = |reference: &str, date: &str| {
        format!(
            r#"{{"NotificationRequestItem":{{"eventCode":"AUTHORISATION","pspReference":"{reference}",
            "success":true{date}}}}}"#
        )
    };
    let dated = item("A", r#","eventDate":"2026-01-01T00:00:00Z""#);
    for date in ["", r#","eventDate":"yesterday""#, r#","eventDate":[]"#] {
        let body = format!(r#"{{"notificationItems":[{dated},{}]}}"#, item("B", date));
        let events = normalize(ADYEN, body).unwrap();
        assert_eq!((events.len(), events[1].occurred_at), (2, testing::RECEIVED_AT), "{date}");
    }
}

#[test]
fn only_an_approved_payments_reason_holds_digits_of_the_card() {
    let last4 = |code: &str, success: &str| {
        let item = format!(
            r#""eventCode":"{code}","pspReference":"P","success":"{success}","reason":"1234:5678:07/2030""#
        );
        let body = format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{{{item}}}}}]}}"#);
        normalize(ADYEN, body).unwrap().remove(0).last4
    };
    assert_eq!(last4("AUTHORISATION", "true"), "5678");
    assert_eq!(last4("AUTHORISATION", "false"), "");
    assert_eq!(last4("CAPTURE", "true"), "");
}

#[test]
fn damaged_bodies_never_panic() {
    for name in ["authorisation-refused-advice", "batch", "platform-interchange"] {
        let body = std::fs::read(testing::fixture(&format!("adyen/{name}.json"))).unwrap();
        let verifier = verifier();
        for bytes in damaged(&body) {
            let _ = verify(&verifier, &[], &bytes);
            let _ = normalize(ADYEN, bytes);
        }
    }
}

/// The field guide's refusal reasons, where they are at hand.
#[test]
fn the_refusal_table_agrees_with_the_field_guide() {
    let Some(path) = testing::guide("decline_codes/adyen.json") else { return };
    let guide: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let codes = guide["codes"].as_array().unwrap();
    assert_eq!(codes.len(), 44);
    for row in codes {
        let text = |key: &str| row[key].as_str().unwrap();
        let category = text("category").parse().unwrap_or(DeclineCategory::Unknown);
        let retry: Retry = text("retry").replace('-', "_").parse().unwrap();
        assert_eq!(refusal_reasons::look_up(text("reason")), Some((category, retry)), "{row}");
    }
}
