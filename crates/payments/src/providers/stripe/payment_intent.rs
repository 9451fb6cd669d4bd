//! Payment intents: states of the payment as a whole. Its charges give the answers; the intent gives one itself
//! only where an attempt ended before there was a charge.

use super::notice::{Notice, money};
use super::wire::{Charge, PaymentError, PaymentIntent};
use super::{charge, decline_codes, instrument};
use crate::providers::card;
use crate::providers::loose::first;
use crate::{DeclineCategory, Kind, Outcome, ParkReason, PaymentEvent, ThreeDs};

/// Every event that is a state only.
pub(super) fn state(
    notice: &Notice<'_>,
    kind: Kind,
    outcome: Outcome,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let intent: PaymentIntent<'_> = notice.object()?;
    Ok(vec![fact(notice, &intent, kind, outcome)?])
}

/// `payment_intent.succeeded`: the amount is what was received.
pub(super) fn succeeded(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let intent: PaymentIntent<'_> = notice.object()?;
    let mut success = fact(notice, &intent, Kind::Payment, Outcome::Succeeded)?;
    success.money = money(&intent.amount_received, &intent.currency)?.or(success.money);
    Ok(vec![success])
}

/// `payment_intent.amount_capturable_updated`: the amount is what can be captured.
pub(super) fn capturable(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let intent: PaymentIntent<'_> = notice.object()?;
    let mut update = fact(notice, &intent, Kind::Payment, Outcome::Updated)?;
    update.money = money(&intent.amount_capturable, &intent.currency)?.or(update.money);
    Ok(vec![update])
}

/// `payment_intent.canceled`.
pub(super) fn canceled(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let intent: PaymentIntent<'_> = notice.object()?;
    let expired = intent.cancellation_reason.as_str() == "expired";
    let outcome = if expired { Outcome::Expired } else { Outcome::Canceled };
    Ok(vec![fact(notice, &intent, Kind::Payment, outcome)?])
}

/// `payment_intent.payment_failed`: the answer of an attempt that never became a charge (3-D Secure failed, the
/// customer turned back at a redirect); otherwise the intent merely returns to wanting a payment method, and the
/// answer is `charge.failed`'s.
pub(super) fn payment_failed(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let intent: PaymentIntent<'_> = notice.object()?;
    match &intent.last_payment_error {
        Some(error) if !has_charge(&intent, error) => Ok(vec![answer(notice, &intent, error)?]),
        Some(_) | None => Ok(vec![fact(notice, &intent, Kind::Payment, Outcome::Updated)?]),
    }
}

/// Codes of attempts that ended before there was a charge, whatever charge an earlier attempt left. The last is our
/// reading of it: the customer did not do what was asked in time.
const BEFORE_A_CHARGE: [&str; 3] = [
    "payment_intent_authentication_failure",
    "payment_method_customer_decline",
    "payment_intent_payment_attempt_expired",
];

/// Whether the failed attempt has a charge, whose `charge.failed` is the answer.
///
/// A card error names its charge. Whether every error of other methods does is unconfirmed, so for those a
/// latest charge counts as the failed one, unless the code or the charge's own status says otherwise: an answer too
/// few is seen as a payment without one, an answer too many would silently raise the decline rate.
fn has_charge(intent: &PaymentIntent<'_>, error: &PaymentError<'_>) -> bool {
    if !error.charge.is_empty() {
        return true;
    }
    let method = error.payment_method.as_ref().map_or("", |method| method.kind.as_str());
    if matches!(method, "" | "card") || BEFORE_A_CHARGE.contains(&error.code.as_str()) {
        return false;
    }
    let may_have_failed = |charge: &Charge<'_>| matches!(charge.status.as_str(), "" | "failed");
    !latest_charge(intent).is_empty() && listed_charge(intent).is_none_or(may_have_failed)
}

