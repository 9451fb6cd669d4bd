//! Keys that every rule has, and what several types share.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::page::Severity;
use crate::slice::Dimension;

/// Names of the keys of [`Common`], which are taken out before a type reads its own.
pub(super) const COMMON: [&str; 7] =
    ["type", "severity", "owner", "channels", "runbook", "for_s", "recover_for_s"];

/// Keys that every rule has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    pub(super) severity: Severity,
    pub(super) owner: String,
    #[serde(default)]
    pub(super) channels: Vec<String>,
    pub(super) runbook: String,
    #[serde(default)]
    pub(super) for_s: u64,
    #[serde(default = "recover_for_s")]
    pub(super) recover_for_s: u64,
}

fn recover_for_s() -> u64 {
    120
}

/// Which rows a rule looks at, and by which dimensions it cuts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scope {
    /// Each dimension must have one of these values.
    pub(super) only: BTreeMap<Dimension, Vec<String>>,
    /// And none of these.
    pub(super) not: BTreeMap<Dimension, Vec<String>>,
    /// One slice per combination of these.
    pub(super) by: Vec<Dimension>,
    /// Whether an empty value of a `by` dimension is a slice.
    pub(super) include_empty: bool,
}

/// Something wrong with a value: which key, what, and how to mend it.
pub(super) type Wrong = (&'static str, String);

/// Names of dimensions in a `by` list, or what is wrong with them.
pub(super) fn dimensions(key: &'static str, names: &[String], wrong: &mut Vec<Wrong>) -> Vec<Dimension> {
    let mut known = Vec::new();
    for name in names {
        match name.parse() {
            Ok(dimension) if known.contains(&dimension) => {
                wrong.push((key, format!("`{name}` stands here twice")));
            }
            Ok(dimension) => known.push(dimension),
            Err(_) => wrong.push((key, unknown_dimension(name))),
        }
    }
    known
}

/// A filter's dimensions and values, or what is wrong with them.
pub(super) fn filter(
    key: &'static str,
    values: BTreeMap<String, Vec<String>>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<Dimension, Vec<String>> {
    let mut known = BTreeMap::new();
    for (name, values) in values {
        if values.is_empty() {
            wrong.push((key, format!("`{name}` has no values; list at least one, or remove it")));
        }
        match name.parse() {
            Ok(dimension) => {
                known.insert(dimension, values);
            }
            Err(_) => wrong.push((key, unknown_dimension(&name))),
        }
    }
    known
}

fn unknown_dimension(name: &str) -> String {
    format!("unknown dimension `{name}`, expected one of {}", Dimension::names())
}
