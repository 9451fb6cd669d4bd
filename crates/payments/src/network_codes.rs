//! Response codes of the card networks (ISO 8583 field 39) and Mastercard's merchant advice codes.
//!
//! The same code means different things to different networks, so look-ups are by network and code, and fall back to
//! the meaning that most networks share. Category and retry class are our judgement, not the networks'. Codes marked
//! "unconfirmed" below come from general knowledge of the field, without a published source at hand.

use crate::decline::{self, DeclineCategory as C, Retry as R, TableRow};

/// What `code` means on `network` (in [`network`](crate::event::network)'s spelling; empty if not known): its category
/// and retry class. `None` for approvals and for codes that are not known.
///
/// Codes are compared as the rules of the field say: letters in either case, and a single digit stands for two
/// (`5` is `05`, which some processors strip).
///
/// Unconfirmed, and therefore not applied: Mastercard issuers in the EEA and the UK answer `65` to ask for strong
/// authentication; elsewhere it is a count limit, and the network alone does not tell which.
pub fn look_up(network: &str, code: &str) -> Option<(C, R)> {
    let code = normalized(code)?;
    let code = code.as_str();
    let own = match network {
        "visa" => decline::look_up(VISA, code),
        "mastercard" | "maestro" => decline::look_up(MASTERCARD, code),
        "cartes_bancaires" => decline::look_up(CARTES_BANCAIRES, code),
        _ => None,
    };
    own.or_else(|| decline::look_up(ANY, code)).or_else(|| decline::look_up(THREE_DIGITS, code))
}

/// Applies a Mastercard merchant advice code (`01`, `03`, `24`…) to what the response code alone says. On another
/// network, or with a code that says nothing about retrying, `answer` is returned as it is.
///
/// The advice decides the retry class, and the category where the response code leaves it open. Account data that is
/// out of date (`01`) or gone (`03`) is told apart. 40, 41 and 43 describe the card and come with approvals too: they
/// change nothing.
pub fn merchant_advice(network: &str, advice: &str, answer: (C, R)) -> (C, R) {
    if !matches!(network, "mastercard" | "maestro" | "") {
        return answer;
    }
    let Some(advice) = normalized(advice) else { return answer };
    // 24 to 30 also name the waiting time, from an hour to ten days. 05 as hard is unconfirmed.
    let (own, retry) = match advice.as_str() {
        "01" => (None, R::SoftFix),
        "02" => (None, R::Soft),
        "03" | "05" | "22" => (Some(C::NotPermitted), R::Hard),
        "04" => (Some(C::ProcessorError), R::SoftFix),
        "21" => (Some(C::Revoked), R::Hard),
        "24" | "25" | "26" | "27" | "28" | "29" | "30" => (Some(C::InsufficientFunds), R::Soft),
        "42" => (Some(C::RiskBlocked), R::Hard),
        _ => return answer,
    };
    let category = match (advice.as_str(), answer.0) {
        ("01", C::InvalidCardData) => C::ExpiredCard,
        ("03", C::InvalidCardData) => C::AccountClosed,
        (_, category) => own.filter(|_| is_open(answer)).unwrap_or(category),
    };
    (category, retry)
}

/// Whether a code says hardly more than no. Mastercard's 79 is such, and known by its retry class, which is left to the
/// advice.
fn is_open(answer: (C, R)) -> bool {
    matches!(answer, (C::DoNotHonor | C::NotPermitted | C::Unknown, _) | (C::InvalidCardData, R::Unknown))
}

/// Longest code of any network here; longer ones (some acquirers send up to 20 characters) are not known.
const CODE_CHARS_MAX: usize = 3;

fn normalized(code: &str) -> Option<String> {
    let code = code.trim();
    if code.is_empty()
        || code.len() > CODE_CHARS_MAX
        || !code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return None;
    }
    let is_stripped = code.len() == 1 && code.bytes().all(|byte| byte.is_ascii_digit());
    Some(if is_stripped { format!("0{code}") } else { code.to_ascii_uppercase() })
}

