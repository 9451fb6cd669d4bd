//! `[alerting]` and `[[channels]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::SecretRef;

/// Rules and pages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingConfig {
    /// Folder of rule files (`*.toml`), relative to the configuration file.
    pub rules: PathBuf,
    /// Rules are evaluated this often.
    pub evaluation_interval_ms: u64,
    /// One rule's query may take this long; then its state is frozen, not resolved.
    pub query_timeout_ms: u64,
    /// Address of the board as people reach it, for links in pages: `https://tillwatch.example`.
    pub public_url: String,
    /// Currency in which money is reported.
    pub reporting_currency: String,
    /// Value of one unit of another currency in the reporting currency: `EUR = 1.08`.
    pub exchange_rates: BTreeMap<String, f64>,
    /// Whether everything acknowledged is stored is asked this often.
    pub completeness_interval_ms: u64,
    /// Data older than this is stale: alerts freeze and the board says so.
    pub stale_after_ms: u64,
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            rules: PathBuf::from("rules/"),
            evaluation_interval_ms: 15_000,
            query_timeout_ms: 10_000,
            public_url: "http://127.0.0.1:9090".to_owned(),
            reporting_currency: "USD".to_owned(),
            exchange_rates: BTreeMap::new(),
            completeness_interval_ms: 60_000,
            stale_after_ms: 60_000,
        }
    }
}

/// One destination of pages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Name used by rules.
    pub name: String,
    /// What it is.
    pub kind: ChannelKind,
    /// Address of a `webhook`, `slack` channel; a secret, since it often carries one.
    #[serde(default)]
    pub url: Option<SecretRef>,
    /// Signing secrets of a `webhook` channel (`whsec_…`); two while one replaces the other.
    #[serde(default, deserialize_with = "super::secret_ref::list")]
    pub secrets: Vec<SecretRef>,
    /// Whether the address may be a private or loopback one.
    #[serde(default)]
    pub private_address_allowed: bool,
}

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Pages are written to the log.
    Log,
    /// Pages are posted as JSON, signed by the Standard Webhooks scheme.
    Webhook,
    /// Pages are posted to a Slack incoming webhook.
    Slack,
}
