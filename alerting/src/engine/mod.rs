//! The evaluation loop: read, judge, move the state, page.
//!
//! [`Engine::step`] is one tick and what tests call; [`Engine::run`] is sleep and step. A tick reads without side
//! effects, computes the new memory on a copy, writes it with its history and its messages in one transaction, and
//! only then adopts it: a tick that cannot be written has not happened.

mod degraded;
mod look_up;
mod pages;
mod tell;
mod tick;
mod watermark;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use payments::UnixMillis;
use runtime::{HealthHandle, Lifecycle, SharedClock};
use tokio::sync::Notify;

pub use degraded::DEGRADED;
pub use pages::PageSettings;
pub use watermark::Watermark;

use crate::completeness::a_day_before;
use crate::observations::Observations;
use crate::page::Rates;
use crate::reader::Reader;
use crate::rules::{Evaluation, Instants, Rule, Rules};
use crate::state::{CloseReason, Health};
use crate::storage::{Book, Storage, StorageError, TickChanges};
use degraded::Sight;
use tick::{Happening, Tick};

/// Rules evaluated, and pages looked up, at once: the engine's other queries need a place too.
const QUERIES_AT_ONCE: usize = 3;

/// What the engine is made of.
#[derive(Debug)]
pub struct Engine {
    /// The rules.
    pub rules: Rules,
    /// Reads ClickHouse.
    pub reader: Reader,
    /// Where state is kept.
    pub storage: Storage,
    /// Where ticks are counted.
    pub observations: Arc<Observations>,
    /// What pages need from the configuration.
    pub settings: PageSettings,
    /// How money is converted.
    pub rates: Rates,
    /// Time between two ticks.
    pub interval: Duration,
    /// Older data are stale.
    pub stale_after_ms: i64,
    /// The memory. Invariant: equal to what is on the disk.
    pub book: Arc<Book>,
    /// When this process ticked last; `None` before it did: what lies before is downtime.
    pub ticked_at: Option<UnixMillis>,
}

/// What one tick came to.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// How current the data were; `None` when that could not be read.
    pub watermark: Option<Watermark>,
    /// What was written.
    pub changes: Arc<TickChanges>,
    /// Rules that could not be evaluated.
    pub failed: Vec<String>,
}