/// Meanings shared by most networks; where they differ and the network is not known, the first published meaning.
///
/// Unconfirmed: 09, 5C, 9G, B1, B2, N5, R2, Z1 and Z5; in part 65, 70, 71, 76, 77, 79 to 84, 88, 89, 92, N0, N8, P5, P6,
/// Q1 and Z3. Approvals (00, 08, 10, 11, 85, 87, Y1, Y3) are left out.
const ANY: &[TableRow] = &[
    ("01", C::DoNotHonor, R::Soft),
    ("02", C::DoNotHonor, R::Soft),
    ("03", C::ProcessorError, R::Hard),
    ("04", C::LostOrStolen, R::Hard),
    ("05", C::DoNotHonor, R::Soft),
    ("06", C::ProcessorError, R::Soft),
    ("07", C::SuspectedFraud, R::Hard),
    ("09", C::ProcessorError, R::Soft),
    ("12", C::NotPermitted, R::Hard),
    ("13", C::InvalidAmountOrCurrency, R::SoftFix),
    ("14", C::InvalidCardData, R::SoftFix),
    ("15", C::InvalidCardData, R::Hard),
    ("17", C::Revoked, R::Hard),
    ("19", C::ProcessorError, R::Soft),
    ("1A", C::AuthenticationRequired, R::SoftFix),
    ("20", C::ProcessorError, R::Soft),
    ("21", C::ProcessorError, R::Soft),
    ("22", C::ProcessorError, R::Soft),
    ("25", C::ProcessorError, R::SoftFix),
    ("28", C::IssuerUnavailable, R::Soft),
    ("30", C::ProcessorError, R::SoftFix),
    ("31", C::NotPermitted, R::Hard),
    ("33", C::ExpiredCard, R::Hard),
    ("34", C::SuspectedFraud, R::Hard),
    ("35", C::SuspectedFraud, R::Hard),
    ("36", C::NotPermitted, R::Hard),
    ("37", C::SuspectedFraud, R::Hard),
    ("38", C::LimitExceeded, R::Hard),
    ("39", C::InvalidCardData, R::Hard),
    ("41", C::LostOrStolen, R::Hard),
    ("43", C::LostOrStolen, R::Hard),
    ("46", C::AccountClosed, R::Hard),
    ("51", C::InsufficientFunds, R::Soft),
    ("52", C::InvalidCardData, R::Hard),
    ("53", C::InvalidCardData, R::Hard),
    ("54", C::ExpiredCard, R::SoftFix),
    ("55", C::AuthenticationFailed, R::SoftFix),
    ("57", C::NotPermitted, R::Hard),
    ("58", C::NotPermitted, R::Hard),
    ("59", C::SuspectedFraud, R::Soft),
    ("5C", C::NotPermitted, R::Hard),
    ("61", C::LimitExceeded, R::Soft),
    ("62", C::NotPermitted, R::Hard),
    ("63", C::SuspectedFraud, R::Hard),
    ("64", C::RiskBlocked, R::Hard),
    ("65", C::LimitExceeded, R::Soft),
    ("6P", C::AuthenticationFailed, R::SoftFix),
    ("70", C::AuthenticationRequired, R::SoftFix),
    ("71", C::AuthenticationFailed, R::Soft),
    ("74", C::ProcessorError, R::Soft),
    ("75", C::LimitExceeded, R::Soft),
    ("76", C::ProcessorError, R::Hard),
    ("77", C::ProcessorError, R::Hard),
    ("78", C::NotPermitted, R::Soft),
    ("79", C::ProcessorError, R::Unknown),
    ("80", C::IssuerUnavailable, R::Soft),
    ("81", C::ProcessorError, R::Hard),
    ("82", C::IncorrectCvc, R::SoftFix),
    ("83", C::SuspectedFraud, R::Unknown),
    ("84", C::ProcessorError, R::Hard),
    ("86", C::AuthenticationFailed, R::Soft),
    ("88", C::ProcessorError, R::Soft),
    ("89", C::AuthenticationFailed, R::SoftFix),
    ("91", C::IssuerUnavailable, R::Soft),
    ("92", C::IssuerUnavailable, R::Soft),
    ("93", C::NotPermitted, R::Hard),
    ("94", C::Duplicate, R::Hard),
    ("96", C::ProcessorError, R::Soft),
    ("9G", C::NotPermitted, R::Hard),
    ("B1", C::InvalidAmountOrCurrency, R::SoftFix),
    ("B2", C::InvalidAmountOrCurrency, R::SoftFix),
    ("N0", C::IssuerUnavailable, R::Soft),
    ("N3", C::NotPermitted, R::Hard),
    ("N4", C::LimitExceeded, R::SoftFix),
    ("N5", C::NotPermitted, R::Hard),
    ("N7", C::IncorrectCvc, R::SoftFix),
    ("N8", C::LimitExceeded, R::SoftFix),
    ("P5", C::AuthenticationFailed, R::Hard),
    ("P6", C::AuthenticationFailed, R::SoftFix),
    ("Q1", C::AuthenticationFailed, R::SoftFix),
    ("R0", C::Revoked, R::Hard),
    ("R1", C::Revoked, R::Hard),
    ("R2", C::AuthenticationFailed, R::Hard),
    ("R3", C::Revoked, R::Hard),
    ("XA", C::IssuerUnavailable, R::Soft),
    ("XD", C::IssuerUnavailable, R::Soft),
    ("Z1", C::DoNotHonor, R::Soft),
    ("Z3", C::IssuerUnavailable, R::Soft),
    ("Z5", C::LimitExceeded, R::SoftFix),
];

