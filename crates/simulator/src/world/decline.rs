//! Why a payment is refused, before any provider puts it into its own words.

use payments::Provider;
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution as _;

use super::issuer::{lognormal, weights};

/// A reason, as the issuer or the provider knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// Not enough money.
    InsufficientFunds,
    /// The issuer's catch-all.
    DoNotHonor,
    /// Expired.
    ExpiredCard,
    /// The number is wrong.
    InvalidNumber,
    /// The security code is wrong.
    IncorrectCvc,
    /// Reported stolen.
    StolenCard,
    /// The issuer suspects fraud.
    SuspectedFraud,
    /// Over a limit.
    LimitExceeded,
    /// Not allowed for this card.
    NotPermitted,
    /// The issuer wants 3-D Secure.
    AuthenticationRequired,
    /// 3-D Secure was tried and failed: the attempt never reached the issuer's authorization.
    AuthenticationFailed,
    /// The provider's own risk rule.
    RiskBlocked,
    /// The issuer does not answer (response code 91).
    IssuerUnavailable,
    /// The provider or acquirer does not answer (response code 96).
    ProviderTimeout,
}

/// Relative frequency of reasons in ordinary times.
const USUAL: [(DeclineReason, f64); 14] = [
    (DeclineReason::InsufficientFunds, 38.0),
    (DeclineReason::DoNotHonor, 22.0),
    (DeclineReason::ExpiredCard, 5.0),
    (DeclineReason::InvalidNumber, 3.0),
    (DeclineReason::IncorrectCvc, 7.0),
    (DeclineReason::StolenCard, 2.0),
    (DeclineReason::SuspectedFraud, 5.0),
    (DeclineReason::LimitExceeded, 4.0),
    (DeclineReason::NotPermitted, 4.0),
    (DeclineReason::AuthenticationRequired, 2.0),
    (DeclineReason::AuthenticationFailed, 3.0),
    (DeclineReason::RiskBlocked, 3.5),
    (DeclineReason::IssuerUnavailable, 1.0),
    (DeclineReason::ProviderTimeout, 0.5),
];

/// How often one issuer gives each reason, relative to the usual.
#[derive(Clone, Debug)]
pub(super) struct DeclineMix([f64; USUAL.len()]);

impl DeclineMix {
    /// The usual mix, each reason a little more or less frequent.
    pub(super) fn tilted(rng: &mut ChaCha8Rng) -> Self {
        Self(USUAL.map(|(_, weight)| weight * lognormal(1.0, 0.35).sample(rng)))
    }

    /// A reason for a payment at `provider`.
    pub(super) fn pick(&self, provider: Provider, rng: &mut ChaCha8Rng) -> DeclineReason {
        let mut mix = self.0;
        for (weight, (reason, _)) in mix.iter_mut().zip(USUAL) {
            *weight *= emphasis(provider, reason);
        }
        USUAL[weights(mix).sample(rng)].0
    }
}

/// Providers differ in how much their own risk engine stops, and how often their acquirers do not answer.
fn emphasis(provider: Provider, reason: DeclineReason) -> f64 {
    match (provider, reason) {
        (Provider::Stripe, DeclineReason::RiskBlocked) => 1.6,
        (Provider::Adyen, DeclineReason::ProviderTimeout) => 0.6,
        (Provider::Checkout, DeclineReason::DoNotHonor) => 1.2,
        _ => 1.0,
    }
}

impl DeclineReason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        USUAL.into_iter().map(|(reason, _)| reason)
    }
}
