//! Secrets by reference: the configuration says where a secret is, never what it is.

use std::fmt;
use std::path::{Path, PathBuf};

use payments::Secret;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// `{ env = "NAME" }` or `{ file = "PATH" }`; a relative path starts at the configuration file's folder.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// Environment variable that holds it.
    pub env: Option<String>,
    /// File that holds it; one trailing newline is dropped.
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

/// What is said to one who wrote the secret itself. serde's own words would repeat it.
const WRITTEN_HERE: &str =
    "a secret is never written here; use { env = \"NAME\" } or { file = \"PATH\" }, which say where it is";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

/// A list of references, for `deserialize_with`: one secret written in its place is not repeated either.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretRef>, D::Error> {
    deserializer.deserialize_any(ListVisitor)
}

/// Refuses every single value without repeating it.
macro_rules! refuse {
    ($($visit:ident: $value:ty),*) => {
        $(fn $visit<E: Error>(self, _value: $value) -> Result<Self::Value, E> {
            Err(E::custom(WRITTEN_HERE))
        })*
    };
}

macro_rules! refuse_values {
    () => {
        refuse!(
            visit_str: &str, visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128,
            visit_f64: f64
        );
    };
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"PATH\" }")
    }

    refuse_values!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let mut reference = SecretRef { env: None, file: None };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "env" => reference.env = Some(map.next_value()?),
                "file" => reference.file = Some(map.next_value()?),
                _ => return Err(Error::unknown_field(&key, &["env", "file"])),
            }
        }
        Ok(reference)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<SecretRef>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of { env = \"NAME\" } or { file = \"PATH\" }")
    }

    refuse_values!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut references = Vec::new();
        while let Some(reference) = items.next_element()? {
            references.push(reference);
        }
        Ok(references)
    }
}
