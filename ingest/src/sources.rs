//! The configured sources, their keys prepared and their limits armed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use payments::providers::SecretError;
use payments::{Provider, Verifier};
use runtime::config::{SecretRefError, SourceConfig};

use crate::admission::Admission;

/// All sources by name.
#[derive(Debug)]
pub struct Sources {
    by_name: HashMap<String, Source>,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) verifier: Verifier,
    /// Its name, as a label of metrics: shared, since every request is counted under it.
    pub(crate) label: Arc<str>,
    /// References of its secrets, in the order the verifier counts them.
    pub(crate) secrets: Vec<Arc<str>>,
    pub(crate) admission: Admission,
}

/// A source that cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A secret's reference leads nowhere.
    #[error("source `{source_name}`")]
    Reference {
        /// Which source.
        source_name: String,
        /// Why.
        #[source]
        source: SecretRefError,
    },
    /// A secret is no key.
    #[error("source `{source_name}`")]
    Secret {
        /// Which source.
        source_name: String,
        /// Why.
        #[source]
        source: SecretError,
    },
}

impl Sources {
    /// Resolves secrets (relative files start at `folder`) and prepares keys.
    pub fn prepare(configs: &[SourceConfig], folder: &Path) -> Result<Self, SourceError> {
        let mut by_name = HashMap::with_capacity(configs.len());
        for config in configs {
            let secrets: Result<Vec<_>, _> =
                config.secrets.iter().map(|reference| reference.resolve(folder)).collect();
            let secrets = secrets
                .map_err(|source| SourceError::Reference { source_name: config.name.clone(), source })?;
            let verifier = Verifier::new(config.provider, &secrets)
                .map_err(|source| SourceError::Secret { source_name: config.name.clone(), source })?;
            let source = Source {
                name: config.name.clone(),
                provider: config.provider,
                verifier,
                label: config.name.as_str().into(),
                secrets: config.secrets.iter().map(|reference| reference.to_string().into()).collect(),
                admission: Admission::new(config.requests_per_second_max, config.requests_in_flight_max),
            };
            by_name.insert(config.name.clone(), source);
        }
        Ok(Self { by_name })
    }

    /// The source of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Source> {
        self.by_name.get(name)
    }
}
