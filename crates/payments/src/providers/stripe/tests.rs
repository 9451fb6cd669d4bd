use serde_json::{Value, json};

use super::super::testing::{fixture, normalize};
use crate::{Outcome, PaymentEvent, Provider};

fn body(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(&format!("stripe/{name}.json"))).unwrap()).unwrap()
}

fn events(body: &Value) -> Vec<PaymentEvent> {
    normalize(Provider::Stripe, body.to_string()).unwrap()
}

#[test]
fn a_detail_of_another_type_does_not_park_the_answer() {
    let details = [
        "outcome",
        "source",
        "balance_transaction",
        "metadata",
        "failure_code",
        "payment_method_details",
        "payment_method_details/card",
        "payment_method_details/card/wallet",
        "payment_method_details/card/checks",
        "payment_method_details/card/three_d_secure",
        "payment_method_details/card/last4",
    ];
    for name in ["charge.failed.stop-recurring", "charge.succeeded.fee-expanded"] {
        let whole = events(&body(name));
        for detail in details {
            for other in [json!("x"), json!(7), json!(-1.5), json!(true), json!(["x"]), json!({})] {
                let mut body = body(name);
                *body.pointer_mut(&format!("/data/object/{detail}")).unwrap() = other.clone();
                let events = events(&body);
                assert_eq!(events.len(), whole.len(), "{name}: {detail}: {other}");
                let same = (events[0].kind, &events[0].attempt_id, events[0].money);
                assert_eq!(same, (whole[0].kind, &whole[0].attempt_id, whole[0].money), "{name}: {detail}");
                assert!(events[0].is_answer(), "{name}: {detail}: {other}");
            }
        }
    }
    let mut body = body("story-3ds-failed/2-payment_intent.payment_failed");
    body["data"]["object"]["last_payment_error"] = json!("x");
    assert!(normalize(Provider::Stripe, body.to_string()).is_err(), "whether it is an answer is not known");
}

#[test]
fn a_network_that_is_not_known_leaves_the_brand() {
    let mut body = body("charge.succeeded.fee-expanded");
    let card = body.pointer_mut("/data/object/payment_method_details/card").unwrap();
    card["network"] = json!("unknown");
    card["brand"] = json!("visa");
    assert_eq!(events(&body)[0].network, "visa");
    body["data"]["object"]["payment_method_details"]["card"]["brand"] = json!("unknown");
    assert_eq!(events(&body)[0].network, "");
}

#[test]
fn what_is_written_freely_is_bounded_and_holds_no_card_number() {
    let mut body = body("charge.failed.stop-recurring");
    let long = "x".repeat(10_000);
    body["data"]["object"]["metadata"] = json!({
        "order_id": "4111 1111 1111 1111", "checkout_test": "4111111111111111", "checkout_arm": long,
    });
    body["data"]["object"]["outcome"]["reason"] = json!(long);
    body["data"]["object"]["outcome"]["network_decline_code"] = json!(long);
    let event = events(&body).remove(0);
    assert_eq!((&*event.order_id, &*event.experiment), ("[card number]", "[card number]"));
    let decline = event.decline.unwrap();
    for text in [event.variant, decline.code, decline.network_code] {
        assert!((1..200).contains(&text.len()), "{}", text.len());
    }
}

#[test]
fn a_refund_that_failed_at_once_counts_once() {
    let created = events(&body("refund.created.failed"));
    let failed = events(&body("refund.failed"));
    let count = |outcome| created.iter().chain(&failed).filter(|event| event.outcome == outcome).count();
    assert_eq!((count(Outcome::Created), count(Outcome::Failed)), (1, 1));
}
