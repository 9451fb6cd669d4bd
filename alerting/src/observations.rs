//! What alerting tells about itself: one function per occurrence, log and metrics together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use payments::UnixMillis;
use tracing::{debug, error, info, warn};

use crate::channels::Answer;
use crate::page::Action;
use crate::storage::StorageError;
use crate::storage::outbox::Depth;
use crate::storage::transitions::Transition;

/// The instruments.
#[derive(Debug)]
pub struct Observations {
    ticks: Counter<u64>,
    tick_ms: Histogram<f64>,
    evaluation_lag_ms: Gauge<u64>,
    evaluation_failures: Counter<u64>,
    transitions: Counter<u64>,
    deliveries: Counter<u64>,
    given_up: Counter<u64>,
    outbox_depth: Gauge<u64>,
    outbox_age_ms: Gauge<u64>,
    incidents_open: Gauge<u64>,
    storage_failures: Counter<u64>,
    unreadable: Counter<u64>,
    left_out: Counter<u64>,
    export_failures: Counter<u64>,
    /// Acknowledged and not stored, by source; empty while that is not known.
    missing: Arc<Mutex<BTreeMap<String, u64>>>,
    /// Channels known to be misconfigured: told once, not on every attempt.
    misconfigured: Mutex<HashMap<String, String>>,
}

impl Observations {
    /// Instruments of `meter`.
    pub fn new(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let gauge =
            |name: &'static str, what: &'static str| meter.u64_gauge(name).with_description(what).build();
        let missing = Arc::<Mutex<BTreeMap<String, u64>>>::default();
        watch_missing(meter, &missing);
        Self {
            ticks: counter("tillwatch_alerting_ticks", "Evaluations of all rules, by outcome"),
            tick_ms: meter
                .f64_histogram("tillwatch_alerting_tick_duration_ms")
                .with_description("How long one evaluation of all rules took")
                .build(),
            evaluation_lag_ms: gauge(
                "tillwatch_alerting_evaluation_lag_ms",
                "How far the newest complete data are behind the clock",
            ),
            evaluation_failures: counter("tillwatch_alerting_evaluation_failures", "Failed queries, by rule"),
            transitions: counter("tillwatch_alerting_transitions", "Changes of state, by rule and new state"),
            deliveries: counter(
                "tillwatch_alerting_deliveries",
                "Attempts, by channel, action and answer class",
            ),
            given_up: counter("tillwatch_alerting_dead_letters", "Messages given up, by channel"),
            outbox_depth: gauge("tillwatch_alerting_outbox_depth", "Messages waiting, by channel"),
            outbox_age_ms: gauge(
                "tillwatch_alerting_outbox_age_ms",
                "Age of the oldest waiting message, by channel",
            ),
            incidents_open: gauge("tillwatch_alerting_incidents_open", "Open incidents"),
            storage_failures: counter(
                "tillwatch_alerting_storage_failures",
                "Failed reads or writes of the state file",
            ),
            unreadable: counter(
                "tillwatch_alerting_unreadable_values",
                "Stored values that could not be read and were left out",
            ),
            left_out: counter(
                "tillwatch_alerting_slices_left_out",
                "Breaches that are not watched because too many slices of the rule are, by rule",
            ),
            export_failures: counter(
                "tillwatch_alerting_export_failures",
                "Failed exports of history to ClickHouse",
            ),
            missing,
            misconfigured: Mutex::default(),
        }
    }

