//! Why Adyen refused. A webhook carries only the text of the reason (the numbered code exists in API responses).

use crate::decline::{self, DeclineCategory as C, Retry as R, TableRow};

/// Category and retry class of a reason, in any case. Reasons that say who called the payment off rather than why it
/// was refused (`Cancelled`, `Shopper Cancelled`, `Contactless fallback`) have no category of ours: `unknown`.
pub(super) fn look_up(reason: &str) -> Option<(C, R)> {
    decline::look_up(REASONS, &reason.trim().to_ascii_lowercase())
}

/// Whether `reason` is known, be it without a category.
pub(in crate::providers) fn has_reason(reason: &str) -> bool {
    look_up(reason).is_some()
}

/// Whether the reason leaves open why: then the issuer's raw code may say more.
pub(super) fn is_generic(reason: &str) -> bool {
    let reason = reason.trim();
    ["refused", "declined non generic"].iter().any(|generic| reason.eq_ignore_ascii_case(generic))
}

/// By reason in lower case (docs.adyen.com, "Refusal reasons").
const REASONS: &[TableRow] = &[
    ("3d not authenticated", C::AuthenticationFailed, R::SoftFix),
    ("3ds authentication error", C::AuthenticationFailed, R::SoftFix),
    ("acquirer error", C::ProcessorError, R::Soft),
    ("acquirer fraud", C::SuspectedFraud, R::Hard),
    ("authentication required", C::AuthenticationRequired, R::SoftFix),
    ("avs declined", C::AvsMismatch, R::SoftFix),
    ("blocked card", C::LostOrStolen, R::Hard),
    ("cancelled", C::Unknown, R::Soft),
    ("card requires online pin", C::AuthenticationRequired, R::SoftFix),
    ("chip downgrade mode", C::ProcessorError, R::Soft),
    ("contactless fallback", C::Unknown, R::Soft),
    ("current aid is in penalty box", C::IssuerUnavailable, R::Soft),
    ("cvc declined", C::IncorrectCvc, R::SoftFix),
    ("cvm required restart payment", C::AuthenticationRequired, R::SoftFix),
    ("declined non generic", C::DoNotHonor, R::Soft),
    ("expired card", C::ExpiredCard, R::Hard),
    ("fraud", C::RiskBlocked, R::Hard),
    ("fraud-cancelled", C::RiskBlocked, R::Hard),
    ("invalid amount", C::InvalidAmountOrCurrency, R::SoftFix),
    ("invalid card number", C::InvalidCardData, R::SoftFix),
    ("invalid pin", C::InvalidCardData, R::SoftFix),
    ("issuer suspected fraud", C::SuspectedFraud, R::Hard),
    ("issuer unavailable", C::IssuerUnavailable, R::Soft),
    ("mobile pin required", C::AuthenticationRequired, R::SoftFix),
    ("no checking account available on card", C::NotPermitted, R::Hard),
    ("no savings account available on card", C::NotPermitted, R::Hard),
    ("not enough balance", C::InsufficientFunds, R::Soft),
    ("not submitted", C::ProcessorError, R::Soft),
    ("not supported", C::NotPermitted, R::Hard),
    ("online pin required", C::AuthenticationRequired, R::SoftFix),
    ("pin tries exceeded", C::LimitExceeded, R::Hard),
    ("pin validation not possible", C::ProcessorError, R::Soft),
    ("referral", C::DoNotHonor, R::SoftFix),
    ("refused", C::DoNotHonor, R::Soft),
    ("restricted card", C::NotPermitted, R::Hard),
    ("revocation of auth", C::Revoked, R::Hard),
    ("rreq not received from ds", C::ProcessorError, R::Soft),
    ("shopper cancelled", C::Unknown, R::Soft),
    ("token revoked", C::Revoked, R::Hard),
    ("transaction blocked by adyen to prevent excessive retry fees", C::RiskBlocked, R::Hard),
    ("transaction not permitted", C::NotPermitted, R::Hard),
    ("try another interface", C::ProcessorError, R::Soft),
    ("withdrawal amount exceeded", C::LimitExceeded, R::Soft),
    ("withdrawal count exceeded", C::LimitExceeded, R::Soft),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(decline::is_sorted_table(REASONS));
    }

    #[test]
    fn case_and_blanks_do_not_matter() {
        assert_eq!(look_up("REFUSED"), Some((C::DoNotHonor, R::Soft)));
        assert_eq!(look_up(" FRAUD-CANCELLED "), Some((C::RiskBlocked, R::Hard)));
        assert_eq!(look_up("Something new"), None);
    }
}
