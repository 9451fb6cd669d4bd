//! What paid: card, wallet, issuer, and the checks made on it.

use super::wire::{Checks, Instrument, LegacySource, MethodDetails};
use crate::event::{network, snake, wallet};
use crate::providers::card;
use crate::providers::loose::first;
use crate::{PaymentEvent, ThreeDs};

/// Fills method, card and checks from `payment_method_details` or a payment error's payment method.
pub(super) fn fill(fact: &mut PaymentEvent, details: &MethodDetails<'_>) {
    fact.method = snake(&details.kind);
    let cards = [&details.card, &details.card_present, &details.interac_present];
    let accounts = [&details.us_bank_account, &details.sepa_debit];
    let Some(instrument) = cards.into_iter().chain(accounts).find_map(Option::as_ref) else { return };
    let networks = [&instrument.network, &instrument.brand].map(|name| network(name));
    first(&networks.each_ref().map(String::as_str)).clone_into(&mut fact.network);
    card::funding(&instrument.funding).clone_into(&mut fact.funding);
    card::last4(&instrument.last4).clone_into(&mut fact.last4);
    card::bin(&instrument.iin).clone_into(&mut fact.bin);
    fact.issuer = card::label(first(&[&instrument.issuer, &instrument.bank_name]));
    fact.issuer_country = card::country(&instrument.country);
    if let Some(wallet_used) = &instrument.wallet {
        fact.wallet = wallet(&wallet_used.kind);
    }
    if let Some(checks) = &instrument.checks {
        fact.avs = card::label(avs(checks));
        fact.cvc = card::label(&checks.cvc_check);
    }
    fact.three_ds = three_ds(instrument);
}

/// Fills the card of a charge made before `payment_method_details` existed.
pub(super) fn fill_legacy(fact: &mut PaymentEvent, source: &LegacySource<'_>) {
    if source.object.as_str() != "card" {
        return;
    }
    "card".clone_into(&mut fact.method);
    fact.network = network(&source.brand);
    card::funding(&source.funding).clone_into(&mut fact.funding);
    card::last4(&source.last4).clone_into(&mut fact.last4);
    fact.issuer_country = card::country(&source.country);
}

/// One word for two checks (street line, postal code): a failure of either is `fail`; else one that passed is
/// `pass`; else what there is.
fn avs<'c>(checks: &'c Checks<'_>) -> &'c str {
    let both = [checks.address_postal_code_check.as_str(), checks.address_line1_check.as_str()];
    let strongest = ["fail", "pass", "unavailable", "unchecked"].into_iter().find(|word| both.contains(word));
    strongest.unwrap_or(if both[0].is_empty() { both[1] } else { both[0] })
}

fn three_ds(instrument: &Instrument<'_>) -> ThreeDs {
    match instrument.three_d_secure.as_ref().map_or("", |three_d_secure| three_d_secure.result.as_str()) {
        "authenticated" => ThreeDs::Authenticated,
        "attempt_acknowledged" => ThreeDs::Attempted,
        "exempted" => ThreeDs::Exempted,
        "failed" => ThreeDs::Failed,
        "not_supported" => ThreeDs::NotSupported,
        "processing_error" => ThreeDs::Error,
        "data_share_only" => ThreeDs::DataOnly,
        _ => ThreeDs::NotTold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_address_checks_become_one_word() {
        let avs_of = |line1: &str, postal: &str| {
            let json =
                format!(r#"{{"address_line1_check": {line1}, "address_postal_code_check": {postal}}}"#);
            avs(&serde_json::from_str(&json).unwrap()).to_owned()
        };
        assert_eq!(avs_of(r#""pass""#, r#""fail""#), "fail");
        assert_eq!(avs_of(r#""pass""#, r#""unavailable""#), "pass");
        assert_eq!(avs_of("null", r#""unchecked""#), "unchecked");
        assert_eq!(avs_of("null", "null"), "");
        assert_eq!(avs_of(r#""new_word""#, "null"), "new_word");
    }
}
