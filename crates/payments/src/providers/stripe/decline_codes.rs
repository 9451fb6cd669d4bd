//! Why Stripe says no: one table for decline codes, Radar's reasons, and the error codes that stand alone.
//!
//! Sources: docs.stripe.com/declines/codes (decline codes and, marked `partner_`, the reasons of local payment
//! methods), docs.stripe.com/api/charges/object (`outcome`), docs.stripe.com/error-codes; for what fails later,
//! docs.stripe.com/api/refunds/object (`failure_reason`) and docs.stripe.com/api/payouts/failures. Where a source gives
//! a meaning but no category (all but the decline codes), the category and retry class are our judgement.

use super::wire::{ChargeOutcome, PaymentError};
use crate::decline::{Decline, DeclineCategory as C, Retry as R, TableRow, look_up};
use crate::network_codes;
use crate::providers::card;
use crate::providers::loose::first;

/// Why a charge failed. `outcome` is absent in old API versions; `failure_code` is the coarse error code.
pub(super) fn of_charge(outcome: Option<&ChargeOutcome<'_>>, failure_code: &str, network: &str) -> Decline {
    let Some(outcome) = outcome else { return of_code(failure_code) };
    let codes = [outcome.reason.as_str(), failure_code];
    let mut decline = decline(codes, network, &outcome.network_decline_code);
    advise(&mut decline, network, &outcome.advice_code, &outcome.network_advice_code);
    if outcome.kind.as_str() == "blocked" {
        // Radar stopped it before, or in spite of, the network: the issuer has no part in it.
        (decline.category, decline.retry) = (C::RiskBlocked, R::Hard);
    }
    decline
}

/// Why the last attempt of a payment intent failed.
pub(super) fn of_payment_error(error: &PaymentError<'_>, network: &str) -> Decline {
    let mut decline = decline([&error.decline_code, &error.code], network, &error.network_decline_code);
    advise(&mut decline, network, &error.advice_code, &error.network_advice_code);
    decline
}

/// Why something without a network behind it (a refund, a payout) did not arrive.
pub(super) fn of_code(code: &str) -> Decline {
    decline([code, ""], "", "")
}

/// `codes` from the most to the least specific: the first that is told is kept as sent, the first that is mapped
/// gives the category; if none is, the network's code does.
fn decline(codes: [&str; 2], network: &str, network_code: &str) -> Decline {
    let mapped = codes.iter().find_map(|code| look_up(&CODES, code));
    let mapped = mapped.or_else(|| network_codes::look_up(network, network_code));
    let (category, retry) = mapped.unwrap_or((C::Unknown, R::Unknown));
    Decline { code: card::label(first(&codes)), category, network_code: card::label(network_code), retry }
}

/// Whether `code` is known, be it without a category.
pub(in crate::providers) fn has_code(code: &str) -> bool {
    code == CODE_FOLLOWS || look_up(&CODES, code).is_some()
}

/// It only says that a decline code follows, and is left out of the table for that.
const CODE_FOLLOWS: &str = "card_declined";

/// Applies what newer API versions tell about retrying: Stripe's own advice, and above it the network's.
fn advise(decline: &mut Decline, network: &str, advice: &str, network_advice: &str) {
    match advice {
        "try_again_later" => decline.retry = R::Soft,
        "confirm_card_data" => decline.retry = R::SoftFix,
        "do_not_try_again" => decline.retry = R::Hard,
        _ => {}
    }
    let answer = (decline.category, decline.retry);
    (decline.category, decline.retry) = network_codes::merchant_advice(network, network_advice, answer);
}

