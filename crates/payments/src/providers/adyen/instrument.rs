//! What paid: Adyen names brand, product and wallet in one word (`mc`, `visa_applepay`, `mcstandarddebit`, `ideal`).

use super::super::loose::first;
use crate::event;

/// Method, wallet and network.
pub(super) struct Instrument {
    pub(super) method: String,
    pub(super) wallet: String,
    pub(super) network: String,
}

/// Beginnings of brand names, and the network each stands for.
const BRANDS: &[(&str, &str)] = &[
    ("visa", "visa"),
    ("electron", "visa"),
    ("vpay", "visa"),
    ("mc", "mastercard"),
    ("maestro", "maestro"),
    ("amex", "amex"),
    ("discover", "discover"),
    ("diners", "diners"),
    ("jcb", "jcb"),
    ("cup", "unionpay"),
    ("bcmc", "bcmc"),
    ("cartebancaire", "cartes_bancaires"),
    ("elo", "elo"),
    ("hiper", "hipercard"),
    ("interac", "interac"),
    ("eftpos", "eftpos_au"),
    ("dankort", "dankort"),
    ("troy", "troy"),
    ("rupay", "rupay"),
];

/// Parts of names that stand for a wallet with a card in it.
const WALLETS: &[(&str, &str)] = &[
    ("applepay", "apple_pay"),
    ("googlepay", "google_pay"),
    ("paywithgoogle", "google_pay"),
    ("samsungpay", "samsung_pay"),
    ("amazonpay", "amazon_pay"),
];

/// Reads `names`, best first; any of them may be empty.
pub(super) fn instrument(names: &[&str]) -> Instrument {
    let wallet = find(names, WALLETS, |name, part| name.contains(part));
    let network = find(names, BRANDS, |name, start| name.starts_with(start));
    let is_card = !wallet.is_empty() || !network.is_empty() || names.contains(&"scheme");
    let method = if is_card { "card".to_owned() } else { event::snake(first(names)) };
    Instrument { method, wallet: wallet.to_owned(), network: network.to_owned() }
}

fn find(
    names: &[&str],
    table: &[(&'static str, &'static str)],
    is_match: impl Fn(&str, &str) -> bool,
) -> &'static str {
    let row_of = |name: &str| table.iter().find(|row| is_match(name, row.0));
    let mut found = names.iter().filter_map(|name| row_of(&name.to_ascii_lowercase()));
    found.next().map_or("", |row| row.1)
}
