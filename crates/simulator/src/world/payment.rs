//! One payment attempt and what becomes of it, before any provider tells about it.

use std::sync::Arc;
use std::time::Duration;

use payments::{Money, ThreeDs, UnixMillis};

use super::decline::DeclineReason;
use super::issuer::{Issuer, Network};
use super::token::Token;

/// One attempt to pay for one basket.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Position in its world.
    pub index: u64,
    /// Makes its ids unique.
    pub token: Token,
    /// Which of the world's sources it goes through.
    pub source: usize,
    /// When the shopper pressed "pay".
    pub created_at: UnixMillis,
    /// What the basket costs.
    pub money: Money,
    /// With what it is paid.
    pub card: Card,
    /// Wallet the card is in, in its canonical name.
    pub wallet: Option<&'static str>,
    /// 3-D Secure, if it took place.
    pub three_ds: Option<Authentication>,
    /// Whether the address matched.
    pub address_matches: bool,
    /// The provider's risk score, 0 to 99.
    pub risk_score: u8,
    /// How long the authorization took.
    pub answer_ms: u32,
    /// What it came to.
    pub answer: Answer,
    /// What happens to an approved payment later.
    pub later: Later,
    /// Which side of the world's experiment the shopper is on.
    pub variant: &'static str,
    /// Its provider lost it: no webhook ever tells of it.
    pub untold: bool,
}

/// A card, without the number that no one needs to know.
#[derive(Clone, Debug)]
pub struct Card {
    /// Who issued it.
    pub issuer: Arc<Issuer>,
    /// On which network.
    pub network: Network,
    /// Four digits.
    pub last4: String,
    /// `credit`, `debit` or `prepaid`.
    pub funding: &'static str,
    /// Month of expiry, 1 to 12.
    pub expiry_month: u8,
    /// Year of expiry.
    pub expiry_year: u16,
}

/// How 3-D Secure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The cardholder was authenticated.
    Authenticated,
    /// The issuer does not take part.
    Attempted,
    /// It failed, and with it the payment.
    Failed,
}

impl Authentication {
    /// As a fact must tell it.
    pub fn as_told(self) -> ThreeDs {
        match self {
            Self::Authenticated => ThreeDs::Authenticated,
            Self::Attempted => ThreeDs::Attempted,
            Self::Failed => ThreeDs::Failed,
        }
    }
}

/// The answer of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Approved.
    Approved,
    /// Refused, or lost on the way.
    Refused(DeclineReason),
}

/// What happens after an approval; all times are counted from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// When the money is taken: `None` is at once, with the authorization.
    pub captured_after: Option<Duration>,
    /// When, and how much of it in percent, is given back.
    pub refund: Option<(Duration, u8)>,
    /// When the cardholder disputes it, and whether the merchant wins.
    pub dispute: Option<(Duration, bool)>,
}

/// The experiment that every shopper takes part in.
pub const EXPERIMENT: &str = "checkout-button";

impl Payment {
    /// When the attempt was answered.
    pub fn answered_at(&self) -> UnixMillis {
        self.created_at.plus(Duration::from_millis(u64::from(self.answer_ms)))
    }

    /// When the money was taken.
    pub fn captured_at(&self) -> UnixMillis {
        self.answered_at().plus(self.later.captured_after.unwrap_or_default())
    }

    /// The merchant's own reference.
    pub fn order_id(&self) -> String {
        format!("order-{}", self.token)
    }

    /// The card's BIN, eight digits.
    pub fn bin(&self) -> &str {
        &self.card.issuer.bins[self.card.network.index()]
    }

    /// `percent` of the amount, at least one minor unit.
    pub fn share_of_amount(&self, percent: u8) -> Money {
        let amount_minor = (self.money.amount_minor * i64::from(percent) / 100).max(1);
        Money { amount_minor, ..self.money }
    }
}
