//! The seeded world: issuers, cards, baskets, answers. Same seed and start, same payments, to the byte.
//!
//! A payment is a function of the seed and its index, not of the payments drawn before it: any payment can be made
//! again alone, and an incident changes the payments it touches and no others.

mod curve;
mod decline;
mod issuer;
mod market;
mod payment;
mod token;

use std::sync::Arc;
use std::time::Duration;

use payments::{Provider, UnixMillis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, weighted::WeightedIndex};

pub use curve::demand;
pub use decline::DeclineReason;
pub use issuer::{Issuer, Network};
pub use market::Market;
pub use payment::{Answer, Authentication, Card, EXPERIMENT, Later, Payment};
pub use token::Token;

pub(crate) use issuer::lognormal;

use issuer::Issuers;

/// What the world does to payments while an incident lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disturbance {
    /// The issuer of this rank does not answer this share of its authorizations.
    IssuerDown {
        /// Which issuer.
        rank: usize,
        /// 0 to 1.
        share: f64,
    },
    /// This share of the calls to one source's provider runs into a timeout; of most of these no webhook tells.
    SourceTimesOut {
        /// Which source.
        source: usize,
        /// 0 to 1.
        share: f64,
    },
}

/// A world of payments.
#[derive(Clone, Debug)]
pub struct World {
    seed: ChaCha8Rng,
    run: u32,
    issuers: Issuers,
    sources: Vec<Provider>,
    /// Where payments of the home market go, and where all others go.
    routes: Option<[WeightedIndex<f64>; 2]>,
}

/// Declines in ordinary times, as log-odds: about 7%.
const DECLINE_LOG_ODDS: f64 = -2.6;
/// A wallet's cryptogram makes a decline less likely.
const WALLET_LOG_ODDS: f64 = -0.5;
/// Of the calls that time out, the share that leaves no trace at the provider.
const UNTOLD_SHARE: f64 = 0.8;
/// A call that got no answer is given up after this time.
const CALL_TIMEOUT_MS: u32 = 30_000;

impl World {
    /// The world of `seed` whose payments go through sources of `providers`. `start` sets its ids apart from those
    /// of the same world at another time.
    pub fn new(seed: u64, start: UnixMillis, providers: &[Provider]) -> Self {
        let mut catalogue = ChaCha8Rng::seed_from_u64(seed);
        let issuers = Issuers::new(&mut catalogue);
        let mut run = ChaCha8Rng::seed_from_u64(seed ^ start.0.unsigned_abs().rotate_left(32));
        let route = |home: bool| {
            let weights = providers.iter().map(|provider| {
                let alike = providers.iter().filter(|other| *other == provider).count();
                traffic_share(*provider, home) / alike as f64
            });
            WeightedIndex::new(weights).ok()
        };
        let routes = route(true).zip(route(false)).map(|(home, abroad)| [home, abroad]);
        Self {
            seed: ChaCha8Rng::seed_from_u64(seed),
            run: run.random(),
            issuers,
            sources: providers.to_vec(),
            routes,
        }
    }

    /// Its banks, the largest first.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers.all
    }

    /// Payment `index`, made at `created_at`, disturbed by what is going on then.
    pub fn payment(&self, index: u64, created_at: UnixMillis, disturbance: Option<Disturbance>) -> Payment {
        let mut rng = self.seed.clone();
        // Stream 0 drew the catalogue.
        rng.set_stream(index.wrapping_add(1));
        let issuer = Arc::clone(self.issuers.pick(&mut rng));
        let source = self.route(&issuer, &mut rng);
        let card = card(issuer, created_at, &mut rng);
        let wallet = wallet(&mut rng);
        let mut payment = Payment {
            index,
            token: self.token(index),
            source,
            created_at,
            money: card.issuer.market.basket(&mut rng),
            wallet,
            three_ds: authentication(card.issuer.market.three_ds_share, wallet.is_some(), &mut rng),
            address_matches: rng.random_bool(0.96),
            risk_score: rng.random_range(0..60),
            answer_ms: duration_ms(lognormal(650.0, 0.45).sample(&mut rng), 60_000.0),
            answer: Answer::Approved,
            later: later(&mut rng),
            variant: if rng.random_bool(0.5) { "control" } else { "large" },
            untold: false,
            card,
        };
        self.answer(&mut payment, &mut rng);
        if let Some(disturbance) = disturbance {
            disturb(&mut payment, disturbance, rng.random());
        }
        payment
    }

    /// The token of payment `index`.
    pub(crate) fn token(&self, index: u64) -> Token {
        Token::new(self.run, index)
    }

    fn route(&self, issuer: &Issuer, rng: &mut ChaCha8Rng) -> usize {
        let Some([home, abroad]) = &self.routes else { return 0 };
        if issuer.market.country == "US" { home.sample(rng) } else { abroad.sample(rng) }
    }

    fn answer(&self, payment: &mut Payment, rng: &mut ChaCha8Rng) {
        let Some(provider) = self.sources.get(payment.source) else { return };
        let issuer = &payment.card.issuer;
        let wallet = if payment.wallet.is_some() { WALLET_LOG_ODDS } else { 0.0 };
        let log_odds = DECLINE_LOG_ODDS + issuer.strictness + wallet;
        if !rng.random_bool(1.0 / (1.0 + (-log_odds).exp())) {
            return;
        }
        refuse(payment, issuer.mix.pick(*provider, rng));
    }
}

