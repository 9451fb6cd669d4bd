//! Charges: a charge is one attempt, and its events carry the attempt's one answer.

use super::notice::{Notice, money};
use super::wire::Charge;
use super::{decline_codes, instrument};
use crate::providers::card;
use crate::providers::loose::first;
use crate::{Kind, Money, Outcome, ParkReason, PaymentEvent, ThreeDs};

/// `charge.succeeded`: the approval, and the capture if it was taken at once.
pub(super) fn succeeded(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    let approval = fact(notice, &charge, 0, Kind::Authorization, Outcome::Approved)?;
    if charge.captured != Some(true) {
        return Ok(vec![approval]);
    }
    let mut capture = PaymentEvent {
        fact: 1,
        kind: Kind::Capture,
        outcome: Outcome::Succeeded,
        money: captured_money(&charge)?,
        ..approval.clone()
    };
    fill_fee(&mut capture, &charge);
    Ok(vec![approval, capture])
}

/// `charge.failed`: the decline.
pub(super) fn failed(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    let mut answer = fact(notice, &charge, 0, Kind::Authorization, Outcome::Declined)?;
    let decline = decline_codes::of_charge(charge.outcome.as_ref(), &charge.failure_code, &answer.network);
    answer.outcome = card::refused(decline.category);
    answer.decline = Some(decline);
    Ok(vec![answer])
}

/// `charge.pending`, `charge.expired`: states that are not the answer.
pub(super) fn state(
    notice: &Notice<'_>,
    kind: Kind,
    outcome: Outcome,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    Ok(vec![fact(notice, &charge, 0, kind, outcome)?])
}

/// `charge.captured`.
pub(super) fn captured(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    let mut capture = fact(notice, &charge, 0, Kind::Capture, Outcome::Succeeded)?;
    capture.money = captured_money(&charge)?;
    fill_fee(&mut capture, &charge);
    Ok(vec![capture])
}

/// `charge.refunded` carries the charge with all its refunds so far, not the refund: its amount would be counted
/// again with each, so amounts are left to `refund.*`. Before capture it is a release.
pub(super) fn refunded(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    if charge.captured == Some(false) {
        let mut release = fact(notice, &charge, 0, Kind::Cancel, Outcome::Succeeded)?;
        release.money = money(&charge.amount_refunded, &charge.currency)?;
        return Ok(vec![release]);
    }
    let mut refund = fact(notice, &charge, 0, Kind::Refund, Outcome::Updated)?;
    refund.money = None;
    Ok(vec![refund])
}

/// `charge.updated`: the balance transaction of an asynchronous capture arrived, or a detail changed.
pub(super) fn updated(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let charge: Charge<'_> = notice.object()?;
    let settles = notice.previous()?.is_some_and(|previous| previous.balance_transaction);
    if charge.balance_transaction.told && settles {
        let mut settlement = fact(notice, &charge, 0, Kind::Settlement, Outcome::Updated)?;
        fill_fee(&mut settlement, &charge);
        return Ok(vec![settlement]);
    }
    let mut update = fact(notice, &charge, 0, Kind::Other, Outcome::Updated)?;
    update.money = None;
    Ok(vec![update])
}

fn fact(
    notice: &Notice<'_>,
    charge: &Charge<'_>,
    index: u16,
    kind: Kind,
    outcome: Outcome,
) -> Result<PaymentEvent, ParkReason> {
    let mut fact = notice.fact(index, kind, outcome);
    fill(&mut fact, charge);
    first(&[&charge.payment_intent, &charge.id]).clone_into(&mut fact.payment_id);
    fact.money = money(&charge.amount, &charge.currency)?;
    notice.fill_metadata(&mut fact, &charge.metadata);
    Ok(fact)
}

/// What was taken; versions before 2020 tell the whole amount only.
fn captured_money(charge: &Charge<'_>) -> Result<Option<Money>, ParkReason> {
    let taken = if charge.amount_captured.is_empty() { &charge.amount } else { &charge.amount_captured };
    money(taken, &charge.currency)
}

/// Fills what a charge tells about its attempt, wherever the charge stands.
pub(super) fn fill(fact: &mut PaymentEvent, charge: &Charge<'_>) {
    fact.attempt_id = charge.id.to_string();
    match (&charge.payment_method_details, &charge.source) {
        (Some(details), _) => {
            instrument::fill(fact, details);
            // It is filled in if authentication was used, so its absence tells something.
            if details.card.as_ref().is_some_and(|card| card.three_d_secure.is_none()) {
                fact.three_ds = ThreeDs::NotPerformed;
            }
        }
        (None, Some(source)) => instrument::fill_legacy(fact, source),
        (None, None) => {}
    }
    fact.risk_score = charge.outcome.as_ref().and_then(|outcome| card::score(&outcome.risk_score));
}

/// The processing fee, where the balance transaction is expanded and in the charge's own currency. (The
/// `application_fee_amount` of a charge is a platform's income, not a cost of processing.)
fn fill_fee(fact: &mut PaymentEvent, charge: &Charge<'_>) {
    let transaction = &charge.balance_transaction;
    if transaction.currency.as_str() == charge.currency.as_str() && fact.money.is_some() {
        let fee = money(&transaction.fee, &transaction.currency).ok().flatten();
        fact.fee_minor = fee.map(|fee| fee.amount_minor);
    }
}