fn answer(
    notice: &Notice<'_>,
    intent: &PaymentIntent<'_>,
    error: &PaymentError<'_>,
) -> Result<PaymentEvent, ParkReason> {
    let mut answer = notice.fact(0, Kind::Authorization, Outcome::Declined);
    fill(notice, &mut answer, intent)?;
    if let Some(method) = &error.payment_method {
        instrument::fill(&mut answer, method);
    }
    // The attempt has no id of its own; the event is about it alone, and keeps its id when it is sent again.
    notice.id().clone_into(&mut answer.attempt_id);
    let decline = decline_codes::of_payment_error(error, &answer.network);
    if decline.category == DeclineCategory::AuthenticationFailed && answer.method == "card" {
        answer.three_ds = ThreeDs::Failed;
    }
    answer.outcome = card::refused(decline.category);
    answer.decline = Some(decline);
    Ok(answer)
}

fn fact(
    notice: &Notice<'_>,
    intent: &PaymentIntent<'_>,
    kind: Kind,
    outcome: Outcome,
) -> Result<PaymentEvent, ParkReason> {
    let mut fact = notice.fact(0, kind, outcome);
    // Authentication comes before the charge: one that is named here belongs to an earlier attempt.
    if kind != Kind::Authentication {
        fill_attempt(&mut fact, intent);
    }
    fill(notice, &mut fact, intent)?;
    Ok(fact)
}

/// Fills what is told about the latest attempt.
fn fill_attempt(fact: &mut PaymentEvent, intent: &PaymentIntent<'_>) {
    if let Some(latest) = listed_charge(intent) {
        charge::fill(fact, latest);
    }
    latest_charge(intent).clone_into(&mut fact.attempt_id);
    let Some(error) = &intent.last_payment_error else { return };
    if !error.charge.is_empty() {
        error.charge.as_str().clone_into(&mut fact.attempt_id);
    }
    if let (Some(method), true) = (&error.payment_method, fact.last4.is_empty()) {
        instrument::fill(fact, method);
    }
}

fn fill(notice: &Notice<'_>, fact: &mut PaymentEvent, intent: &PaymentIntent<'_>) -> Result<(), ParkReason> {
    fact.payment_id = intent.id.to_string();
    fact.money = money(&intent.amount, &intent.currency)?;
    // Several types are what the customer may choose from; a single one is what is used.
    if let (Some([only]), true) = (intent.payment_method_types.as_deref(), fact.method.is_empty()) {
        fact.method = crate::event::snake(only);
    }
    notice.fill_metadata(fact, &intent.metadata);
    Ok(())
}

fn latest_charge<'i>(intent: &'i PaymentIntent<'_>) -> &'i str {
    first(&[&intent.latest_charge, listed_charge(intent).map_or("", |charge| &charge.id)])
}

/// The latest charge itself, which old API versions hold.
fn listed_charge<'i, 'a>(intent: &'i PaymentIntent<'a>) -> Option<&'i Charge<'a>> {
    intent.charges.as_ref()?.data.first()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Provider;
    use crate::providers::testing::normalize;

    /// A redirect that failed after a card had been charged.
    fn is_answer(code: &str, charge: &Value) -> bool {
        let mut intent = json!({
            "id": "pi_1", "amount": 500, "currency": "eur",
            "last_payment_error": {"code": code, "payment_method": {"type": "ideal"}},
        });
        match charge {
            Value::String(_) => intent["latest_charge"] = charge.clone(),
            _ => intent["charges"] = json!({"data": [charge]}),
        }
        let body = json!({
            "id": "evt_1", "type": "payment_intent.payment_failed", "created": 1, "data": {"object": intent},
        });
        normalize(Provider::Stripe, body.to_string()).unwrap()[0].is_answer()
    }

    #[test]
    fn a_charge_of_an_earlier_attempt_does_not_answer_a_later_one() {
        let told = json!("ch_1");
        for code in BEFORE_A_CHARGE {
            assert!(is_answer(code, &told), "{code}");
        }
        assert!(!is_answer("payment_method_provider_decline", &told));
        let listed = |status: &str| json!({"id": "ch_1", "status": status});
        assert!(!is_answer("payment_method_provider_decline", &listed("failed")));
        assert!(!is_answer("payment_method_provider_decline", &listed("")));
        assert!(is_answer("payment_method_provider_decline", &listed("succeeded")));
    }
}
