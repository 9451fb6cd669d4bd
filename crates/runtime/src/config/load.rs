//! Reading: file, then environment, then checks. Every error says where and how to mend it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use toml::{Table, Value};

use super::{Config, Problem};

/// Prefix of overriding environment variables: `TILLWATCH_INGEST__LISTEN`. Every key stands in a section, so one without
/// a [`SEPARATOR`] overrides nothing: it is somebody else's (`TILLWATCH_SERVICE_HOST` of a Kubernetes service of that
/// name, a secret), or one of the command line's own.
const ENV_PREFIX: &str = "TILLWATCH_";

/// Between section and key.
const SEPARATOR: &str = "__";

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
        /// ` (in [ingest])`, or nothing at the top.
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
        let (config, problems) = Self::read(file, data_dir, env)?;
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The same, for `check`: what can be read is returned with its problems, so that more of them can be found.
    pub fn read(
        file: &Path,
        data_dir: &Path,
        env: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Vec<Problem>), ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        let config = Self::parse(&text, file)?;
        let (mut config, variables) = apply_env(config, &text, env)?;
        file.clone_into(&mut config.file);
        data_dir.clone_into(&mut config.data_dir);
        let problems = super::check::check(&config, &text, &variables);
        Ok((config, problems))
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

/// Applies each variable alone, so that an error can name the one that caused it; returns which variable set which key.
fn apply_env(
    mut config: Config,
    text: &str,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Config, BTreeMap<String, String>), ConfigError> {
    let overrides: BTreeMap<String, OsString> = env
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.strip_prefix(ENV_PREFIX).is_some_and(|key| key.contains(SEPARATOR)))
        .collect();
    let mut table: Table = toml::from_str(text).unwrap_or_default();
    let mut variables = BTreeMap::new();
    for (name, value) in overrides {
        let fail = |message: String| ConfigError::Env { name: name.clone(), message };
        let value = value.to_str().ok_or_else(|| fail("its value is not UTF-8".to_owned()))?;
        let path: Vec<String> =
            name[ENV_PREFIX.len()..].split(SEPARATOR).map(str::to_ascii_lowercase).collect();
        set(&mut table, &path, parse_value(value)).map_err(fail)?;
        config = Config::deserialize_table(&table).map_err(fail)?;
        variables.insert(path.join("."), name);
    }
    Ok((config, variables))
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

/// ` (in [table])` for the table header that stands above `offset`.
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