/// Where Visa differs: 62 may pass later.
const VISA: &[TableRow] = &[("62", C::NotPermitted, R::Soft)];

/// Where Mastercard differs. 79, 82 and 83 say almost nothing without the merchant advice code, so their retry class is
/// left to it. Unconfirmed: all but 78.
const MASTERCARD: &[TableRow] = &[
    ("70", C::DoNotHonor, R::Soft),
    ("76", C::InvalidCardData, R::Hard),
    ("77", C::InvalidCardData, R::Hard),
    ("78", C::InvalidCardData, R::Hard),
    ("79", C::InvalidCardData, R::Unknown),
    ("81", C::NotPermitted, R::Hard),
    ("82", C::NotPermitted, R::Unknown),
];

/// Codes of Cartes Bancaires alone (unconfirmed).
const CARTES_BANCAIRES: &[TableRow] =
    &[("A1", C::AuthenticationRequired, R::SoftFix), ("A4", C::AuthenticationRequired, R::SoftFix)];

/// ISO 8583:1993, which American Express answers with. Unconfirmed: 107, 110 to 200, 909 to 912.
const THREE_DIGITS: &[TableRow] = &[
    ("100", C::DoNotHonor, R::Soft),
    ("101", C::ExpiredCard, R::SoftFix),
    ("102", C::SuspectedFraud, R::Hard),
    ("104", C::NotPermitted, R::Hard),
    ("106", C::LimitExceeded, R::Soft),
    ("107", C::DoNotHonor, R::Soft),
    ("109", C::ProcessorError, R::Hard),
    ("110", C::InvalidAmountOrCurrency, R::SoftFix),
    ("111", C::InvalidCardData, R::SoftFix),
    ("115", C::NotPermitted, R::Hard),
    ("116", C::InsufficientFunds, R::Soft),
    ("117", C::AuthenticationFailed, R::SoftFix),
    ("119", C::NotPermitted, R::Hard),
    ("121", C::LimitExceeded, R::Soft),
    ("122", C::IncorrectCvc, R::SoftFix),
    ("125", C::InvalidCardData, R::SoftFix),
    ("130", C::AuthenticationRequired, R::SoftFix),
    ("181", C::ProcessorError, R::SoftFix),
    ("183", C::InvalidAmountOrCurrency, R::SoftFix),
    ("187", C::AccountClosed, R::SoftFix),
    ("189", C::ProcessorError, R::Hard),
    ("200", C::LostOrStolen, R::Hard),
    ("909", C::ProcessorError, R::Soft),
    ("911", C::IssuerUnavailable, R::Soft),
    ("912", C::IssuerUnavailable, R::Soft),
];

#[cfg(test)]
mod tests;
