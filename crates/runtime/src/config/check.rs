//! What a parsed configuration may still have wrong: names, ranges, references between sections.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use payments::{Currency, Verifier};

use super::load::line_of;
use super::{ChannelKind, Config, StoreKind};

/// One thing that is wrong, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// Which line, where the key stands in the file.
    pub line: Option<usize>,
    /// `sources.stripe-us.secrets`.
    pub key: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}: {}", self.file.display(), self.key, self.message),
            None => write!(f, "{}: {}: {}", self.file.display(), self.key, self.message),
        }
    }
}

struct Checker<'a> {
    config: &'a Config,
    text: &'a str,
    problems: Vec<Problem>,
}

/// Everything that can be checked without touching the outside.
pub(super) fn check(config: &Config, text: &str) -> Vec<Problem> {
    let mut checker = Checker { config, text, problems: Vec::new() };
    checker.sources();
    checker.limits();
    checker.store();
    checker.alerting();
    checker.channels();
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
    fn problem(&mut self, table: &str, index: usize, key: &str, label: &str, message: impl Into<String>) {
        let middle = if label.is_empty() { String::new() } else { format!("{label}.") };
        self.problems.push(Problem {
            file: self.config.file.clone(),
            line: line_of(self.text, table, index, key),
            key: format!("{table}.{middle}{key}"),
            message: message.into(),
        });
    }

    fn sources(&mut self) {
        let config = self.config;
        let mut names = HashSet::new();
        for (index, source) in config.sources.iter().enumerate() {
            let name = source.name.as_str();
            if !is_name(name) {
                let message = "a source's name is 1 to 64 lower-case letters, digits, `-` or `_`";
                self.problem("sources", index, "name", name, message);
            } else if !names.insert(name) {
                self.problem("sources", index, "name", name, "this name is taken by an earlier source");
            }
            if source.secrets.is_empty() {
                let message = "at least one secret is needed, such as { env = \"STRIPE_US_SECRET\" }";
                self.problem("sources", index, "secrets", name, message);
            }
            if source.secrets.iter().any(|secret| secret.env.is_some() == secret.file.is_some()) {
                let message = "each secret is either { env = \"NAME\" } or { file = \"PATH\" }";
                self.problem("sources", index, "secrets", name, message);
            }
            if source.requests_in_flight_max == 0 {
                let message = "0 would refuse every request; use at least 1";
                self.problem("sources", index, "requests_in_flight_max", name, message);
            }
        }
    }

    fn limits(&mut self) {
        let config = self.config;
        let (ingest, processor, queue) = (&config.ingest, &config.processor, &config.queue);
        let at_least: [(&str, &str, u64, u64); 14] = [
            ("ingest", "body_bytes_max", ingest.body_bytes_max as u64, 1_024),
            ("ingest", "header_bytes_max", ingest.header_bytes_max as u64, 8_192),
            ("ingest", "header_read_timeout_ms", ingest.header_read_timeout_ms, 1),
            ("ingest", "body_read_timeout_ms", ingest.body_read_timeout_ms, 1),
            ("ingest", "publish_timeout_ms", ingest.publish_timeout_ms, 1),
            ("ingest", "connections_max", ingest.connections_max as u64, 1),
            ("ingest", "heartbeat_interval_ms", ingest.heartbeat_interval_ms, 100),
            ("processor", "batch_webhooks_max", processor.batch_webhooks_max as u64, 1),
            ("processor", "batch_bytes_max", processor.batch_bytes_max as u64, 1 << 20),
            ("processor", "insert_timeout_ms", processor.insert_timeout_ms, 100),
            ("processor", "retry_delay_ms", processor.retry_delay_ms, 1),
            ("queue", "segment_bytes", queue.segment_bytes, 1 << 20),
            ("queue", "in_flight_bytes_max", queue.in_flight_bytes_max as u64, 1 << 20),
            ("shutdown", "drain_timeout_ms", config.shutdown.drain_timeout_ms, 1),
        ];
        for (table, key, value, minimum) in at_least {
            if value < minimum {
                self.problem(table, 0, key, "", format!("{value} is too small; use at least {minimum}"));
            }
        }
        if queue.bytes_max < queue.segment_bytes.saturating_mul(2) {
            let message = format!("must hold at least two segments of {} bytes", queue.segment_bytes);
            self.problem("queue", 0, "bytes_max", "", message);
        }
        if (ingest.body_bytes_max as u64).saturating_mul(2) > queue.segment_bytes {
            let message = "must be at most half of queue.segment_bytes, which one webhook has to fit into";
            self.problem("ingest", 0, "body_bytes_max", "", message);
        }
        let ratio = config.telemetry.trace_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            self.problem("telemetry", 0, "trace_ratio", "", format!("{ratio} is not between 0 and 1"));
        }
    }

    fn store(&mut self) {
        let store = &self.config.store;
        let database = store.database.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if database.is_empty() || !database.bytes().all(plain) {
            self.problem("store", 0, "database", "", "a database's name is letters, digits and `_`");
        }
        if store.kind == StoreKind::ClickHouse
            && !store.url.starts_with("http://")
            && !store.url.starts_with("https://")
        {
            self.problem(
                "store",
                0,
                "url",
                "",
                "must start with http:// or https:// (ClickHouse's HTTP port)",
            );
        }
        if store.memory_bytes_max < 512 << 20 {
            self.problem("store", 0, "memory_bytes_max", "", "the engine needs at least 536870912 (512 MiB)");
        }
        let retention = &store.retention;
        let days = [
            retention.webhooks_days,
            retention.payment_events_days,
            retention.parked_webhooks_days,
            retention.alert_transitions_days,
            retention.heartbeats_days,
        ];
        if days.contains(&0) {
            self.problem(
                "store",
                0,
                "retention",
                "",
                "0 days would delete everything at once; use at least 1",
            );
        }
    }

    fn alerting(&mut self) {
        let alerting = &self.config.alerting;
        if Currency::parse(&alerting.reporting_currency).is_none() {
            let message = format!("`{}` is not an ISO 4217 code", alerting.reporting_currency);
            self.problem("alerting", 0, "reporting_currency", "", message);
        }
        for (code, rate) in &alerting.exchange_rates {
            if Currency::parse(code).is_none() || !rate.is_finite() || *rate <= 0.0 {
                let message = format!("`{code} = {rate}`: an ISO 4217 code and a positive number are needed");
                self.problem("alerting", 0, "exchange_rates", "", message);
            }
        }
        if alerting.evaluation_interval_ms < 100 {
            self.problem("alerting", 0, "evaluation_interval_ms", "", "use at least 100");
        }
    }

    fn channels(&mut self) {
        let config = self.config;
        let mut names = HashSet::new();
        for (index, channel) in config.channels.iter().enumerate() {
            let name = channel.name.as_str();
            if !is_name(name) {
                let message = "a channel's name is 1 to 64 lower-case letters, digits, `-` or `_`";
                self.problem("channels", index, "name", name, message);
            } else if !names.insert(name) {
                self.problem("channels", index, "name", name, "this name is taken by an earlier channel");
            }
            let needs_url = matches!(channel.kind, ChannelKind::Webhook | ChannelKind::Slack);
            if needs_url && channel.url.is_none() {
                let message = "needed: { env = \"NAME\" } or { file = \"PATH\" } that holds the address";
                self.problem("channels", index, "url", name, message);
            }
            if !needs_url && channel.url.is_some() {
                self.problem("channels", index, "url", name, "a log channel has no address; remove it");
            }
            let needs_secrets = channel.kind == ChannelKind::Webhook;
            if needs_secrets == channel.secrets.is_empty() {
                let message = if needs_secrets {
                    "needed: the secret (whsec_…) with which pages are signed"
                } else {
                    "only webhook channels sign; remove it"
                };
                self.problem("channels", index, "secrets", name, message);
            }
        }
    }

    fn secrets(&mut self) {
        let config = self.config;
        let folder = config.folder();
        for (index, source) in config.sources.iter().enumerate() {
            let resolved: Result<Vec<_>, _> = source.secrets.iter().map(|s| s.resolve(&folder)).collect();
            let problem = match resolved {
                Ok(secrets) => Verifier::new(source.provider, &secrets).err().map(|error| error.to_string()),
                Err(error) => Some(chain(&error)),
            };
            if let Some(message) = problem {
                self.problem("sources", index, "secrets", &source.name, message);
            }
        }
        for (index, channel) in config.channels.iter().enumerate() {
            for (key, reference) in
                channel.url.iter().map(|r| ("url", r)).chain(channel.secrets.iter().map(|r| ("secrets", r)))
            {
                if let Err(error) = reference.resolve(&folder) {
                    self.problem("channels", index, key, &channel.name, chain(&error));
                }
            }
        }
        if let Some(Err(error)) = config.store.password.as_ref().map(|reference| reference.resolve(&folder)) {
            self.problem("store", 0, "password", "", chain(&error));
        }
    }
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
