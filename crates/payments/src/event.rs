//! The canonical payment event: one fact about one payment, the same shape for every provider.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::decline::Decline;
use crate::money::Money;
use crate::time::UnixMillis;

/// One fact. A webhook yields zero or more; `(source, event_id, fact)` identifies a row for ever, however often
/// the provider, the queue or an operator repeats it.
///
/// Texts that a provider does not tell are empty; numbers it does not tell are `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentEvent {
    /// The provider's event id, or a documented composite where it has none.
    pub event_id: String,
    /// Index of the fact within the event: a charge authorized and captured at once is facts 0 and 1.
    pub fact: u16,
    /// Merchant account at the provider.
    pub account: String,
    /// Live (true) or test mode.
    pub live: bool,
    /// What the fact is about.
    pub kind: Kind,
    /// What became of it.
    pub outcome: Outcome,
    /// The provider's clock.
    pub occurred_at: UnixMillis,
    /// The provider's payment.
    pub payment_id: String,
    /// Its single attempt (charge, authorization).
    pub attempt_id: String,
    /// The merchant's own reference.
    pub order_id: String,
    /// How much.
    pub money: Option<Money>,
    /// `card`, `sepa_debit`, `ideal`, …: the provider's method name in lower snake case.
    pub method: String,
    /// `apple_pay`, `google_pay`, …: see [`wallet`].
    pub wallet: String,
    /// `visa`, `mastercard`, …: see [`network`].
    pub network: String,
    /// `credit`, `debit`, `prepaid`, or empty.
    pub funding: String,
    /// First six or eight digits.
    pub bin: String,
    /// Last four digits.
    pub last4: String,
    /// Issuing bank's name as the provider spells it.
    pub issuer: String,
    /// ISO 3166-1 alpha-2, upper case.
    pub issuer_country: String,
    /// Why it was declined or failed, if it was.
    pub decline: Option<Decline>,
    /// 3-D Secure.
    pub three_ds: ThreeDs,
    /// Address check, the provider's value in lower case (`pass`, `fail`, a letter code).
    pub avs: String,
    /// Card security code check, likewise.
    pub cvc: String,
    /// The provider's own scale.
    pub risk_score: Option<f32>,
    /// How long the authorization took, where the provider tells.
    pub latency_ms: Option<u32>,
    /// Cost in minor units of `money`'s currency, where told.
    pub fee_minor: Option<i64>,
    /// From the merchant's metadata, under the key configured for the source.
    pub experiment: String,
    /// Likewise.
    pub variant: String,
}

impl PaymentEvent {
    /// A fact with its identity, meaning and time; everything else not told.
    pub fn new(event_id: impl Into<String>, fact: u16, kind: Kind, outcome: Outcome, at: UnixMillis) -> Self {
        Self {
            event_id: event_id.into(),
            fact,
            account: String::new(),
            live: true,
            kind,
            outcome,
            occurred_at: at,
            payment_id: String::new(),
            attempt_id: String::new(),
            order_id: String::new(),
            money: None,
            method: String::new(),
            wallet: String::new(),
            network: String::new(),
            funding: String::new(),
            bin: String::new(),
            last4: String::new(),
            issuer: String::new(),
            issuer_country: String::new(),
            decline: None,
            three_ds: ThreeDs::NotTold,
            avs: String::new(),
            cvc: String::new(),
            risk_score: None,
            latency_ms: None,
            fee_minor: None,
            experiment: String::new(),
            variant: String::new(),
        }
    }

    /// Whether this row is the one answer of an authorization attempt: what every rate counts.
    pub fn is_answer(&self) -> bool {
        self.kind == Kind::Authorization
            && matches!(self.outcome, Outcome::Approved | Outcome::Declined | Outcome::Failed)
    }
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// The payment as a whole (created, pending, succeeded, canceled).
    Payment,
    /// 3-D Secure or other customer authentication.
    Authentication,
    /// The issuer's answer to an attempt. Exactly one `approved`, `declined` or `failed` per attempt.
    Authorization,
    /// Money taken.
    Capture,
    /// Authorization released before capture.
    Cancel,
    /// Money given back.
    Refund,
    /// Chargeback and what leads to it.
    Dispute,
    /// Money from the provider to the merchant or a third party.
    Payout,
    /// Settlement reports and fees.
    Settlement,
    /// Early fraud warning.
    FraudReport,
    /// The provider about its own availability.
    Health,
    /// Known, but none of the above.
    Other,
}

