//! Why an attempt was not approved, in words that are the same for every provider.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The reason of a declined or failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The provider's code as sent (`insufficient_funds`, `20051`, `Refused`).
    pub code: String,
    /// Its normalized category.
    pub category: DeclineCategory,
    /// The network's or issuer's own code (ISO 8583 response code), empty if not told.
    pub network_code: String,
    /// Whether trying again makes sense.
    pub retry: Retry,
}

impl Decline {
    /// The class follows from the category.
    pub fn class(&self) -> DeclineClass {
        self.category.class()
    }
}

/// Normalized reason. Every provider's table maps onto these; an unmapped code is `Unknown`, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeclineCategory {
    /// Not enough money.
    InsufficientFunds,
    /// The issuer's catch-all.
    DoNotHonor,
    /// Expired.
    ExpiredCard,
    /// Number, expiry or account data wrong.
    InvalidCardData,
    /// Security code wrong.
    IncorrectCvc,
    /// Address does not match.
    AvsMismatch,
    /// Reported lost or stolen.
    LostOrStolen,
    /// The issuer suspects fraud.
    SuspectedFraud,
    /// The provider's or merchant's risk rule said no.
    RiskBlocked,
    /// The issuer wants the customer authenticated.
    AuthenticationRequired,
    /// Authentication was tried and failed.
    AuthenticationFailed,
    /// Over an amount or count limit.
    LimitExceeded,
    /// Not allowed for this card, merchant or country.
    NotPermitted,
    /// The issuer did not answer.
    IssuerUnavailable,
    /// The provider, acquirer or network broke.
    ProcessorError,
    /// Amount or currency wrong.
    InvalidAmountOrCurrency,
    /// Same transaction again.
    Duplicate,
    /// Account closed.
    AccountClosed,
    /// The cardholder revoked the mandate.
    Revoked,
    /// Not mapped.
    Unknown,
}

impl DeclineCategory {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Who can do something about it: `technical` and `actionable` are worth a page, `cardholder` is context.
    pub fn class(self) -> DeclineClass {
        match self {
            Self::IssuerUnavailable | Self::ProcessorError => DeclineClass::Technical,
            Self::InsufficientFunds
            | Self::ExpiredCard
            | Self::InvalidCardData
            | Self::IncorrectCvc
            | Self::AvsMismatch
            | Self::LostOrStolen
            | Self::LimitExceeded
            | Self::AccountClosed
            | Self::Revoked => DeclineClass::Cardholder,
            Self::DoNotHonor
            | Self::SuspectedFraud
            | Self::RiskBlocked
            | Self::AuthenticationRequired
            | Self::AuthenticationFailed
            | Self::NotPermitted
            | Self::InvalidAmountOrCurrency
            | Self::Duplicate
            | Self::Unknown => DeclineClass::Actionable,
        }
    }
}

/// Who can do something about a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeclineClass {
    /// Timeouts, unreachable issuers, broken processors.
    Technical,
    /// Issuer policy, risk rules, authentication, our own data.
    Actionable,
    /// The cardholder's own affair.
    Cardholder,
}

impl DeclineClass {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Whether trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Retry {
    /// The same attempt may pass later.
    Soft,
    /// Only with corrected data or with authentication.
    SoftFix,
    /// Never with this card and data.
    Hard,
    /// Not known.
    Unknown,
}

impl Retry {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One row of a provider's decline table: its code, our category, our retry class.
pub type TableRow = (&'static str, DeclineCategory, Retry);

/// Looks `code` up in a table sorted by code.
///
/// Invariant: every table is sorted and free of duplicates; a unit test beside each table checks it with
/// [`is_sorted_table`].
pub fn look_up(table: &[TableRow], code: &str) -> Option<(DeclineCategory, Retry)> {
    let index = table.binary_search_by(|row| row.0.cmp(code)).ok()?;
    table.get(index).map(|row| (row.1, row.2))
}

/// Whether `table` can be searched by [`look_up`].
pub fn is_sorted_table(table: &[TableRow]) -> bool {
    table.is_sorted_by(|a, b| a.0 < b.0)
}
