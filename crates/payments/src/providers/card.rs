//! Card fields that providers spell alike.

use super::card_number;
use crate::decline::{DeclineCategory, DeclineClass};
use crate::event::{Outcome, ThreeDs};

/// Longest provider-given text kept as a label (issuer, decline code).
const LABEL_CHARS_MAX: usize = 120;

/// What an attempt that was not approved counts as: `failed` if nobody decided (the issuer or a processor did not
/// answer), `declined` otherwise.
pub(super) fn refused(category: DeclineCategory) -> Outcome {
    match category.class() {
        DeclineClass::Technical => Outcome::Failed,
        DeclineClass::Actionable | DeclineClass::Cardholder => Outcome::Declined,
    }
}

/// `credit`, `debit` or `prepaid` from any spelling (`DEFERRED_DEBIT`, `Prepaid Reloadable`); empty for the rest.
pub(super) fn funding(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.contains("prepaid") {
        "prepaid"
    } else if text.contains("debit") {
        "debit"
    } else if text.contains("credit") || text == "charge" {
        "credit"
    } else {
        ""
    }
}

/// The first six to eight digits. Never more, whatever is sent: a whole card number must not be kept.
pub(super) fn bin(text: &str) -> &str {
    let text = text.trim();
    let is_bin = text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_bin { &text[..text.len().min(8)] } else { "" }
}

/// Exactly four digits; anything longer could be a card number, and is not kept.
pub(super) fn last4(text: &str) -> &str {
    let text = text.trim();
    let is_last4 = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_last4 { text } else { "" }
}

/// ISO 3166-1 alpha-2 in upper case; empty for anything that is not two letters (`unknown`, `N/A`).
pub(super) fn country(text: &str) -> String {
    let text = text.trim();
    let is_country = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_country { text.to_ascii_uppercase() } else { String::new() }
}

/// A text kept as a label: trimmed and bounded.
pub(super) fn label(text: &str) -> String {
    text.trim().chars().take(LABEL_CHARS_MAX).collect()
}

/// A text that the merchant writes as they like (order id, experiment): a label in which no card number is kept.
pub(super) fn merchant_text(text: &str) -> String {
    card_number::mask(label(text))
}

/// A risk score on the provider's own scale.
pub(super) fn score(text: &str) -> Option<f32> {
    text.trim().parse().ok().filter(|score: &f32| score.is_finite())
}

/// The outcome of 3-D Secure from EMV 3DS `transStatus` (EMVCo 3-D Secure protocol, table A.1): `None` if it is
/// absent or not one of its letters.
pub(super) fn trans_status(letter: &str) -> Option<ThreeDs> {
    match letter.trim() {
        "Y" | "y" => Some(ThreeDs::Authenticated),
        "A" | "a" => Some(ThreeDs::Attempted),
        "N" | "n" | "R" | "r" => Some(ThreeDs::Failed),
        "U" | "u" => Some(ThreeDs::Error),
        "I" | "i" => Some(ThreeDs::DataOnly),
        // A challenge was asked for, and nothing is told about its end.
        "C" | "c" | "D" | "d" => Some(ThreeDs::NotPerformed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_in_the_wrong_field_is_not_kept() {
        assert_eq!(bin("4111111111111111"), "41111111");
        assert_eq!(bin("411111"), "411111");
        assert_eq!(bin("4111"), "");
        assert_eq!(bin("41111é"), "");
        assert_eq!(last4("1111"), "1111");
        assert_eq!(last4("4111111111111111"), "");
        assert_eq!(merchant_text(" GC-1 4111 1111 1111 1111 "), "GC-1 [card number]");
    }

    #[test]
    fn funding_and_country_have_one_spelling() {
        assert_eq!(
            ["CREDIT", "Debit", "DEFERRED DEBIT", "PREPAID_RELOADABLE", "CHARGE", "x"].map(funding),
            ["credit", "debit", "debit", "prepaid", "credit", ""]
        );
        assert_eq!(["us", "NL ", "USA", "", "1é"].map(country), ["US", "NL", "", "", ""]);
    }

    #[test]
    fn scores_are_numbers() {
        assert_eq!(
            ["10", "0.5", "", "NaN", "inf", "high"].map(score),
            [Some(10.0), Some(0.5), None, None, None, None]
        );
    }
}
