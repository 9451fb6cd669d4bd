//! Refusals in Checkout.com's words (checkout.com/docs, "Response codes"). A webhook does not tell the network's code.

use payments::DeclineCategory as Category;
use payments::Retry::{Hard, Soft, SoftFix};

use super::super::refusal::Refusal;
use crate::world::DeclineReason;

/// The refusal and its `response_summary`.
pub(super) fn refusal(reason: DeclineReason) -> (Refusal, &'static str) {
    let row = |code, summary, category, retry| (Refusal::new(code, "", category, retry), summary);
    match reason {
        DeclineReason::InsufficientFunds => {
            row("20051", "Insufficient Funds", Category::InsufficientFunds, Soft)
        }
        DeclineReason::DoNotHonor => row("20005", "Declined - Do Not Honour", Category::DoNotHonor, Soft),
        DeclineReason::ExpiredCard => row("30033", "Expired Card - Pick Up", Category::ExpiredCard, Hard),
        DeclineReason::InvalidNumber => {
            row("20014", "Invalid Account Number", Category::InvalidCardData, SoftFix)
        }
        DeclineReason::IncorrectCvc => {
            row("200N7", "Decline for CVV2 Failure", Category::IncorrectCvc, SoftFix)
        }
        DeclineReason::StolenCard => row("30043", "Stolen Card - Pick Up", Category::LostOrStolen, Hard),
        DeclineReason::SuspectedFraud => row("20059", "Suspected Fraud", Category::SuspectedFraud, Soft),
        DeclineReason::LimitExceeded => {
            row("20065", "Exceeds Withdrawal Frequency Limit", Category::LimitExceeded, Soft)
        }
        DeclineReason::NotPermitted => {
            row("20057", "Transaction Not Permitted to Cardholder", Category::NotPermitted, Soft)
        }
        DeclineReason::AuthenticationRequired => {
            row("20154", "3DS Authentication Required", Category::AuthenticationRequired, SoftFix)
        }
        DeclineReason::AuthenticationFailed => {
            row("20151", "Cardholder Failed 3DS Authentication", Category::AuthenticationFailed, SoftFix)
        }
        DeclineReason::RiskBlocked => row("43101", "Potential Fraud Risk", Category::RiskBlocked, Hard),
        DeclineReason::IssuerUnavailable => {
            row("20091", "Issuer Unavailable or Switch Is Inoperative", Category::IssuerUnavailable, Soft)
        }
        DeclineReason::ProviderTimeout => row("20096", "System Malfunction", Category::ProcessorError, Soft),
    }
}
