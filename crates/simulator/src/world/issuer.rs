//! The banks of the world. Every name is invented.

use std::sync::Arc;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, LogNormal, Normal, weighted::WeightedIndex};

use super::decline::DeclineMix;
use super::market::{Market, market};

/// A bank that issues cards.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Position in the order of size, from 0.
    pub rank: usize,
    /// Invented name.
    pub name: &'static str,
    /// Where it is, and what its cardholders pay with.
    pub market: &'static Market,
    /// Share of all cards, 0 to 1.
    pub share: f64,
    /// Eight-digit BINs, one per network in the order of [`Network::ALL`].
    pub bins: [String; Network::ALL.len()],
    /// How much readier than others it is to decline, in log-odds.
    pub(super) strictness: f64,
    /// Its favourite reasons.
    pub(super) mix: DeclineMix,
}

/// A card network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Visa.
    Visa,
    /// Mastercard.
    Mastercard,
    /// American Express.
    Amex,
}

impl Network {
    /// All, in the order of `Issuer::bins`.
    pub const ALL: [Self; 3] = [Self::Visa, Self::Mastercard, Self::Amex];

    /// Share of cards in percent, in the order of `ALL`.
    pub(super) const SHARES: [u32; 3] = [56, 36, 8];

    /// The canonical name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Visa => 0,
            Self::Mastercard => 1,
            Self::Amex => 2,
        }
    }
}

/// The banks in the order of size.
#[derive(Clone, Debug)]
pub(super) struct Issuers {
    pub(super) all: Vec<Arc<Issuer>>,
    by_share: WeightedIndex<f64>,
}

/// How quickly shares fall with rank. At 0.75 the second to fourth banks hold 5-10% each: what an outage of one
/// bank looks like to a merchant.
const ZIPF_EXPONENT: f64 = 0.75;

const NAMES: [(&str, &str); 40] = [
    ("Quillmere Bank", "US"),
    ("Larkhollow Savings", "US"),
    ("Tamberline Bank", "US"),
    ("Marrowick National", "US"),
    ("Waterlinde Bank", "NL"),
    ("Fenwistle Credit Union", "US"),
    ("Copperquill Bank", "US"),
    ("Wrenhaugh Bank", "GB"),
    ("Duskfern Trust", "US"),
    ("Eichenfurt Bank", "DE"),
    ("Oakvane Bank", "US"),
    ("Maplequay Bank", "CA"),
    ("Thistlemoor Savings", "US"),
    ("Crédit Vallombre", "FR"),
    ("Pebblecrane Credit Union", "US"),
    ("Ambersholt Bank", "US"),
    ("Hoshinagi Ginko", "JP"),
    ("Banco Almendrosa", "ES"),
    ("Rookmeadow Trust", "US"),
    ("Kestrelby Building Society", "GB"),
    ("Saltwhistle Bank", "US"),
    ("Northfirth Trust", "CA"),
    ("Banca Pietralunga", "IT"),
    ("Windlethorpe Savings", "US"),
    ("Rosenquell Bank", "DE"),
    ("Juniperstead Bank", "US"),
    ("Polderwijk Bank", "NL"),
    ("Foxgrail Credit Union", "US"),
    ("Banque Clairmarais", "FR"),
    ("Hollowmere Trust", "US"),
    ("Zahrat Bay Bank", "KW"),
    ("Brindlecove Bank", "US"),
    ("Umikaze Bank", "JP"),
    ("Caja Riberalta", "ES"),
    ("Stonewhistle Savings", "US"),
    ("Murjanah Bank", "BH"),
    ("Cindermarsh Bank", "GB"),
    ("Larchwater Credit Union", "US"),
    ("Banca Valdorsa", "IT"),
    ("Pinequarry Bank", "CA"),
];

impl Issuers {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let weight = |rank: usize| ((rank + 1) as f64).powf(-ZIPF_EXPONENT);
        let total: f64 = (0..NAMES.len()).map(weight).sum();
        let issuer = |(rank, (name, country)): (usize, &(&'static str, &str))| {
            Arc::new(Issuer {
                rank,
                name,
                market: market(country),
                share: weight(rank) / total,
                bins: Network::ALL.map(|network| bin(rank, network)),
                strictness: normal(0.0, 0.2).sample(rng),
                mix: DeclineMix::tilted(rng),
            })
        };
        let all: Vec<Arc<Issuer>> = NAMES.iter().enumerate().map(issuer).collect();
        let by_share = weights((0..all.len()).map(weight));
        Self { all, by_share }
    }

    pub(super) fn pick(&self, rng: &mut ChaCha8Rng) -> &Arc<Issuer> {
        &self.all[self.by_share.sample(rng)]
    }
}

/// ISO/IEC 7812-1 leaves numbers that begin with 9 to national bodies; no card network issues them, so a simulated
/// BIN is nobody's.
fn bin(rank: usize, network: Network) -> String {
    format!("9{}{:02}{:04}", network.index(), rank % 100, (rank * 7_919 + 1_301) % 10_000)
}

/// A network by its share; the same in every country.
pub(super) fn pick_network(rng: &mut ChaCha8Rng) -> Network {
    let mut roll = rng.random_range(0..100_u32);
    for (network, share) in Network::ALL.into_iter().zip(Network::SHARES) {
        if roll < share {
            return network;
        }
        roll -= share;
    }
    Network::Visa
}

/// A normal distribution with constant parameters.
pub(super) fn normal(mean: f64, deviation: f64) -> Normal<f64> {
    #[expect(clippy::expect_used, reason = "the deviations are finite constants of this crate")]
    Normal::new(mean, deviation).expect("finite")
}

/// A lognormal distribution by its median.
pub(crate) fn lognormal(median: f64, sigma: f64) -> LogNormal<f64> {
    #[expect(clippy::expect_used, reason = "medians and sigmas are positive, finite constants of this crate")]
    LogNormal::new(median.ln(), sigma).expect("finite")
}

/// An index by weight.
pub(super) fn weights(of: impl IntoIterator<Item = f64>) -> WeightedIndex<f64> {
    #[expect(clippy::expect_used, reason = "every list of weights here is non-empty and positive")]
    WeightedIndex::new(of).expect("positive weights")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn an_outage_of_the_second_to_fourth_bank_touches_five_to_ten_percent() {
        let issuers = Issuers::new(&mut ChaCha8Rng::seed_from_u64(1));
        for rank in 1..=3 {
            assert!(
                (0.05..0.10).contains(&issuers.all[rank].share),
                "rank {rank}: {}",
                issuers.all[rank].share
            );
        }
        let total: f64 = issuers.all.iter().map(|issuer| issuer.share).sum();
        assert!((total - 1.0).abs() < 1e-9);
    }

    #[test]
    fn bins_belong_to_one_bank_and_to_no_network() {
        let issuers = Issuers::new(&mut ChaCha8Rng::seed_from_u64(1));
        let bins: Vec<&String> = issuers.all.iter().flat_map(|issuer| &issuer.bins).collect();
        let distinct: std::collections::HashSet<&&String> = bins.iter().collect();
        assert_eq!(distinct.len(), bins.len());
        assert!(bins.iter().all(|bin| bin.len() == 8 && bin.starts_with('9')));
    }
}
