//! Secrets by reference: the configuration says where a secret is, never what it is.

use std::fmt;
use std::path::{Path, PathBuf};

use payments::Secret;
use serde::Deserialize;

/// `{ env = "NAME" }` or `{ file = "PATH" }`; a relative path starts at the configuration file's folder.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Environment variable that holds it.
    #[serde(default)]
    pub env: Option<String>,
    /// File that holds it; one trailing newline is dropped.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// A reference that leads to no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretRefError {
    /// Both or neither given.
    #[error("a secret is either {{ env = \"NAME\" }} or {{ file = \"PATH\" }}")]
    NotOne,
    /// The variable is not set.
    #[error("environment variable {name} is not set")]
    EnvNotSet {
        /// Which.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read secret file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("{reference} is empty")]
    Empty {
        /// Which.
        reference: String,
    },
}

impl SecretRef {
    /// Reads the secret. `folder` is the configuration file's.
    pub fn resolve(&self, folder: &Path) -> Result<Secret, SecretRefError> {
        let text = match (&self.env, &self.file) {
            (Some(name), None) => {
                std::env::var(name).map_err(|_| SecretRefError::EnvNotSet { name: name.clone() })?
            }
            (None, Some(file)) => {
                let path = folder.join(file);
                std::fs::read_to_string(&path).map_err(|source| SecretRefError::File { path, source })?
            }
            _ => return Err(SecretRefError::NotOne),
        };
        let secret = Secret::new(text);
        if secret.expose().is_empty() {
            return Err(SecretRefError::Empty { reference: self.to_string() });
        }
        Ok(secret)
    }
}

impl fmt::Display for SecretRef {
    /// `env:NAME` or `file:PATH`: fit for logs, metrics and tables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.env, &self.file) {
            (Some(name), _) => write!(f, "env:{name}"),
            (None, Some(file)) => write!(f, "file:{}", file.display()),
            (None, None) => f.write_str("no reference"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}
