//! What Compose makes of its files.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::reading::{ROOT, text, validator};

pub(crate) const COMPOSE: &[&str] = &["docker-compose.yml"];
pub(crate) const CLUSTER: &[&str] = &["docker-compose.yml", "deploy/compose.cluster.yml"];

/// The variables of deploy/.env.example that must be filled in, each with a value that tells it from the others.
pub(crate) fn filled_in() -> BTreeMap<String, String> {
    let example = text("deploy/.env.example");
    let names = example.lines().filter_map(|line| line.strip_suffix('='));
    let filled: BTreeMap<_, _> = names.map(|name| (name.to_owned(), format!("value0of0{name}"))).collect();
    assert!(filled.len() > 4, "{filled:?}");
    filled
}

/// What Compose makes of the files, every profile included.
pub(crate) fn read(files: &[&str], env: &BTreeMap<String, String>) -> Result<Value, String> {
    let mut command = validator("docker-compose");
    // Nothing from outside: neither variables nor an `.env` that lies there.
    command.env_clear().envs(env).args([
        "--project-directory",
        ROOT,
        "--env-file",
        "/dev/null",
        "--profile",
        "*",
    ]);
    command.args(files.iter().flat_map(|file| ["--file", file])).args(["config", "--format", "json"]);
    let Output { status, stdout, stderr } = command.output().unwrap();
    if status.success() {
        Ok(serde_json::from_slice(&stdout).unwrap())
    } else {
        Err(String::from_utf8(stderr).unwrap())
    }
}

pub(crate) fn services(files: &[&str]) -> BTreeMap<String, Value> {
    let read = read(files, &filled_in()).unwrap();
    serde_json::from_value(read["services"].clone()).unwrap()
}

/// Name and value of what a service's processes see.
pub(crate) fn environment_of(service: &Value) -> BTreeMap<String, String> {
    let variables = service["environment"].as_object().into_iter().flatten();
    variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

pub(crate) fn is_one_shot(service: &Value) -> bool {
    service["restart"] == "no"
}

/// `35s`, `1m0s`.
pub(crate) fn seconds(duration: &str) -> u64 {
    let (minutes, rest) = duration.split_once('m').unwrap_or(("0", duration));
    60 * minutes.parse::<u64>().unwrap() + rest.trim_end_matches('s').parse::<u64>().unwrap()
}