/// Who a merchant at home in the US sends its payments to, and its payments from abroad.
fn traffic_share(provider: Provider, home: bool) -> f64 {
    match (provider, home) {
        (Provider::Stripe, true) | (Provider::Adyen, false) => 0.40,
        (Provider::Adyen, true) | (Provider::Checkout, false) => 0.25,
        (Provider::Canonical, _) => 0.20,
        (Provider::Checkout, true) | (Provider::Stripe, false) => 0.15,
    }
}

fn card(issuer: Arc<Issuer>, at: UnixMillis, rng: &mut ChaCha8Rng) -> Card {
    let funding = match rng.random_range(0..100) {
        0..52 => "debit",
        52..94 => "credit",
        _ => "prepaid",
    };
    // Years since 1970 are near enough: a card expires one to four years from now.
    let year = 1970 + u16::try_from(at.seconds() / 31_556_952).unwrap_or(60);
    Card {
        issuer,
        network: issuer::pick_network(rng),
        last4: format!("{:04}", rng.random_range(0..10_000)),
        funding,
        expiry_month: rng.random_range(1..=12),
        expiry_year: year + rng.random_range(1..=4),
    }
}

fn wallet(rng: &mut ChaCha8Rng) -> Option<&'static str> {
    match rng.random_range(0..100) {
        0..24 => Some("apple_pay"),
        24..38 => Some("google_pay"),
        _ => None,
    }
}

fn authentication(share: f64, in_wallet: bool, rng: &mut ChaCha8Rng) -> Option<Authentication> {
    // Drawn in any case: whether there is a wallet must not shift what is drawn next.
    let (takes_place, attempted) = (rng.random_bool(share), rng.random_bool(0.06));
    match (takes_place && !in_wallet, attempted) {
        (false, _) => None,
        (true, true) => Some(Authentication::Attempted),
        (true, false) => Some(Authentication::Authenticated),
    }
}

/// What real life spreads over days happens within minutes here, so that a short run shows all of it.
fn later(rng: &mut ChaCha8Rng) -> Later {
    let mut seconds = |from: u64, to: u64| Duration::from_secs(rng.random_range(from..to));
    let (capture, refund, dispute) = (seconds(5, 60), seconds(60, 300), seconds(90, 400));
    let percent = if rng.random_bool(0.6) { 100 } else { rng.random_range(5..80) };
    Later {
        captured_after: rng.random_bool(0.5).then_some(capture),
        refund: rng.random_bool(0.03).then_some((refund, percent)),
        dispute: rng.random_bool(0.004).then_some((dispute, rng.random_bool(0.4))),
    }
}

fn disturb(payment: &mut Payment, disturbance: Disturbance, roll: f64) {
    match disturbance {
        Disturbance::IssuerDown { rank, share } => {
            if payment.card.issuer.rank == rank && roll < share {
                refuse(payment, DeclineReason::IssuerUnavailable);
            }
        }
        Disturbance::SourceTimesOut { source, share } => {
            if payment.source == source && roll < share {
                refuse(payment, DeclineReason::ProviderTimeout);
                payment.answer_ms = CALL_TIMEOUT_MS;
                payment.untold = roll < share * UNTOLD_SHARE;
            }
        }
    }
}

fn refuse(payment: &mut Payment, reason: DeclineReason) {
    payment.answer = Answer::Refused(reason);
    if reason == DeclineReason::AuthenticationFailed {
        payment.three_ds = Some(Authentication::Failed);
    }
}

/// A drawn duration as whole milliseconds, capped.
pub(crate) fn duration_ms(drawn: f64, max: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; callers cap far below"
    )]
    let whole = drawn.clamp(0.0, max) as u32;
    whole
}

#[cfg(test)]
mod tests;
