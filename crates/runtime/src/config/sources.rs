//! `[[sources]]`: where webhooks come from.

use payments::{Provider, SourceSettings};
use serde::Deserialize;

use super::SecretRef;

/// One endpoint: `POST /webhooks/{name}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Path segment and label: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Who sends.
    #[serde(deserialize_with = "provider")]
    pub provider: Provider,
    /// Any of them may sign; which one did is counted, so an old secret can be dropped when its count stands still.
    #[serde(deserialize_with = "super::secret_ref::list")]
    pub secrets: Vec<SecretRef>,
    /// Merchant account for events that do not name one.
    #[serde(default)]
    pub account: String,
    /// Live or test, where the provider does not say.
    #[serde(default)]
    pub live: Option<bool>,
    /// Metadata key whose value is stored as `experiment`.
    #[serde(default)]
    pub experiment_key: Option<String>,
    /// Metadata key whose value is stored as `variant`.
    #[serde(default)]
    pub variant_key: Option<String>,
    /// Requests a second above which this source is answered 429; 0 is no limit.
    #[serde(default = "default_rate")]
    pub requests_per_second_max: u32,
    /// Requests of this source worked on at once; more are answered 503, and other sources do not notice.
    #[serde(default = "default_in_flight")]
    pub requests_in_flight_max: u32,
}

fn default_rate() -> u32 {
    20_000
}

fn default_in_flight() -> u32 {
    1_024
}

impl SourceConfig {
    /// What normalizing its webhooks needs to know.
    pub fn settings(&self) -> SourceSettings {
        SourceSettings {
            account: self.account.clone(),
            live: self.live,
            experiment_key: self.experiment_key.clone(),
            variant_key: self.variant_key.clone(),
        }
    }
}

fn provider<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Provider, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(|_| {
        let known: Vec<&str> = <Provider as strum::VariantArray>::VARIANTS.iter().map(|p| p.name()).collect();
        serde::de::Error::custom(format!("unknown provider `{name}`, expected one of {}", known.join(", ")))
    })
}
