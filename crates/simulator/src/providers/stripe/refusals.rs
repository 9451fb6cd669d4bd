//! Refusals in Stripe's words: docs.stripe.com/declines/codes, with the ISO 8583 response code beside them.

use payments::DeclineCategory as Category;
use payments::Retry::{Hard, Soft, SoftFix};

use super::super::refusal::Refusal;
use crate::world::DeclineReason;

/// Codes that are error codes in their own right; every other decline code is a detail of `card_declined`.
const ERROR_CODES: [&str; 6] = [
    "authentication_required",
    "expired_card",
    "incorrect_cvc",
    "incorrect_number",
    "payment_intent_authentication_failure",
    "processing_error",
];

/// `failure_code` of a charge, `code` of a payment error.
pub(super) fn error_code(refusal: Refusal) -> &'static str {
    if ERROR_CODES.contains(&refusal.code) { refusal.code } else { "card_declined" }
}

pub(super) fn refusal(reason: DeclineReason) -> Refusal {
    let row = Refusal::new;
    match reason {
        DeclineReason::InsufficientFunds => {
            row("insufficient_funds", "51", Category::InsufficientFunds, Soft)
        }
        DeclineReason::DoNotHonor => row("do_not_honor", "05", Category::DoNotHonor, Soft),
        DeclineReason::ExpiredCard => row("expired_card", "54", Category::ExpiredCard, Hard),
        DeclineReason::InvalidNumber => row("incorrect_number", "14", Category::InvalidCardData, SoftFix),
        DeclineReason::IncorrectCvc => row("incorrect_cvc", "N7", Category::IncorrectCvc, SoftFix),
        DeclineReason::StolenCard => row("stolen_card", "43", Category::LostOrStolen, Hard),
        DeclineReason::SuspectedFraud => row("fraudulent", "59", Category::SuspectedFraud, Hard),
        DeclineReason::LimitExceeded => row("card_velocity_exceeded", "65", Category::LimitExceeded, Soft),
        DeclineReason::NotPermitted => row("transaction_not_allowed", "57", Category::NotPermitted, Hard),
        DeclineReason::AuthenticationRequired => {
            row("authentication_required", "1A", Category::AuthenticationRequired, SoftFix)
        }
        DeclineReason::AuthenticationFailed => {
            row("payment_intent_authentication_failure", "", Category::AuthenticationFailed, SoftFix)
        }
        DeclineReason::RiskBlocked => row("highest_risk_level", "", Category::RiskBlocked, Hard),
        DeclineReason::IssuerUnavailable => {
            row("issuer_not_available", "91", Category::IssuerUnavailable, Soft)
        }
        DeclineReason::ProviderTimeout => row("processing_error", "96", Category::ProcessorError, Soft),
    }
}
