//! Reading `rules/*.toml`. Every problem says which file, which line, which key, and how to mend it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use sha2::{Digest as _, Sha256};
use strum::VariantArray as _;
use toml::Spanned;
use toml::de::DeTable;

use super::keys::{COMMON, Common, Wrong};
use super::{Rule, Rules, Type};

/// Rule files larger than this are not rules.
const FILE_BYTES_MAX: usize = 64 << 10;
/// Rule of ours that no file may be named after.
const RESERVED: &str = crate::engine::DEGRADED;

/// One thing that is wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// Which file.
    pub file: PathBuf,
    /// Which line, counted from 1.
    pub line: usize,
    /// Which key; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path} (alerting.rules)")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Read, but not usable; every problem of every file.
    #[error("{}", list(.0))]
    Invalid(Vec<RuleProblem>),
}

fn list(problems: &[RuleProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads every `*.toml` in `folder`. `channels` are the configured ones: a rule without a list uses them all.
pub fn load(folder: &Path, channels: &[String]) -> Result<Rules, LoadError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read(folder))? {
        let path = entry.map_err(read(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let (mut rules, mut problems) = (Rules::new(), Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(read(&file))?;
        match parse(&file, &text, channels) {
            Ok(rule) => {
                rules.insert(rule.id.clone(), rule);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(LoadError::Invalid(problems)) }
}

/// Reads one rule. `file` gives it its id and is named in problems.
pub fn parse(file: &Path, text: &str, channels: &[String]) -> Result<Rule, Vec<RuleProblem>> {
    let source = Source { file, text };
    let id = source.id().map_err(|problem| vec![problem])?;
    let table = DeTable::parse(text).map_err(|error| vec![source.of_toml(&error)])?;
    let kind = kind(&source, &table).map_err(|problem| vec![problem])?;
    let (common, own) = split(table);
    let lines = Lines::of(text);
    let common = Common::deserialize(toml::de::Deserializer::from(common))
        .map_err(|error| vec![source.of_toml(&error)])?;
    let own = toml::de::Deserializer::from(own);
    let mut wrong: Vec<Wrong> = Vec::new();
    let question = kind.read(own, &mut wrong).map_err(|error| vec![source.of_toml(&error)])?;
    check(&common, channels, &mut wrong);
    if !wrong.is_empty() {
        return Err(wrong
            .into_iter()
            .map(|(key, message)| source.problem(lines.of_key(key), key, message))
            .collect());
    }
    Ok(Rule {
        id,
        hash: hash(text),
        severity: common.severity,
        owner: common.owner,
        channels: if common.channels.is_empty() { channels.to_vec() } else { common.channels },
        runbook: common.runbook,
        for_s: common.for_s,
        recover_for_s: common.recover_for_s,
        question,
    })
}

/// Over the parsed text in a canonical form: editing a comment, or the order of keys, changes nothing.
fn hash(text: &str) -> String {
    // Invariant: the text was parsed before, and a table of names can be written as JSON.
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    hex::encode(Sha256::digest(serde_json::to_vec(&table).unwrap_or_default()))
}

fn check(common: &Common, channels: &[String], wrong: &mut Vec<Wrong>) {
    for channel in common.channels.iter().filter(|channel| !channels.contains(channel)) {
        let known = if channels.is_empty() { "none is configured".to_owned() } else { channels.join(", ") };
        wrong.push(("channels", format!("unknown channel `{channel}`; [[channels]] has: {known}")));
    }
    if common.runbook.trim().is_empty() {
        wrong
            .push(("runbook", "a page without a runbook helps nobody; give an address or a path".to_owned()));
    }
    if common.owner.trim().is_empty() {
        wrong.push(("owner", "say who answers for this rule".to_owned()));
    }
    for (key, value) in [("for_s", common.for_s), ("recover_for_s", common.recover_for_s)] {
        if value > 86_400 {
            wrong.push((key, format!("{value} is more than a day (86400)")));
        }
    }
}

/// The rule's type, or that it is missing or unknown.
fn kind(source: &Source<'_>, table: &Spanned<DeTable<'_>>) -> Result<Type, RuleProblem> {
    let names: Vec<&str> = Type::VARIANTS.iter().map(std::convert::Into::into).collect();
    let expected = names.join(", ");
    let Some((_, value)) = table.get_ref().iter().find(|(key, _)| key.get_ref() == "type") else {
        return Err(source.problem(1, "type", format!("missing; expected one of {expected}")));
    };
    let line = line_at(source.text, value.span().start);
    let Some(name) = value.get_ref().as_str() else {
        return Err(source.problem(line, "type", format!("expected one of {expected}, in quotes")));
    };
    name.parse().map_err(|_| {
        source.problem(line, "type", format!("unknown type `{name}`, expected one of {expected}"))
    })
}

/// The keys that every rule has, and those of its type; both keep their place in the file. The type itself is known.
fn split(table: Spanned<DeTable<'_>>) -> (Spanned<DeTable<'_>>, Spanned<DeTable<'_>>) {
    let span = table.span();
    let (mut common, mut own) = (DeTable::new(), DeTable::new());
    for (key, value) in table.into_inner() {
        if key.get_ref() == "type" {
            continue;
        }
        let part = if COMMON.contains(&key.get_ref().as_ref()) { &mut common } else { &mut own };
        part.insert(key, value);
    }
    (Spanned::new(span.clone(), common), Spanned::new(span, own))
}

struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn problem(&self, line: usize, key: &str, message: String) -> RuleProblem {
        RuleProblem { file: self.file.to_owned(), line, key: key.to_owned(), message }
    }

    fn id(&self) -> Result<String, RuleProblem> {
        let id = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let message = if self.text.len() > FILE_BYTES_MAX {
            format!("{} bytes are more than a rule has ({FILE_BYTES_MAX})", self.text.len())
        } else if !(1..=64).contains(&id.len()) || !id.bytes().all(allowed) {
            "the file's name is the rule's id: 1 to 64 lower-case letters, digits, `-` or `_`".to_owned()
        } else if id == RESERVED {
            format!("`{RESERVED}` is a rule of Tillwatch's own; rename the file")
        } else {
            return Ok(id.to_owned());
        };
        Err(self.problem(1, "", message))
    }

    fn of_toml(&self, error: &toml::de::Error) -> RuleProblem {
        let line = line_at(self.text, error.span().map_or(0, |span| span.start));
        let message = error.message().trim().replace('\n', ", ");
        let hint = if message.starts_with("unknown field") {
            format!("; every rule also has {}", COMMON.join(", "))
        } else {
            String::new()
        };
        self.problem(line, "", format!("{message}{hint}"))
    }
}

/// Where each top-level key stands.
struct Lines(BTreeMap<String, usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let Ok(table) = DeTable::parse(text) else { return Self(BTreeMap::new()) };
        let line = |key: &Spanned<_>| line_at(text, key.span().start);
        Self(table.get_ref().keys().map(|key| (key.get_ref().to_string(), line(key))).collect())
    }

    fn of_key(&self, key: &str) -> usize {
        self.0.get(key).copied().unwrap_or(1)
    }
}

/// The line of byte `offset`, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}