/// Invariant: sorted by code.
const CODES: [TableRow; 100] = [
    ("account_closed", C::AccountClosed, R::Hard),
    ("account_frozen", C::NotPermitted, R::Hard),
    ("amount_too_large", C::InvalidAmountOrCurrency, R::SoftFix),
    ("amount_too_small", C::InvalidAmountOrCurrency, R::SoftFix),
    ("approve_with_id", C::DoNotHonor, R::Soft),
    ("authentication_not_handled", C::AuthenticationRequired, R::SoftFix),
    ("authentication_required", C::AuthenticationRequired, R::SoftFix),
    ("bank_account_restricted", C::NotPermitted, R::Hard),
    ("bank_ownership_changed", C::AccountClosed, R::Hard),
    ("call_issuer", C::DoNotHonor, R::Soft),
    ("card_decline_rate_limit_exceeded", C::LimitExceeded, R::Hard),
    ("card_not_supported", C::NotPermitted, R::Hard),
    ("card_velocity_exceeded", C::LimitExceeded, R::Soft),
    ("charge_exceeds_source_limit", C::LimitExceeded, R::Soft),
    ("compliance_violation", C::NotPermitted, R::Hard),
    ("could_not_process", C::ProcessorError, R::Soft),
    ("currency_not_supported", C::InvalidAmountOrCurrency, R::SoftFix),
    ("debit_not_authorized", C::Revoked, R::Hard),
    ("declined", C::DoNotHonor, R::Soft),
    ("do_not_honor", C::DoNotHonor, R::Soft),
    ("do_not_try_again", C::DoNotHonor, R::Hard),
    ("duplicate_transaction", C::Duplicate, R::Hard),
    ("elevated_risk_level", C::RiskBlocked, R::Hard),
    ("expired_card", C::ExpiredCard, R::Hard),
    ("expired_or_canceled_card", C::ExpiredCard, R::Hard),
    ("expired_payment_information", C::InvalidCardData, R::SoftFix),
    ("fraudulent", C::SuspectedFraud, R::Hard),
    ("generic_decline", C::DoNotHonor, R::Soft),
    ("highest_risk_level", C::RiskBlocked, R::Hard),
    ("incorrect_address", C::AvsMismatch, R::SoftFix),
    ("incorrect_cvc", C::IncorrectCvc, R::SoftFix),
    ("incorrect_number", C::InvalidCardData, R::SoftFix),
    ("incorrect_pin", C::InvalidCardData, R::SoftFix),
    ("incorrect_zip", C::AvsMismatch, R::SoftFix),
    ("insufficient_funds", C::InsufficientFunds, R::Soft),
    ("invalid_account", C::AccountClosed, R::Hard),
    ("invalid_account_number", C::InvalidCardData, R::SoftFix),
    ("invalid_amount", C::InvalidAmountOrCurrency, R::SoftFix),
    ("invalid_authorization", C::AuthenticationFailed, R::SoftFix),
    ("invalid_billing_agreement", C::Revoked, R::Hard),
    ("invalid_business_account", C::NotPermitted, R::Hard),
    ("invalid_charge_amount", C::InvalidAmountOrCurrency, R::SoftFix),
    ("invalid_currency", C::InvalidAmountOrCurrency, R::SoftFix),
    ("invalid_customer_account", C::AccountClosed, R::Hard),
    ("invalid_cvc", C::IncorrectCvc, R::SoftFix),
    ("invalid_expiry_month", C::InvalidCardData, R::SoftFix),
    ("invalid_expiry_year", C::InvalidCardData, R::SoftFix),
    ("invalid_number", C::InvalidCardData, R::SoftFix),
    ("invalid_payment_information", C::InvalidCardData, R::SoftFix),
    ("invalid_pin", C::InvalidCardData, R::SoftFix),
    ("issuer_not_available", C::IssuerUnavailable, R::Soft),
    ("lost_card", C::LostOrStolen, R::Hard),
    ("lost_or_stolen_card", C::LostOrStolen, R::Hard),
    ("low_probability_of_authorization", C::RiskBlocked, R::Hard),
    ("merchant_blacklist", C::RiskBlocked, R::Hard),
    ("mobile_device_authentication_required", C::AuthenticationRequired, R::SoftFix),
    ("new_account_information_available", C::InvalidCardData, R::Hard),
    ("no_account", C::InvalidCardData, R::SoftFix),
    ("no_action_taken", C::DoNotHonor, R::Soft),
    ("not_permitted", C::NotPermitted, R::Hard),
    ("offline_pin_required", C::AuthenticationRequired, R::SoftFix),
    ("online_or_offline_pin_required", C::AuthenticationRequired, R::SoftFix),
    ("partner_duplicate_transaction", C::Duplicate, R::Hard),
    ("partner_expired_card", C::ExpiredCard, R::Hard),
    ("partner_generic_decline", C::DoNotHonor, R::Soft),
    ("partner_high_risk_customer", C::SuspectedFraud, R::Hard),
    ("partner_insufficient_funds", C::InsufficientFunds, R::Soft),
    ("partner_invalid_amount", C::InvalidAmountOrCurrency, R::SoftFix),
    ("partner_invalid_currency", C::InvalidAmountOrCurrency, R::SoftFix),
    ("partner_payment_not_found", C::Unknown, R::Hard),
    ("partner_processing_error", C::ProcessorError, R::Soft),
    ("payment_disputed", C::NotPermitted, R::Hard),
    ("payment_intent_authentication_failure", C::AuthenticationFailed, R::SoftFix),
    ("payment_intent_mandate_invalid", C::Revoked, R::Hard),
    ("payment_intent_payment_attempt_expired", C::AuthenticationFailed, R::SoftFix),
    ("payment_intent_payment_attempt_failed", C::DoNotHonor, R::Soft),
    ("payment_limit_exceeded", C::LimitExceeded, R::Soft),
    ("payment_method_customer_decline", C::AuthenticationFailed, R::SoftFix),
    ("payment_method_not_available", C::ProcessorError, R::Soft),
    ("payment_method_provider_decline", C::DoNotHonor, R::Soft),
    ("payment_method_provider_timeout", C::IssuerUnavailable, R::Soft),
    ("pickup_card", C::LostOrStolen, R::Hard),
    ("pin_try_exceeded", C::LimitExceeded, R::Hard),
    ("postal_code_invalid", C::AvsMismatch, R::SoftFix),
    ("processing_error", C::ProcessorError, R::Soft),
    ("reenter_transaction", C::ProcessorError, R::Soft),
    ("restricted_card", C::NotPermitted, R::Hard),
    ("revocation_of_all_authorizations", C::Revoked, R::Hard),
    ("revocation_of_authorization", C::Revoked, R::Hard),
    ("rule", C::RiskBlocked, R::Hard),
    ("security_violation", C::SuspectedFraud, R::Hard),
    ("service_not_allowed", C::NotPermitted, R::Hard),
    ("setup_intent_authentication_failure", C::AuthenticationFailed, R::SoftFix),
    ("stolen_card", C::LostOrStolen, R::Hard),
    ("stop_payment_order", C::Revoked, R::Hard),
    ("testmode_decline", C::NotPermitted, R::Hard),
    ("transaction_not_allowed", C::NotPermitted, R::Hard),
    ("try_again_later", C::ProcessorError, R::Soft),
    ("unsupported_card", C::NotPermitted, R::Hard),
    ("withdrawal_count_limit_exceeded", C::LimitExceeded, R::Soft),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decline::is_sorted_table;

    #[test]
    fn the_table_can_be_searched() {
        assert!(is_sorted_table(&CODES));
    }

    #[test]
    fn the_most_specific_code_is_kept_and_the_first_mapped_one_counts() {
        let declined = |codes| {
            let decline = decline(codes, "visa", "");
            (decline.code, decline.category)
        };
        assert_eq!(declined(["insufficient_funds", "card_declined"]).1, C::InsufficientFunds);
        assert_eq!(declined(["new_reason", "expired_card"]), ("new_reason".to_owned(), C::ExpiredCard));
        assert_eq!(declined(["", "card_declined"]), ("card_declined".to_owned(), C::Unknown));
    }

    #[test]
    fn an_unmapped_code_falls_back_to_the_networks() {
        assert_eq!(decline(["new_reason", ""], "visa", "51").category, C::InsufficientFunds);
        assert_eq!(decline(["do_not_honor", ""], "visa", "51").category, C::DoNotHonor);
    }

    #[test]
    fn advice_stands_above_the_table_and_the_networks_above_stripes() {
        let retry = |advice, network_advice, network| {
            let mut decline = decline(["do_not_honor", ""], network, "05");
            advise(&mut decline, network, advice, network_advice);
            decline.retry
        };
        assert_eq!(retry("", "", "visa"), R::Soft);
        assert_eq!(retry("do_not_try_again", "", "visa"), R::Hard);
        assert_eq!(retry("do_not_try_again", "24", "mastercard"), R::Soft);
        assert_eq!(retry("", "03", "visa"), R::Soft, "a Mastercard code on another network means nothing");
    }
}
