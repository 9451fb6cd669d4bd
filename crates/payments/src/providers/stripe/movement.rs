//! Money that moves after the answer: refunds, disputes, payouts; and the warnings and reports around them.

use super::notice::{Notice, money};
use super::wire::{Context, Movement};
use super::{decline_codes, instrument};
use crate::providers::loose::first;
use crate::{Kind, Outcome, ParkReason, PaymentEvent};

/// `refund.created`: the refund was asked for, and often it is already done. One that failed at once is told by
/// `refund.failed` too, and counts there.
pub(super) fn refund_created(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let refund: Movement<'_> = notice.object()?;
    let created = fact(notice, &refund, Kind::Refund, Outcome::Created)?;
    let outcome = refund_outcome(&refund);
    if !matches!(outcome, Outcome::Succeeded | Outcome::Canceled) {
        return Ok(vec![created]);
    }
    let end = PaymentEvent { fact: 1, outcome, ..created.clone() };
    Ok(vec![created, end])
}

/// `refund.updated`, `charge.refund.updated`: the status, if it is the status that changed.
///
/// A failure told by `refund.updated` is told by `refund.failed` too, so there it is an update only.
pub(super) fn refund_updated(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let refund: Movement<'_> = notice.object()?;
    let status_changed = notice.previous()?.is_none_or(|previous| previous.status.is_some());
    let outcome = match refund_outcome(&refund) {
        Outcome::Failed if notice.kind() == "refund.updated" => Outcome::Updated,
        outcome if status_changed => outcome,
        _ => Outcome::Updated,
    };
    let mut update = fact(notice, &refund, Kind::Refund, outcome)?;
    if outcome == Outcome::Failed {
        fill_failure(&mut update, &refund.failure_reason);
    }
    Ok(vec![update])
}

/// `refund.failed`.
pub(super) fn refund_failed(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let refund: Movement<'_> = notice.object()?;
    let mut failure = fact(notice, &refund, Kind::Refund, Outcome::Failed)?;
    fill_failure(&mut failure, &refund.failure_reason);
    Ok(vec![failure])
}

fn refund_outcome(refund: &Movement<'_>) -> Outcome {
    match refund.status.as_str() {
        "succeeded" => Outcome::Succeeded,
        "failed" => Outcome::Failed,
        "canceled" => Outcome::Canceled,
        "pending" | "requires_action" => Outcome::Pending,
        _ => Outcome::Updated,
    }
}

/// `charge.dispute.created`: a chargeback, or an inquiry that may become one (no money moves yet).
pub(super) fn dispute_created(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let dispute: Movement<'_> = notice.object()?;
    let outcome = if is_inquiry(&dispute.status) { Outcome::Pending } else { Outcome::Opened };
    Ok(vec![fact(notice, &dispute, Kind::Dispute, outcome)?])
}

/// `charge.dispute.updated`: a detail, or an inquiry that became a chargeback.
pub(super) fn dispute_updated(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let dispute: Movement<'_> = notice.object()?;
    let before = notice.previous()?.and_then(|previous| previous.status);
    let escalated = before.is_some_and(|before| is_inquiry(&before)) && !is_inquiry(&dispute.status);
    let outcome = if escalated { Outcome::Opened } else { Outcome::Updated };
    Ok(vec![fact(notice, &dispute, Kind::Dispute, outcome)?])
}

/// `charge.dispute.closed`.
pub(super) fn dispute_closed(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let dispute: Movement<'_> = notice.object()?;
    let outcome = match dispute.status.as_str() {
        "won" => Outcome::Won,
        "lost" => Outcome::Lost,
        _ => Outcome::Closed,
    };
    Ok(vec![fact(notice, &dispute, Kind::Dispute, outcome)?])
}

fn is_inquiry(status: &str) -> bool {
    status.starts_with("warning_")
}

/// `payout.failed`.
pub(super) fn payout_failed(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let payout: Movement<'_> = notice.object()?;
    let mut failure = fact(notice, &payout, Kind::Payout, Outcome::Failed)?;
    fill_failure(&mut failure, &payout.failure_code);
    Ok(vec![failure])
}

/// Any other event about one movement of money, or a warning about one.
pub(super) fn state(
    notice: &Notice<'_>,
    kind: Kind,
    outcome: Outcome,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let movement: Movement<'_> = notice.object()?;
    Ok(vec![fact(notice, &movement, kind, outcome)?])
}

/// An event that is context only: shown, joined to its payment, and counted in nothing.
pub(super) fn context(notice: &Notice<'_>) -> Result<Vec<PaymentEvent>, ParkReason> {
    let mut fact = notice.fact(0, Kind::Other, Outcome::Updated);
    let object: Context<'_> = notice.object()?;
    first(&[&object.payment_intent, &object.charge]).clone_into(&mut fact.payment_id);
    fact.attempt_id = object.charge.to_string();
    Ok(vec![fact])
}

fn fact(
    notice: &Notice<'_>,
    movement: &Movement<'_>,
    kind: Kind,
    outcome: Outcome,
) -> Result<PaymentEvent, ParkReason> {
    let mut fact = notice.fact(0, kind, outcome);
    // A payout belongs to no payment: its own id stands there, so that it can be found.
    let own = if kind == Kind::Payout { &movement.id } else { &movement.charge };
    first(&[&movement.payment_intent, own]).clone_into(&mut fact.payment_id);
    fact.attempt_id = movement.charge.to_string();
    fact.money = money(&movement.amount, &movement.currency)?;
    if let Some(details) = &movement.payment_method_details {
        instrument::fill(&mut fact, details);
    }
    notice.fill_metadata(&mut fact, &movement.metadata);
    Ok(fact)
}

fn fill_failure(fact: &mut PaymentEvent, code: &str) {
    if !code.is_empty() {
        fact.decline = Some(decline_codes::of_code(code));
    }
}
