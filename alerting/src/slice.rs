//! Dimensions by which payments are cut, and one slice of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::page::{SliceValue, outside};

/// A column by which rules may filter and group.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Dimension {
    /// Configured source.
    Source,
    /// Provider.
    Provider,
    /// Merchant account at the provider.
    Account,
    /// Currency of the attempt.
    Currency,
    /// Payment method.
    Method,
    /// Wallet.
    Wallet,
    /// Card network.
    Network,
    /// Credit, debit, prepaid.
    Funding,
    /// First digits of the card.
    Bin,
    /// Issuing bank.
    Issuer,
    /// Its country.
    IssuerCountry,
    /// What 3-D Secure came to.
    ThreeDs,
    /// The merchant's experiment.
    Experiment,
    /// Its variant.
    Variant,
}

impl Dimension {
    /// The column's name, as it stands in tables and rules.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// All names, for error messages.
    pub fn names() -> String {
        Self::VARIANTS.iter().map(|dimension| dimension.name()).collect::<Vec<_>>().join(", ")
    }

    /// For people.
    fn words(self) -> String {
        self.name().replace('_', " ")
    }
}

/// One combination of values; empty is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slice(BTreeMap<Dimension, String>);

impl Slice {
    /// Pairs `dimensions` with the values of one row.
    pub fn new(dimensions: &[Dimension], values: Vec<String>) -> Self {
        Self(dimensions.iter().copied().zip(values).collect())
    }

    /// Its identity, as JSON with sorted keys: `{"issuer":"Harbour Bank"}`.
    pub fn key(&self) -> String {
        // Invariant: a map from names to texts: writing it cannot fail.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Its values, in the order of `dimensions`.
    pub fn values_of(&self, dimensions: &[Dimension]) -> Vec<String> {
        dimensions.iter().map(|dimension| self.0.get(dimension).cloned().unwrap_or_default()).collect()
    }

    /// Each dimension with its value.
    pub fn values(&self) -> impl Iterator<Item = (Dimension, &str)> {
        self.0.iter().map(|(dimension, value)| (*dimension, value.as_str()))
    }

    /// `issuer Harbour Bank, network visa`, from cleaned values.
    pub fn words(&self) -> String {
        let parts =
            self.values().map(|(dimension, value)| format!("{} {}", dimension.words(), outside(value)));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// `adyen-eu`: the values alone, where the sentence around them says what they are.
    pub fn bare_words(&self) -> String {
        self.values().map(|(_, value)| outside(value)).collect::<Vec<_>>().join(", ")
    }

    /// For a page: cleaned values.
    pub fn for_page(&self) -> Vec<SliceValue> {
        self.values()
            .map(|(dimension, value)| SliceValue {
                dimension: dimension.name().to_owned(),
                value: outside(value),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_is_a_column() {
        for dimension in Dimension::VARIANTS {
            assert!(store::DIMENSIONS.contains(&dimension.name()), "{dimension:?}");
        }
    }

    #[test]
    fn a_slice_has_one_identity_and_reads_as_words() {
        let slice =
            Slice::new(&[Dimension::Network, Dimension::Issuer], vec!["visa".into(), "Harbour Bank".into()]);
        assert_eq!(slice.key(), r#"{"network":"visa","issuer":"Harbour Bank"}"#);
        assert_eq!(slice.words(), "network visa, issuer Harbour Bank");
        assert_eq!(Slice::default().key(), "{}");
        let back: Slice = serde_json::from_str(&serde_json::to_string(&slice).unwrap()).unwrap();
        assert_eq!(back, slice);
    }
}
