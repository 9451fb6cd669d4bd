//! Reading: file, then environment, then checks. Every error says where and how to mend it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use toml::{Table, Value};

use super::{Config, Problem};

/// Prefix of overriding environment variables.
const ENV_PREFIX: &str = "TILLWATCH_";

/// Environment variables that are ours but are not configuration.
const ENV_OTHER: &[&str] = &["TILLWATCH_CONFIG", "TILLWATCH_DATA_DIR", "TILLWATCH_ENGINE_LIBRARY"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{path}:{line}: {message}{within}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// ` in [ingest]`, or nothing at the top.
        within: String,
    },
    /// A variable that is no key, or whose value does not fit.
    #[error("environment variable {name}: {message}")]
    Env {
        /// Which.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Read, but not usable.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads `file`, applies `env`, and checks everything that can be checked without touching the outside.
    pub fn load(
        file: &Path,
        data_dir: &Path,
        env: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        let mut config = Self::parse(&text, file)?;
        config = apply_env(config, &text, env)?;
        file.clone_into(&mut config.file);
        data_dir.clone_into(&mut config.data_dir);
        let problems = super::check::check(&config, &text);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Parses TOML text; `file` is only named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            ConfigError::Parse {
                path: file.to_owned(),
                line: line_at(text, start),
                message: error.message().trim().replace('\n', ", "),
                within: table_at(text, start),
            }
        })
    }
}

/// Applies each variable alone, so that an error can name the one that caused it.
fn apply_env(
    mut config: Config,
    text: &str,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let mut overrides: Vec<(String, String)> = env
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX) && !ENV_OTHER.contains(&name.as_str()))
        .collect();
    overrides.sort();
    let mut table: Table = toml::from_str(text).unwrap_or_default();
    for (name, value) in overrides {
        let fail = |message: String| ConfigError::Env { name: name.clone(), message };
        let path: Vec<String> = name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
        set(&mut table, &path, parse_value(&value)).map_err(fail)?;
        config = Config::deserialize_table(&table).map_err(fail)?;
    }
    Ok(config)
}

impl Config {
    fn deserialize_table(table: &Table) -> Result<Self, String> {
        serde::Deserialize::deserialize(table.clone())
            .map_err(|error: toml::de::Error| error.message().replace('\n', ", "))
    }
}

/// A number, boolean, array or table as TOML writes it; anything else is a text.
fn parse_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Err("names no key".to_owned()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [key, rest @ ..] => {
            let entry = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            match entry {
                Value::Table(inner) => set(inner, rest, value),
                _ => Err(format!("`{key}` is not a table; set it in the file")),
            }
        }
    }
}

/// The line of byte `offset`, counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// ` in [table]` for the table header that stands above `offset`.
fn table_at(text: &str, offset: usize) -> String {
    let above = text.get(..offset).unwrap_or(text);
    let header = above.lines().rev().map(str::trim).find(|line| line.starts_with('['));
    header.map_or_else(String::new, |line| {
        let end = line.rfind(']').map_or(line.len(), |index| index + 1);
        format!(" (in {})", &line[..end])
    })
}

/// The line on which `key` of `[table]` (or of the `index`-th `[[table]]`) stands; of the table if the key is absent.
pub(super) fn line_of(text: &str, table: &str, index: usize, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let value = root.get_ref().get(table)?;
    let inner = match value.get_ref() {
        toml::de::DeValue::Array(items) => items.get(index)?,
        _ => value,
    };
    let span = inner
        .get_ref()
        .as_table()
        .and_then(|fields| fields.iter().find(|(name, _)| name.get_ref() == key))
        .map_or_else(|| inner.span(), |(name, _)| name.span());
    Some(line_at(text, span.start))
}