impl Engine {
    /// Ticks until the process stops taking new work.
    pub async fn run(
        mut self,
        clock: SharedClock,
        health: HealthHandle,
        queued: Arc<Notify>,
        lifecycle: Lifecycle,
    ) {
        let soft = lifecycle.soft().clone();
        while !soft.is_cancelled() {
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(until_next(clock.now(), self.interval)) => {}
            }
            let now = clock.now();
            match self.step(now).await {
                Ok(report) => {
                    let lag_ms = report.watermark.and_then(|watermark| watermark.lag_ms(now));
                    let open = report.changes.book.open_incidents();
                    let took = clock.now().since(now);
                    self.observations.unreadable(self.storage.take_unreadable());
                    self.observations.ticked(took.as_secs_f64() * 1000.0, lag_ms, open);
                    report.changes.transitions.iter().for_each(|t| self.observations.transition(t));
                    if !report.changes.messages.is_empty() {
                        queued.notify_waiters();
                    }
                    health.ready();
                }
                Err(error) => {
                    self.observations.tick_failed(&error);
                    health.not_ready("the alerting state cannot be written");
                }
            }
        }
    }

    /// One tick at `now`.
    pub async fn step(&mut self, now: UnixMillis) -> Result<StepReport, StorageError> {
        let mut tick = Tick::new(self.book.as_ref().clone(), now, self.interval, self.ticked_at);
        self.ticked_at = Some(now);
        let (watermark, clocks_ahead) = match watermark::read(&self.reader, now, self.stale_after_ms).await {
            Ok((watermark, clocks_ahead)) => (Some(watermark), clocks_ahead),
            Err(error) => {
                self.observations.heartbeats_failed(&crate::chain(&error));
                (None, Vec::new())
            }
        };
        self.close_orphans(&mut tick, watermark);
        let (happenings, failed) = match watermark {
            Some(Watermark::Fresh(complete_to)) => self.evaluate(&mut tick, complete_to).await,
            Some(Watermark::Stale(_)) => (self.freeze(&mut tick, Health::Stale), Vec::new()),
            Some(Watermark::Unknown) => (self.freeze(&mut tick, Health::NoData), Vec::new()),
            None => (self.freeze(&mut tick, Health::Error), self.rules.keys().cloned().collect()),
        };
        let sight = Sight { watermark, failed: &failed, clocks_ahead: &clocks_ahead };
        for (rule_id, rule) in &self.rules {
            tick.count_failure(rule_id, &rule.hash, sight.has_failed(rule_id));
        }
        self.tell_completeness(watermark, now).await;
        let complete_to = watermark.and_then(Watermark::complete_to);
        let instants = Instants { now, complete_to: complete_to.unwrap_or(now) };
        for (happening, findings) in self.look_up(&tick, happenings, instants).await {
            let Some(rule) = self.rules.get(&happening.key.0) else { continue };
            tick.tell(rule, &happening, findings.as_ref(), instants, &self.settings);
        }
        degraded::watch(&mut tick, &self.rules, &sight, &self.settings);
        tick.left_out.iter().for_each(|(rule, slices)| self.observations.slices_left_out(rule, *slices));
        tick.forget_quiet(instants.complete_to);
        let changes = Arc::new(tick.into_changes());
        self.storage.commit(Arc::clone(&self.book), Arc::clone(&changes), now).await?;
        self.book = Arc::new(changes.book.clone());
        Ok(StepReport { watermark, changes, failed })
    }

    /// Incidents whose rule was edited or is gone end with that reason.
    fn close_orphans(&self, tick: &mut Tick, watermark: Option<Watermark>) {
        let at = watermark.and_then(Watermark::complete_to).unwrap_or(tick.now);
        for rule_id in tick.book.rules.keys().cloned().collect::<Vec<_>>() {
            let reason = match self.rules.get(&rule_id) {
                None => CloseReason::RuleDeleted,
                Some(rule) if tick.book.rules.get(&rule_id).is_some_and(|known| known.hash != rule.hash) => {
                    CloseReason::RuleChanged
                }
                Some(_) => continue,
            };
            tick.close_rule(&rule_id, reason, at);
        }
    }

    /// Evaluates every rule; returns what happened, and the rules that failed.
    async fn evaluate(&self, tick: &mut Tick, complete_to: UnixMillis) -> (Vec<Happening>, Vec<String>) {
        let instants = Instants { now: tick.now, complete_to };
        // Boxed: a stream of closures that borrow is not `Send` for every lifetime, and this runs on a task.
        let pending: Vec<BoxFuture<'_, _>> = self
            .rules
            .values()
            .map(|rule| {
                let held = tick.held_by(&rule.id);
                async move { (rule, rule.evaluate(&self.reader, instants, &held).await) }.boxed()
            })
            .collect();
        let evaluations = stream::iter(pending)
            // In order of the rules, whichever answers first: the same data give the same incident numbers.
            .buffered(QUERIES_AT_ONCE)
            .collect::<Vec<(&Rule, Result<Evaluation, _>)>>()
            .await;
        let (mut happenings, mut failed) = (Vec::new(), Vec::new());
        for (rule, evaluation) in evaluations {
            match evaluation {
                Ok(evaluation) => happenings.extend(tick.judge(rule, &evaluation, complete_to)),
                Err(error) => {
                    let failures = tick.failures(&rule.id).saturating_add(1);
                    self.observations.evaluation_failed(&rule.id, failures, &crate::chain(&error));
                    happenings.extend(tick.freeze(rule, Health::Error));
                    failed.push(rule.id.clone());
                }
            }
        }
        (happenings, failed)
    }

    /// Sets the metric. After the rules, which may have asked for more.
    async fn tell_completeness(&self, watermark: Option<Watermark>, now: UnixMillis) {
        let Some(Watermark::Fresh(complete_to)) = watermark else {
            return self.observations.completeness(BTreeMap::new());
        };
        let instants = Instants { now, complete_to };
        let from = a_day_before(instants);
        match self.reader.completeness(instants, from).await {
            Ok(answer) => self.observations.completeness(answer.by_source(from)),
            Err(error) => self.observations.completeness_failed(&crate::chain(&error)),
        }
    }

    fn freeze(&self, tick: &mut Tick, health: Health) -> Vec<Happening> {
        self.rules.values().flat_map(|rule| tick.freeze(rule, health)).collect()
    }
}

impl Watermark {
    /// Complete up to here, as far as is known.
    pub fn complete_to(self) -> Option<UnixMillis> {
        match self {
            Self::Fresh(at) | Self::Stale(at) => Some(at),
            Self::Unknown => None,
        }
    }

    fn lag_ms(self, now: UnixMillis) -> Option<u64> {
        let complete_to = self.complete_to()?;
        u64::try_from(now.since(complete_to).as_millis()).ok()
    }
}

/// Until the next whole multiple of `interval`: replicas tick at the same instants.
fn until_next(now: UnixMillis, interval: Duration) -> Duration {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let left = interval_ms - now.0.rem_euclid(interval_ms);
    Duration::from_millis(u64::try_from(left).unwrap_or(1))
}
