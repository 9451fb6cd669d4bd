//! Codes that no table has.

use super::{Provider, adyen, checkout, stripe};
use crate::{DeclineCategory, PaymentEvent};

impl Provider {
    /// Whether `event` is an answer with a code that is in none of our tables: the provider may have added one.
    ///
    /// A code that a table has, but without a category of ours, is known.
    pub fn has_unmapped_code(self, event: &PaymentEvent) -> bool {
        let Some(decline) = event.decline.as_ref().filter(|_| event.is_answer()) else { return false };
        let is_told = !decline.code.is_empty() || !decline.network_code.is_empty();
        let is_known = || match self {
            Self::Stripe => stripe::has_code(&decline.code),
            Self::Adyen => adyen::has_reason(&decline.code),
            Self::Checkout => checkout::has_code(&decline.code),
            // Its codes are those of some provider; what they mean is for the sender to tell.
            Self::Canonical => false,
        };
        decline.category == DeclineCategory::Unknown && is_told && !is_known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decline, Kind, Outcome, Retry, UnixMillis};

    fn is_unmapped(provider: Provider, kind: Kind, code: &str, network_code: &str) -> bool {
        let mut event = PaymentEvent::new("e", 0, kind, Outcome::Declined, UnixMillis(0));
        let (code, network_code) = (code.to_owned(), network_code.to_owned());
        let (category, retry) = (DeclineCategory::Unknown, Retry::Unknown);
        event.decline = Some(Decline { code, category, network_code, retry });
        provider.has_unmapped_code(&event)
    }

    #[test]
    fn a_code_that_a_table_has_without_a_category_is_not_unmapped() {
        for (provider, known) in [
            (Provider::Stripe, "partner_payment_not_found"),
            (Provider::Stripe, "card_declined"),
            (Provider::Adyen, "Shopper Cancelled"),
            (Provider::Checkout, "20099"),
        ] {
            assert!(!is_unmapped(provider, Kind::Authorization, known, ""), "{provider}: {known}");
            assert!(is_unmapped(provider, Kind::Authorization, "new_code", ""), "{provider}");
        }
        assert!(is_unmapped(Provider::Canonical, Kind::Authorization, "", "9999"));
    }

    #[test]
    fn only_answers_that_tell_a_code_are_counted() {
        assert!(!is_unmapped(Provider::Adyen, Kind::Refund, "new reason", ""));
        assert!(!is_unmapped(Provider::Adyen, Kind::Authorization, "", ""));
    }
}
