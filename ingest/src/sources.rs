//! The configured sources, their keys prepared and their limits armed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use payments::providers::SecretError;
use payments::{Provider, Verifier};
use runtime::config::{SecretRefError, SourceConfig};

use crate::admission::{Admission, Limits};
use crate::tally::SourceTally;

/// Memory for bodies being read and written, shared out among the sources (each has enough for
/// [`BODIES_IN_FLIGHT_MIN`] of the largest, so that very many sources have more together).
const BODY_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;

/// A source's share of it holds at least so many of the largest bodies, however many sources there are.
const BODIES_IN_FLIGHT_MIN: usize = 4;

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
    /// Which of the queue's lanes its webhooks take: its place in the configuration, so that sources share one only where
    /// there are more of them than lanes.
    pub(crate) lane: usize,
    pub(crate) verifier: Verifier,
    /// References of its secrets, in the order the verifier counts them.
    pub(crate) secrets: Vec<String>,
    pub(crate) admission: Admission,
    /// What was acknowledged of it.
    pub(crate) tally: Arc<SourceTally>,
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
    /// Resolves secrets (relative files start at `folder`) and prepares keys. Memory for bodies, of which one has
    /// up to `body_bytes_max`, is shared out evenly: a source can use up its own share only.
    pub fn prepare(
        configs: &[SourceConfig],
        folder: &Path,
        body_bytes_max: usize,
    ) -> Result<Self, SourceError> {
        let share_bytes = (BODY_BYTES_IN_FLIGHT_MAX / configs.len().max(1))
            .max(body_bytes_max.saturating_mul(BODIES_IN_FLIGHT_MIN));
        let mut by_name = HashMap::with_capacity(configs.len());
        for (lane, config) in configs.iter().enumerate() {
            let secrets: Result<Vec<_>, _> =
                config.secrets.iter().map(|reference| reference.resolve(folder)).collect();
            let secrets = secrets
                .map_err(|source| SourceError::Reference { source_name: config.name.clone(), source })?;
            let verifier = Verifier::new(config.provider, &secrets)
                .map_err(|source| SourceError::Secret { source_name: config.name.clone(), source })?;
            let source = Source {
                name: config.name.clone(),
                provider: config.provider,
                lane,
                verifier,
                secrets: config.secrets.iter().map(ToString::to_string).collect(),
                admission: Admission::new(Limits {
                    requests_per_second_max: config.requests_per_second_max,
                    requests_in_flight_max: config.requests_in_flight_max,
                    body_bytes_max: share_bytes,
                }),
                tally: Arc::new(SourceTally::new(&config.name, lane)),
            };
            by_name.insert(config.name.clone(), source);
        }
        Ok(Self { by_name })
    }

    /// What was acknowledged, of each source.
    pub(crate) fn tallies(&self) -> Vec<Arc<SourceTally>> {
        self.by_name.values().map(|source| Arc::clone(&source.tally)).collect()
    }

    pub(crate) fn into_by_name(self) -> HashMap<String, Source> {
        self.by_name
    }
}