impl Kind {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Begun.
    Created,
    /// Not decided yet.
    Pending,
    /// Yes.
    Approved,
    /// No, by issuer, network or risk rule.
    Declined,
    /// No answer, for a technical reason.
    Failed,
    /// Done.
    Succeeded,
    /// Called off.
    Canceled,
    /// Lapsed.
    Expired,
    /// A dispute or review began.
    Opened,
    /// For the merchant.
    Won,
    /// Against the merchant.
    Lost,
    /// Ended without a winner.
    Closed,
    /// Changed in some detail.
    Updated,
}

impl Outcome {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What 3-D Secure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ThreeDs {
    /// The provider does not say.
    #[strum(serialize = "")]
    NotTold,
    /// The cardholder was authenticated.
    Authenticated,
    /// Attempted; the issuer does not take part.
    Attempted,
    /// Not required: an exemption was used.
    Exempted,
    /// Authentication failed.
    Failed,
    /// The card or issuer does not support it.
    NotSupported,
    /// It broke.
    Error,
    /// Only data was shared with the issuer, no authentication.
    DataOnly,
    /// Offered or not, it did not take place.
    NotPerformed,
}

impl ThreeDs {
    /// The stable name, as it stands in tables, rules and answers.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Card network in one spelling (`mastercard`, whichever of `mc`, `MasterCard`, `MASTERCARD` the provider says);
/// a name of no known network stays as sent, in lower snake case; `unknown` is no name.
pub fn network(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "mc" | "master_card" | "mastercard_credit" | "mastercard_debit" => "mastercard".to_owned(),
        "american_express" | "americanexpress" => "amex".to_owned(),
        "diners_club" | "dinersclub" | "diners_club_international" => "diners".to_owned(),
        "cup" | "union_pay" | "unionpay_credit" | "china_union_pay" => "unionpay".to_owned(),
        "eftpos" | "eftpos_australia" => "eftpos_au".to_owned(),
        "unknown" => String::new(),
        "cartebancaire" | "cartes_bancaires" | "carte_bancaire" => "cartes_bancaires".to_owned(),
        _ => name,
    }
}

/// Wallet in one spelling (`apple_pay` for `applepay`, `ApplePay`, `apple_pay`); unknown names in lower snake case.
pub fn wallet(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "applepay" => "apple_pay".to_owned(),
        "googlepay" | "paywithgoogle" | "android_pay" => "google_pay".to_owned(),
        "samsungpay" => "samsung_pay".to_owned(),
        _ => name,
    }
}

/// Longest text kept of any provider-given name: labels must not become a way to store a payload.
const NAME_CHARS_MAX: usize = 64;

/// Lower snake case of a provider's name: `Credit Card` and `credit-card` become `credit_card`, `ApplePay`
/// becomes `apple_pay`.
pub fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len().min(NAME_CHARS_MAX) + 4);
    let mut previous_is_lower = false;
    for character in name.trim().chars().take(NAME_CHARS_MAX) {
        if character.is_ascii_uppercase() && previous_is_lower {
            out.push('_');
        }
        previous_is_lower = character.is_ascii_lowercase();
        match character {
            ' ' | '-' | '/' | '.' => {
                if !out.ends_with('_') {
                    out.push('_');
                }
            }
            _ => out.extend(character.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for kind in Kind::VARIANTS {
            assert_eq!(kind.name().parse(), Ok(*kind));
        }
        for outcome in Outcome::VARIANTS {
            assert_eq!(outcome.name().parse(), Ok(*outcome));
        }
    }

    #[test]
    fn one_network_has_one_spelling() {
        for spelling in ["mc", "MasterCard", "MASTERCARD", "Mastercard", "master card"] {
            assert_eq!(network(spelling), "mastercard", "{spelling}");
        }
        assert_eq!(network("Visa"), "visa");
        assert_eq!(network("elo"), "elo");
        assert_eq!(network("eftpos_australia"), network("eftpos_au"));
        assert_eq!(network("unknown"), "");
        assert_eq!(wallet("ApplePay"), "apple_pay");
    }

    #[test]
    fn only_answers_of_authorizations_are_counted_in_rates() {
        let fact = |kind, outcome| PaymentEvent::new("e", 0, kind, outcome, UnixMillis(0)).is_answer();
        assert!(fact(Kind::Authorization, Outcome::Declined));
        assert!(!fact(Kind::Authorization, Outcome::Pending));
        assert!(!fact(Kind::Payment, Outcome::Succeeded));
    }
}
