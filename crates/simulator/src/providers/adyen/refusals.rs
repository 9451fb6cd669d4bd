//! Refusals in Adyen's words (docs.adyen.com, "Refusal reasons"): a webhook carries the text and the raw response.

use payments::DeclineCategory as Category;
use payments::Retry::{Hard, Soft, SoftFix};

use super::super::refusal::Refusal;
use crate::world::DeclineReason;

pub(super) fn refusal(reason: DeclineReason) -> Refusal {
    let row = Refusal::new;
    match reason {
        DeclineReason::InsufficientFunds => {
            row("Not enough balance", "51", Category::InsufficientFunds, Soft)
        }
        DeclineReason::DoNotHonor => row("Refused", "05", Category::DoNotHonor, Soft),
        DeclineReason::ExpiredCard => row("Expired Card", "54", Category::ExpiredCard, Hard),
        DeclineReason::InvalidNumber => row("Invalid Card Number", "14", Category::InvalidCardData, SoftFix),
        DeclineReason::IncorrectCvc => row("CVC Declined", "N7", Category::IncorrectCvc, SoftFix),
        DeclineReason::StolenCard => row("Blocked Card", "43", Category::LostOrStolen, Hard),
        DeclineReason::SuspectedFraud => row("Issuer Suspected Fraud", "59", Category::SuspectedFraud, Hard),
        DeclineReason::LimitExceeded => row("Withdrawal count exceeded", "65", Category::LimitExceeded, Soft),
        DeclineReason::NotPermitted => row("Transaction Not Permitted", "57", Category::NotPermitted, Hard),
        DeclineReason::AuthenticationRequired => {
            row("Authentication required", "1A", Category::AuthenticationRequired, SoftFix)
        }
        DeclineReason::AuthenticationFailed => {
            row("3D Not Authenticated", "", Category::AuthenticationFailed, SoftFix)
        }
        DeclineReason::RiskBlocked => row("FRAUD", "", Category::RiskBlocked, Hard),
        DeclineReason::IssuerUnavailable => {
            row("Issuer Unavailable", "91", Category::IssuerUnavailable, Soft)
        }
        DeclineReason::ProviderTimeout => row("Acquirer Error", "96", Category::ProcessorError, Soft),
    }
}

/// The issuer's raw answer: its code and words.
pub(super) fn raw(refusal: Refusal) -> String {
    if refusal.network_code.is_empty() {
        refusal.code.to_owned()
    } else {
        format!("{} : {}", refusal.network_code, refusal.code)
    }
}
