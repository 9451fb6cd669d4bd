//! Checkout.com's event types. There are more than a hundred; those about payments are listed here.

use crate::event::{Kind, Outcome};

/// What an event is about and what became of it, except that a refusal's outcome also depends on its code (`declined`
/// here becomes `failed` if nobody decided), and that payouts use the types of payments. `None` if it is not mapped.
pub(super) fn meaning(event_type: &str) -> Option<(Kind, Outcome)> {
    use Kind::{
        Authentication, Authorization, Cancel, Capture, Dispute, FraudReport, Other, Payment, Payout, Refund,
        Settlement,
    };
    use Outcome::{
        Approved, Closed, Declined, Expired, Failed, Lost, Opened, Pending, Succeeded, Updated, Won,
    };
    Some(match event_type {
        "payment_pending" => (Payment, Pending),
        "payment_approved" => (Authorization, Approved),
        "payment_declined" => (Authorization, Declined),
        "payment_expired" => (Payment, Expired),
        // Verifying a card is no attempt to pay, and must not weigh in decline rates.
        "card_verified" => (Other, Approved),
        "card_verification_declined" => (Other, Declined),
        "payment_authorization_incremented" => (Authorization, Updated),
        // No answer to an attempt either, so it must not be an authorization that failed.
        "payment_authorization_increment_declined" => (Other, Failed),
        "payment_capture_pending" => (Capture, Pending),
        "payment_captured" => (Capture, Succeeded),
        "payment_capture_declined" => (Capture, Failed),
        "payment_voided" | "payment_canceled" => (Cancel, Succeeded),
        "payment_void_declined" => (Cancel, Failed),
        "payment_refund_pending" => (Refund, Pending),
        "payment_refunded" => (Refund, Succeeded),
        "payment_refund_declined" => (Refund, Failed),
        "payment_paid" => (Payout, Succeeded),
        "payment_returned" => (Payout, Failed),
        "authentication_approved" => (Authentication, Succeeded),
        "authentication_failed" => (Authentication, Failed),
        "authentication_expired" => (Authentication, Expired),
        "dispute_received" | "dispute_evidence_required" => (Dispute, Opened),
        "dispute_won" | "dispute_arbitration_won" => (Dispute, Won),
        "dispute_lost" | "dispute_arbitration_lost" | "dispute_accepted" | "dispute_expired" => {
            (Dispute, Lost)
        }
        "dispute_canceled" | "dispute_resolved" => (Dispute, Closed),
        "fraud_reported" => (FraudReport, Opened),
        "report_generated" => (Settlement, Succeeded),
        // Further names exist and are not all documented.
        _ if event_type.starts_with("authentication_") => (Authentication, Updated),
        _ if event_type.starts_with("dispute_") => (Dispute, Updated),
        _ => return None,
    })
}
