//! Stripe: `Stripe-Signature` over the raw body, one event per webhook.
//!
//! The mapping of every event type is documented, with its reasons, in `docs/providers/stripe.md`.
//!
//! Invariant: one attempt, one answer. A charge is an attempt, and only `charge.succeeded` and `charge.failed` give
//! an answer; `payment_intent.payment_failed` gives one only where the attempt has no charge.

mod charge;
mod decline_codes;
mod instrument;
mod movement;
mod notice;
mod payment_intent;
mod shape;
mod signature;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use decline_codes::has_code;
pub(super) use signature::{Keys, verify};

use self::notice::Notice;
use super::{ParkReason, SourceSettings, json};
use crate::{Envelope, Kind, Outcome, PaymentEvent};

pub(super) const MAPPER_VERSION: u16 = 2;

/// The facts of one webhook: one, or two where a charge was authorized and captured, or a refund made and done, at
/// once. A type that says nothing about money is still one fact, `other`/`updated`, so that no webhook is invisible.
pub(super) fn normalize(
    envelope: &Envelope,
    settings: &SourceSettings,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let notice = Notice::new(json::read(&envelope.body, "")?, settings)?;
    if notice.is_thin() {
        return Ok(vec![thin(&notice)]);
    }
    match notice.kind() {
        "charge.succeeded" => charge::succeeded(&notice),
        "charge.failed" => charge::failed(&notice),
        "charge.pending" => charge::state(&notice, Kind::Authorization, Outcome::Pending),
        "charge.expired" => charge::state(&notice, Kind::Payment, Outcome::Expired),
        "charge.captured" => charge::captured(&notice),
        "charge.refunded" => charge::refunded(&notice),
        "charge.updated" => charge::updated(&notice),

        "payment_intent.created" => payment_intent::state(&notice, Kind::Payment, Outcome::Created),
        "payment_intent.processing" | "payment_intent.partially_funded" => {
            payment_intent::state(&notice, Kind::Payment, Outcome::Pending)
        }
        "payment_intent.requires_action" => {
            payment_intent::state(&notice, Kind::Authentication, Outcome::Pending)
        }
        "payment_intent.payment_failed" => payment_intent::payment_failed(&notice),
        "payment_intent.succeeded" => payment_intent::succeeded(&notice),
        "payment_intent.amount_capturable_updated" => payment_intent::capturable(&notice),
        "payment_intent.canceled" => payment_intent::canceled(&notice),

        "refund.created" => movement::refund_created(&notice),
        "refund.updated" | "charge.refund.updated" => movement::refund_updated(&notice),
        "refund.failed" => movement::refund_failed(&notice),

        "charge.dispute.created" => movement::dispute_created(&notice),
        "charge.dispute.updated" => movement::dispute_updated(&notice),
        "charge.dispute.closed" => movement::dispute_closed(&notice),
        "charge.dispute.funds_withdrawn" | "charge.dispute.funds_reinstated" => {
            movement::state(&notice, Kind::Dispute, Outcome::Updated)
        }
        "radar.early_fraud_warning.created" => movement::state(&notice, Kind::FraudReport, Outcome::Opened),
        "radar.early_fraud_warning.updated" => movement::state(&notice, Kind::FraudReport, Outcome::Updated),
        "review.opened" => movement::state(&notice, Kind::Other, Outcome::Opened),
        "review.closed" => movement::state(&notice, Kind::Other, Outcome::Closed),

        "payout.created" => movement::state(&notice, Kind::Payout, Outcome::Created),
        "payout.updated" | "payout.reconciliation_completed" => {
            movement::state(&notice, Kind::Payout, Outcome::Updated)
        }
        "payout.paid" => movement::state(&notice, Kind::Payout, Outcome::Succeeded),
        "payout.failed" => movement::payout_failed(&notice),
        "payout.canceled" => movement::state(&notice, Kind::Payout, Outcome::Canceled),

        "reporting.report_run.succeeded" => movement::state(&notice, Kind::Settlement, Outcome::Succeeded),
        "reporting.report_run.failed" => movement::state(&notice, Kind::Settlement, Outcome::Failed),

        _ => movement::context(&notice),
    }
}

/// A v2 event names what it is about and nothing more: the rest would have to be fetched.
fn thin(notice: &Notice<'_>) -> PaymentEvent {
    let mut fact = notice.fact(0, Kind::Other, Outcome::Updated);
    if notice.related_object().starts_with("pi_") {
        notice.related_object().clone_into(&mut fact.payment_id);
    }
    fact
}
