//! Adyen's event codes. The set is open: a code that is not listed is a fact of kind `other`.

use crate::event::{Kind, Outcome};

/// What an item is about and what became of it, except that a refused authorization's outcome also depends on why.
///
/// `success` alone does not tell: several codes announce a failure with `success: "true"` (the announcement succeeded).
/// `action` is `modification.action`, `dispute_status` is `disputeStatus`; both are often empty.
pub(super) fn meaning(code: &str, success: bool, action: &str, dispute_status: &str) -> (Kind, Outcome) {
    use Kind::{
        Authorization, Cancel, Capture, Dispute, FraudReport, Other, Payment, Payout, Refund, Settlement,
    };
    use Outcome::{
        Approved, Canceled, Created, Declined, Expired, Failed, Lost, Opened, Pending, Succeeded, Updated,
    };
    let if_success = |outcome| if success { outcome } else { Failed };
    match code {
        "AUTHORISATION" => (Authorization, if success { Approved } else { Declined }),
        // A failed adjustment is no answer to an attempt, so it must not be an authorization that failed.
        "AUTHORISATION_ADJUSTMENT" if success => (Authorization, Updated),
        "AUTHORISATION_ADJUSTMENT" => (Other, Failed),
        "PENDING" => (Payment, Pending),
        "ORDER_OPENED" => (Payment, Created),
        "ORDER_CLOSED" => (Payment, if success { Succeeded } else { Canceled }),
        "OFFER_CLOSED" | "EXPIRE" => (Payment, Expired),
        "CAPTURE" => (Capture, if_success(Succeeded)),
        "CAPTURE_FAILED" => (Capture, Failed),
        "CANCELLATION" | "TECHNICAL_CANCEL" => (Cancel, if_success(Succeeded)),
        "CANCEL_OR_REFUND" => match action {
            "cancel" => (Cancel, if_success(Succeeded)),
            "refund" => (Refund, if_success(Succeeded)),
            _ => (Other, if_success(Succeeded)),
        },
        "REFUND" | "REFUND_WITH_DATA" => (Refund, if_success(Succeeded)),
        "POSTPONED_REFUND" => (Refund, if_success(Pending)),
        // Without success the refund was not voided: it is still on its way, not failed.
        "VOID_PENDING_REFUND" => (Refund, if success { Canceled } else { Updated }),
        "REFUND_FAILED" | "REFUNDED_REVERSED" => (Refund, Failed),
        "REQUEST_FOR_INFORMATION" => (Dispute, Pending),
        "NOTIFICATION_OF_CHARGEBACK" | "CHARGEBACK" => (Dispute, Opened),
        // The money is back, but not for good: the issuer may go on.
        "INFORMATION_SUPPLIED" | "CHARGEBACK_REVERSED" => (Dispute, Updated),
        "SECOND_CHARGEBACK" => (Dispute, Lost),
        "NOTIFICATION_OF_FRAUD" => (FraudReport, Opened),
        "MANUAL_REVIEW_ACCEPT" => (Other, Approved),
        "MANUAL_REVIEW_REJECT" => (Other, Declined),
        "PAYOUT_THIRDPARTY" => (Payout, if_success(Succeeded)),
        "PAYOUT_DECLINE" => (Payout, Declined),
        "PAYOUT_EXPIRE" => (Payout, Expired),
        "PAIDOUT_REVERSED" => (Payout, Failed),
        "REPORT_AVAILABLE" => (Settlement, Succeeded),
        _ if is_dispute_stage(code) => (Dispute, dispute_outcome(code, dispute_status)),
        _ => (Other, Updated),
    }
}

fn is_dispute_stage(code: &str) -> bool {
    code.starts_with("PREARBITRATION_")
        || code.starts_with("SCHEME_ARBITRATION")
        || matches!(
            code,
            "DISPUTE_DEFENSE_PERIOD_ENDED" | "ISSUER_COMMENTS" | "ISSUER_RESPONSE_TIMEFRAME_EXPIRED"
        )
}

/// By the code's name, else by the status. `Expired` and `Undefended` end the merchant's chance to answer, not the
/// dispute.
fn dispute_outcome(code: &str, status: &str) -> Outcome {
    if code.ends_with("_WON") || status.eq_ignore_ascii_case("won") {
        Outcome::Won
    } else if code.ends_with("_LOST")
        || status.eq_ignore_ascii_case("lost")
        || status.eq_ignore_ascii_case("accepted")
    {
        Outcome::Lost
    } else {
        Outcome::Updated
    }
}