    /// What is acknowledged and not stored, by source; nothing while that cannot be told.
    pub fn completeness(&self, missing: BTreeMap<String, u64>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    /// Whether what was acknowledged is stored could not be read.
    pub fn completeness_failed(&self, reason: &str) {
        self.completeness(BTreeMap::new());
        self.evaluation_failures.add(1, &[KeyValue::new("rule", "completeness")]);
        warn!(reason, "whether every acknowledged webhook is stored cannot be read");
    }

    /// All rules were evaluated and the outcome is on the disk.
    pub fn ticked(&self, took_ms: f64, lag_ms: Option<u64>, incidents_open: usize) {
        self.ticks.add(1, &[KeyValue::new("outcome", "ok")]);
        self.tick_ms.record(took_ms, &[]);
        if let Some(lag_ms) = lag_ms {
            self.evaluation_lag_ms.record(lag_ms, &[]);
        }
        self.incidents_open.record(incidents_open as u64, &[]);
        debug!(took_ms, lag_ms, incidents_open, "rules evaluated");
    }

    /// The outcome of a tick could not be written: the next one starts from the same state.
    pub fn tick_failed(&self, error: &StorageError) {
        self.ticks.add(1, &[KeyValue::new("outcome", "failed")]);
        self.storage_failed(error);
    }

    /// A rule's query failed or took too long.
    pub fn evaluation_failed(&self, rule: &str, failures: u32, reason: &str) {
        self.evaluation_failures.add(1, &[KeyValue::new("rule", rule.to_owned())]);
        warn!(rule, failures, reason, "rule cannot be evaluated: its state is frozen");
    }

    /// The heartbeats could not be read.
    pub fn heartbeats_failed(&self, reason: &str) {
        self.evaluation_failures.add(1, &[KeyValue::new("rule", "heartbeats")]);
        warn!(reason, "heartbeats cannot be read: every rule is frozen");
    }

    /// The details of a page could not be looked up; it goes out without them.
    pub fn findings_failed(&self, rule: &str, reason: &str) {
        warn!(rule, reason, "details of a page cannot be looked up: it goes out with what is known");
    }

    /// Too many slices of a rule are open or pending: these breached too.
    pub fn slices_left_out(&self, rule: &str, slices: usize) {
        self.left_out.add(slices as u64, &[KeyValue::new("rule", rule.to_owned())]);
        warn!(rule, slices, "too many slices are open or pending: these are not watched");
    }

    /// Stored values could not be read; each was logged where it was found.
    pub fn unreadable(&self, values: u64) {
        if values > 0 {
            self.unreadable.add(values, &[]);
        }
    }

    /// A slice changed its state.
    pub fn transition(&self, transition: &Transition) {
        self.transitions.add(
            1,
            &[
                KeyValue::new("rule", transition.rule_id.clone()),
                KeyValue::new("to", transition.to_state.clone()),
            ],
        );
        info!(
            rule = transition.rule_id,
            slice = transition.slice_key,
            from = transition.from_state,
            to = transition.to_state,
            reason = transition.reason,
            incident_id = transition.incident_id,
            "alert state changed"
        );
    }

    /// A channel answered.
    pub fn delivery(&self, channel: &str, action: Action, answer: &Answer) {
        self.deliveries.add(
            1,
            &[
                KeyValue::new("channel", channel.to_owned()),
                KeyValue::new("action", action.name()),
                KeyValue::new("class", answer.class()),
            ],
        );
        match answer {
            Answer::Accepted => {
                let mended = self.known_misconfigured().remove(channel).is_some();
                info!(channel, action = action.name(), mended, "message delivered");
            }
            Answer::RetryAfter(wait) => {
                info!(channel, action = action.name(), wait_s = wait.as_secs(), "channel asks to wait");
            }
            Answer::Transient { reason, .. } => {
                warn!(channel, action = action.name(), reason, "channel does not take the message now");
            }
            Answer::PermanentPayload(reason) => {
                error!(channel, action = action.name(), reason, "channel refuses the message as it is");
            }
            Answer::PermanentConfig(_) => {}
        }
    }

    /// A channel is configured wrongly; said loudly, once per reason.
    pub fn misconfigured(&self, channel: &str, reason: &str) {
        let known = self.known_misconfigured().insert(channel.to_owned(), reason.to_owned());
        if known.as_deref() != Some(reason) {
            error!(channel, reason, "channel is misconfigured: pages to it wait until it is mended");
        }
    }

    /// A message was given up.
    pub fn given_up(&self, channel: &str, dedup_key: &str, reason: &str) {
        self.given_up.add(1, &[KeyValue::new("channel", channel.to_owned())]);
        error!(channel, dedup_key, reason, "message given up: it never reached this channel");
    }

    /// How much waits for a channel.
    pub fn outbox_depth(&self, channel: &str, depth: Depth, now: UnixMillis) {
        let label = [KeyValue::new("channel", channel.to_owned())];
        self.outbox_depth.record(depth.waiting, &label);
        let age = depth.oldest.map_or(0, |oldest| now.since(oldest).as_millis());
        self.outbox_age_ms.record(u64::try_from(age).unwrap_or(u64::MAX), &label);
    }

    /// The state file could not be read or written.
    pub fn storage_failed(&self, error: &StorageError) {
        self.storage_failures.add(1, &[]);
        error!(error = crate::chain(error), "alerting state: is the disk full?");
    }

    /// History could not be sent to ClickHouse; it waits.
    pub fn export_failed(&self, reason: &str) {
        self.export_failures.add(1, &[]);
        warn!(reason, "alert history waits: ClickHouse does not take it");
    }

    /// Messages waited for channels that are no longer configured.
    pub fn orphans_dropped(&self, messages: usize) {
        if messages > 0 {
            warn!(messages, "messages dropped: their channels are no longer configured");
        }
    }

    fn known_misconfigured(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Read whenever metrics are read: a source that is not known of any more is not told of either.
fn watch_missing(meter: &Meter, missing: &Arc<Mutex<BTreeMap<String, u64>>>) {
    let missing = Arc::clone(missing);
    let _registered = meter
        .u64_observable_gauge("tillwatch_completeness_missing_webhooks")
        .with_description("Acknowledged webhooks of the last day that are not stored, by source")
        .with_callback(move |gauge| {
            for (source, webhooks) in missing.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                gauge.observe(*webhooks, &[KeyValue::new("source", source.clone())]);
            }
        })
        .build();
}
