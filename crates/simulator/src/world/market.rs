//! Countries, their currencies, and what a basket of groceries costs there.

use payments::{Currency, Money};
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution as _;

use super::issuer::lognormal;

/// A country whose cardholders shop here.
#[derive(Debug)]
pub struct Market {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// ISO 4217.
    pub currency: &'static str,
    /// Rough price of what costs one US dollar: sets the size of amounts, not an exchange rate.
    price_level: f64,
    /// Share of payments with 3-D Secure: high where the law wants strong authentication.
    pub(super) three_ds_share: f64,
}

/// Median of a grocery basket in US dollars.
const BASKET_MEDIAN_USD: f64 = 62.0;
/// Spread of baskets: the 99th percentile is about four times the median.
const BASKET_SIGMA: f64 = 0.62;

/// Includes currencies without minor unit (JPY) and with three decimals (KWD, BHD).
const MARKETS: [Market; 11] = [
    Market { country: "US", currency: "USD", price_level: 1.0, three_ds_share: 0.04 },
    Market { country: "CA", currency: "CAD", price_level: 1.36, three_ds_share: 0.06 },
    Market { country: "GB", currency: "GBP", price_level: 0.79, three_ds_share: 0.75 },
    Market { country: "DE", currency: "EUR", price_level: 0.92, three_ds_share: 0.8 },
    Market { country: "FR", currency: "EUR", price_level: 0.92, three_ds_share: 0.8 },
    Market { country: "NL", currency: "EUR", price_level: 0.92, three_ds_share: 0.8 },
    Market { country: "ES", currency: "EUR", price_level: 0.85, three_ds_share: 0.8 },
    Market { country: "IT", currency: "EUR", price_level: 0.88, three_ds_share: 0.8 },
    Market { country: "JP", currency: "JPY", price_level: 150.0, three_ds_share: 0.35 },
    Market { country: "KW", currency: "KWD", price_level: 0.31, three_ds_share: 0.5 },
    Market { country: "BH", currency: "BHD", price_level: 0.38, three_ds_share: 0.5 },
];

/// The market of `country`; the first one for a country that is not in the world.
pub(super) fn market(country: &str) -> &'static Market {
    MARKETS.iter().find(|market| market.country == country).unwrap_or(&MARKETS[0])
}

impl Market {
    /// What a basket costs.
    pub(super) fn basket(&self, rng: &mut ChaCha8Rng) -> Money {
        let usd = lognormal(BASKET_MEDIAN_USD, BASKET_SIGMA).sample(rng).clamp(4.0, 900.0);
        let currency = Currency::parse(self.currency).unwrap_or(Currency::USD);
        let units = usd * self.price_level * f64::from(10_u32.pow(currency.exponent()));
        #[expect(clippy::cast_possible_truncation, reason = "at most 900 × 150 × 1000")]
        Money::new(units.round() as i64, currency)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn baskets_are_in_the_currencys_own_minor_unit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut median = |country| {
            let mut amounts: Vec<i64> =
                (0..999).map(|_| market(country).basket(&mut rng).amount_minor).collect();
            amounts.sort_unstable();
            amounts[499]
        };
        assert!((5_000..7_500).contains(&median("US")), "cents");
        assert!((7_500..11_500).contains(&median("JP")), "yen");
        assert!((15_000..24_000).contains(&median("KW")), "thousandths of a dinar");
    }
}
