//! What a parsed configuration may still have wrong: names, ranges, references between sections. Every problem is
//! found, not only the first.

mod addresses;
mod limits;
mod secrets;
mod store;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use payments::Currency;

use super::load::line_of;
use super::{ChannelKind, Config, QueueKind};

/// One thing that is wrong, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// Which line, where the key stands in the file.
    pub line: Option<usize>,
    /// The environment variable that set the key, if one did.
    pub variable: Option<String>,
    /// `sources.stripe-us.secrets`.
    pub key: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.variable, self.line) {
            (Some(variable), _) => write!(f, "environment variable {variable}: ")?,
            (None, Some(line)) => write!(f, "{}:{line}: ", self.file.display())?,
            (None, None) => write!(f, "{}: ", self.file.display())?,
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

struct Checker<'a> {
    config: &'a Config,
    text: &'a str,
    problems: Vec<Problem>,
}

/// Everything that can be checked without touching the outside. `variables` tells which environment variable set a key.
pub(super) fn check(config: &Config, text: &str, variables: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut checker = Checker { config, text, problems: Vec::new() };
    checker.sources();
    checker.limits();
    checker.times();
    checker.sizes();
    checker.ports();
    checker.addresses();
    checker.queue();
    checker.store();
    checker.alerting();
    checker.channels();
    checker.telemetry();
    for problem in &mut checker.problems {
        problem.variable = variables.get(&problem.key).cloned();
    }
    checker.problems
}

impl Config {
    /// Resolves every secret and prepares every source's keys, as starting would; for `check`, before a deploy.
    pub fn check_secrets(&self, text: &str) -> Vec<Problem> {
        let mut checker = Checker { config: self, text, problems: Vec::new() };
        checker.secrets();
        checker.problems
    }
}

impl Checker<'_> {
    /// Something is wrong with `key` of the `index`-th `[[table]]`, which is called `name`.
    fn problem_of(&mut self, table: &str, index: usize, key: &str, name: &str, message: impl Into<String>) {
        self.add(table, index, key, format!("{table}.{name}.{key}"), message.into());
    }

    /// Something is wrong with `key` of `[table]`.
    fn problem(&mut self, table: &str, key: &str, message: impl Into<String>) {
        self.add(table, 0, key, format!("{table}.{key}"), message.into());
    }

    fn add(&mut self, table: &str, index: usize, key: &str, name: String, message: String) {
        self.problems.push(Problem {
            file: self.config.file.clone(),
            line: line_of(self.text, table, index, key),
            variable: None,
            key: name,
            message,
        });
    }

    fn sources(&mut self) {
        let config = self.config;
        let mut names = HashSet::new();
        for (index, source) in config.sources.iter().enumerate() {
            let name = source.name.as_str();
            if !is_name(name) {
                let message = "a source's name is 1 to 64 lower-case letters, digits, `-` or `_`";
                self.problem_of("sources", index, "name", name, message);
            } else if !names.insert(name) {
                self.problem_of("sources", index, "name", name, "this name is taken by an earlier source");
            }
            if source.secrets.is_empty() {
                let message = "at least one secret is needed, such as { env = \"STRIPE_US_SECRET\" }";
                self.problem_of("sources", index, "secrets", name, message);
            }
            if source.secrets.iter().any(|secret| secret.env.is_some() == secret.file.is_some()) {
                let message = "each secret is either { env = \"NAME\" } or { file = \"PATH\" }";
                self.problem_of("sources", index, "secrets", name, message);
            }
            if source.requests_in_flight_max == 0 {
                let message = "0 would refuse every request; use at least 1";
                self.problem_of("sources", index, "requests_in_flight_max", name, message);
            }
        }
    }

    fn queue(&mut self) {
        let queue = &self.config.queue;
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=200).contains(&queue.name.len()) || !queue.name.bytes().all(is_name_byte) {
            self.problem("queue", "name", "1 to 200 letters, digits, `-`, `_` or `.` are needed");
        }
        if queue.kind == QueueKind::RabbitMq && queue.url.is_none() {
            let message = "needed for kind rabbitmq: { env = \"AMQP_URL\" } or { file = \"PATH\" } that holds \
                           amqps://USER:PASSWORD@HOST:PORT/VHOST";
            self.problem("queue", "url", message);
        }
        if queue.spool && queue.kind == QueueKind::Embedded {
            let message = "the embedded queue is on the local disk itself; a spool is for kind rabbitmq";
            self.problem("queue", "spool", message);
        }
        let publish_timeout_ms = self.config.ingest.publish_timeout_ms;
        if queue.spool && queue.spool_after_ms >= publish_timeout_ms {
            let message = format!(
                "must be less than ingest.publish_timeout_ms, {publish_timeout_ms}: what is left of that is for the \
                 disk"
            );
            self.problem("queue", "spool_after_ms", message);
        }
        if queue.client_certificate_file.is_some() != queue.client_key.is_some() {
            let message = "a certificate and its key belong together: set both or none";
            self.problem("queue", "client_certificate_file", message);
        }
    }

    fn alerting(&mut self) {
        let alerting = &self.config.alerting;
        if Currency::parse(&alerting.reporting_currency).is_none() {
            let message = format!("`{}` is not an ISO 4217 code", alerting.reporting_currency);
            self.problem("alerting", "reporting_currency", message);
        }
        for (code, rate) in &alerting.exchange_rates {
            if Currency::parse(code).is_none() || !rate.is_finite() || *rate <= 0.0 {
                let message = format!("`{code} = {rate}`: an ISO 4217 code and a positive number are needed");
                self.problem("alerting", "exchange_rates", message);
            }
        }
    }

    fn channels(&mut self) {
        let config = self.config;
        let mut names = HashSet::new();
        for (index, channel) in config.channels.iter().enumerate() {
            let name = channel.name.as_str();
            if !is_name(name) {
                let message = "a channel's name is 1 to 64 lower-case letters, digits, `-` or `_`";
                self.problem_of("channels", index, "name", name, message);
            } else if !names.insert(name) {
                self.problem_of("channels", index, "name", name, "this name is taken by an earlier channel");
            }
            let needs_url = matches!(channel.kind, ChannelKind::Webhook | ChannelKind::Slack);
            if needs_url && channel.url.is_none() {
                let message = "needed: { env = \"NAME\" } or { file = \"PATH\" } that holds the address";
                self.problem_of("channels", index, "url", name, message);
            }
            if !needs_url && channel.url.is_some() {
                self.problem_of("channels", index, "url", name, "a log channel has no address; remove it");
            }
            let needs_secrets = channel.kind == ChannelKind::Webhook;
            if needs_secrets == channel.secrets.is_empty() {
                let message = if needs_secrets {
                    "needed: the secret (whsec_…) with which pages are signed"
                } else {
                    "only webhook channels sign; remove it"
                };
                self.problem_of("channels", index, "secrets", name, message);
            }
        }
    }

    fn telemetry(&mut self) {
        let telemetry = &self.config.telemetry;
        if !(0.0..=1.0).contains(&telemetry.trace_ratio) {
            let message = format!("{} is not between 0 and 1", telemetry.trace_ratio);
            self.problem("telemetry", "trace_ratio", message);
        }
        if let Err(error) = crate::telemetry::log_filter(&telemetry.log_filter) {
            self.problem("telemetry", "log_filter", format!("{error}; write it as `info,ingest=debug`"));
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
