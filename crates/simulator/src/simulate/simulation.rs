//! The state of a running simulation, without clock and network: what is due, and what an answer means.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use payments::{Provider, UnixMillis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tracing::info;

use super::report::{Counts, Report};
use super::{SimulateConfig, SimulateError};
use crate::http::{Answer, is_acknowledged};
use crate::ledger::{EventLine, LedgerError, LedgerWriter, Line, RequestLine, RunLine};
use crate::providers::{SimulatedSource, Webhook, webhooks};
use crate::scenario::{Incident, Scenario};
use crate::schedule::Schedule;
use crate::world::{World, demand};

/// One posting of one event that is yet to be made, or to be made again.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) source: usize,
    pub(super) webhook: Webhook,
    due: UnixMillis,
    event: u64,
    attempt: u32,
    duplicate: bool,
}

/// What is remembered about an event until its last delivery is acknowledged.
#[derive(Debug, Default)]
struct EventState {
    deliveries: u32,
    posted: bool,
    acknowledged: bool,
}

#[derive(Debug)]
pub(super) struct Simulation {
    seed: u64,
    world: World,
    sources: Vec<SimulatedSource>,
    scenario: Scenario,
    schedule: Schedule,
    arrivals: ChaCha8Rng,
    payments_per_ms: f64,
    daily_curve: bool,
    next_arrival_ms: f64,
    started_at: UnixMillis,
    ends_at: Option<UnixMillis>,
    drain: Duration,
    stopped: bool,
    /// Due first, in the order of making.
    queue: BinaryHeap<Reverse<(UnixMillis, u64)>>,
    waiting: HashMap<u64, Delivery>,
    events: HashMap<u64, EventState>,
    next_delivery: u64,
    waiting_max: usize,
    in_flight: usize,
    incident: Option<Incident>,
    ledger: Option<LedgerWriter>,
    counts: Counts,
}

/// Deliveries that wait at once: these, and those of a minute. Beyond it no payments are made until some are
/// acknowledged: their time stays, so a target that was away gets what it missed. A delivery takes about 4 KB.
const WAITING_MAX: usize = 10_000;

/// Webhooks a second, at most. Beyond it `load` is the better tool: it does not keep what will happen later.
const RATE_MAX: f64 = 2_000.0;

/// Payments whose webhooks are counted to learn how many a payment has.
const SAMPLE: u64 = 300;

impl Simulation {
    pub(super) fn new(config: &SimulateConfig, now: UnixMillis) -> Result<Self, SimulateError> {
        if config.sources.is_empty() {
            return Err(SimulateError::NoSources);
        }
        if !(0.01..=RATE_MAX).contains(&config.rate_per_s) {
            return Err(SimulateError::Rate(config.rate_per_s));
        }
        let providers: Vec<Provider> = config.sources.iter().map(|source| source.provider).collect();
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        let world = World::new(config.seed, now, &providers);
        let mut ledger = config.ledger.as_deref().map(LedgerWriter::create).transpose()?;
        if let Some(ledger) = &mut ledger {
            let target = config.target.to_string();
            ledger.write(&Line::Run(RunLine::new("simulate", config.seed, now, target, &config.sources)))?;
            ledger.flush()?;
        }
        let mut arrivals = ChaCha8Rng::seed_from_u64(config.seed);
        arrivals.set_stream(u64::MAX - 1);
        Ok(Self {
            seed: config.seed,
            scenario: Scenario::new(config.scenario, now, &world, &names, config.seed),
            schedule: Schedule::new(config.schedule, config.seed),
            payments_per_ms: config.rate_per_s / 1_000.0 / webhooks_per_payment(&world, &config.sources, now),
            world,
            sources: config.sources.clone(),
            arrivals,
            daily_curve: config.daily_curve,
            next_arrival_ms: now.minus(config.backfill).0 as f64,
            started_at: now,
            ends_at: config.duration.map(|duration| now.plus(duration)),
            drain: config.drain,
            stopped: false,
            queue: BinaryHeap::new(),
            waiting: HashMap::new(),
            events: HashMap::new(),
            next_delivery: 0,
            waiting_max: WAITING_MAX + webhooks_in_a_minute(config.rate_per_s),
            in_flight: 0,
            incident: None,
            ledger,
            counts: Counts::default(),
        })
    }

    /// Makes the payments up to `now`.
    pub(super) fn advance(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        self.note_incident(now)?;
        if self.ends_at.is_some_and(|end| now >= end.plus(self.drain)) {
            self.stopped = true;
        }
        let until = self.ends_at.map_or(now, |end| end.min(now));
        while !self.stopped && self.waiting.len() < self.waiting_max && self.next_arrival_ms <= until.0 as f64
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds since the epoch are far below 2^53"
            )]
            let at = UnixMillis(self.next_arrival_ms as i64);
            self.pay(at);
            let level = if self.daily_curve { demand(at) } else { 1.0 };
            let gap = -(1.0 - self.arrivals.random::<f64>()).ln() / (self.payments_per_ms * level);
            self.next_arrival_ms += gap;
        }
        Ok(())
    }

    fn note_incident(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        let incident = self.scenario.incident_at(now).filter(|_| !self.is_ending(now));
        match (&self.incident, &incident) {
            (None, Some(began)) => {
                info!(incident = began.number, "incident begins: {began}");
                if let Some(ledger) = &mut self.ledger {
                    ledger.write(&Line::Incident(began.clone()))?;
                    ledger.flush()?;
                }
                self.counts.incidents.push(began.clone());
            }
            (Some(ended), None) => info!(incident = ended.number, "incident is over: {ended}"),
            _ => {}
        }
        self.incident = incident;
        Ok(())
    }

    fn pay(&mut self, at: UnixMillis) {
        let payment = self.world.payment(self.counts.payments, at, self.scenario.disturbance_at(at));
        self.counts.payments += 1;
        let Some(source) = self.sources.get(payment.source) else { return };
        for webhook in webhooks(source, &payment) {
            if self.ends_at.is_some_and(|end| webhook.occurred_at > end) {
                continue;
            }
            let event = self.next_delivery;
            let due = webhook.occurred_at.plus(self.schedule.delay());
            if let Some(after) = self.schedule.duplicate_after() {
                let again = Delivery {
                    source: payment.source,
                    webhook: webhook.clone(),
                    due: due.plus(after),
                    event,
                    attempt: 1,
                    duplicate: true,
                };
                self.add(again);
            }
            self.add(Delivery { source: payment.source, webhook, due, event, attempt: 1, duplicate: false });
        }
    }

    fn add(&mut self, delivery: Delivery) {
        self.events.entry(delivery.event).or_default().deliveries += 1;
        self.enqueue(delivery);
    }

    fn enqueue(&mut self, delivery: Delivery) {
        let id = self.next_delivery;
        self.next_delivery += 1;
        self.queue.push(Reverse((delivery.due, id)));
        self.waiting.insert(id, delivery);
    }

    /// The next delivery to be posted now. While the run drains, what has occurred is due at once.
    pub(super) fn next_due(&mut self, now: UnixMillis) -> Result<Option<Delivery>, LedgerError> {
        let hurry = self.is_ending(now);
        while let Some(Reverse((due, id))) = self.queue.peek().copied() {
            let first = self.waiting.get(&id).is_some_and(|delivery| delivery.attempt == 1);
            if self.stopped || (due > now && !(hurry && first)) {
                return Ok(None);
            }
            self.queue.pop();
            let Some(mut delivery) = self.waiting.remove(&id) else { continue };
            if let Some((source, until)) = self.scenario.dead_source_at(now)
                && source == delivery.source
                && !hurry
            {
                delivery.due = until.plus(self.schedule.delay());
                self.enqueue(delivery);
                continue;
            }
            self.note_posted(&delivery)?;
            self.in_flight += 1;
            return Ok(Some(delivery));
        }
        Ok(None)
    }

    fn note_posted(&mut self, delivery: &Delivery) -> Result<(), LedgerError> {
        let event = self.events.entry(delivery.event).or_default();
        self.counts.requests += 1;
        self.counts.retries += u64::from(delivery.attempt > 1);
        self.counts.duplicates += u64::from(delivery.duplicate && delivery.attempt == 1);
        if std::mem::replace(&mut event.posted, true) {
            return Ok(());
        }
        self.counts.events += 1;
        match &mut self.ledger {
            Some(ledger) => {
                let source = &self.sources[delivery.source].name;
                ledger.write(&Line::Event(EventLine::new(source, &delivery.webhook)))
            }
            None => Ok(()),
        }
    }

    /// Takes an answer: an acknowledged delivery is done, any other is posted again after a pause.
    pub(super) fn answered(
        &mut self,
        mut delivery: Delivery,
        answer: Answer,
        now: UnixMillis,
    ) -> Result<(), LedgerError> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.counts.count_answer(answer);
        if let Some(ledger) = &mut self.ledger {
            let source = &self.sources[delivery.source].name;
            let line = RequestLine::new(source, &delivery.webhook.event_id, delivery.attempt, now, answer);
            ledger.write(&Line::Request(RequestLine { duplicate: delivery.duplicate, ..line }))?;
        }
        if !is_acknowledged(answer) {
            delivery.due = now.plus(self.schedule.retry_after(delivery.attempt));
            delivery.attempt += 1;
            self.enqueue(delivery);
            return Ok(());
        }
        self.note_acknowledged(&delivery);
        Ok(())
    }

    fn note_acknowledged(&mut self, delivery: &Delivery) {
        let Some(event) = self.events.get_mut(&delivery.event) else { return };
        event.deliveries -= 1;
        if !std::mem::replace(&mut event.acknowledged, true) {
            self.counts.acknowledged_events += 1;
            self.counts.count_facts(&self.sources[delivery.source].name, &delivery.webhook.facts);
        }
        if event.deliveries == 0 {
            self.events.remove(&delivery.event);
        }
    }

    /// Sends nothing more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether nothing is left to be sent, or to be waited for. (The caller knows what is in flight.)
    pub(super) fn is_over(&self, now: UnixMillis) -> bool {
        self.stopped || (self.is_ending(now) && self.waiting.is_empty())
    }

    /// Whether no more payments are made, and only what has occurred is still posted.
    fn is_ending(&self, now: UnixMillis) -> bool {
        self.ends_at.is_some_and(|end| now >= end)
    }

    /// How long nothing will be due.
    pub(super) fn idle_ms(&self, now: UnixMillis) -> u64 {
        let due = self.queue.peek().map_or(i64::MAX, |Reverse((due, _))| due.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since the epoch are far below 2^53"
        )]
        let arrival = self.next_arrival_ms as i64;
        u64::try_from(due.min(arrival).saturating_sub(now.0)).unwrap_or(0)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    pub(super) fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    pub(super) fn next_incident(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.scenario.next_after(now)
    }

    /// Ends the ledger and tells what was done.
    pub(super) fn finish(mut self, now: UnixMillis) -> Result<Report, LedgerError> {
        let report = Report::new(self.seed, self.started_at, now, self.counts);
        if let Some(ledger) = &mut self.ledger {
            ledger.write(&Line::End(report.end_line()))?;
            ledger.flush()?;
        }
        Ok(report)
    }
}

fn webhooks_in_a_minute(rate_per_s: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 60 times RATE_MAX")]
    let webhooks = (rate_per_s * 60.0) as usize;
    webhooks
}

/// How many webhooks tell of one payment, on average.
fn webhooks_per_payment(world: &World, sources: &[SimulatedSource], at: UnixMillis) -> f64 {
    let told: usize = (0..SAMPLE)
        .filter_map(|index| {
            let payment = world.payment(index, at, None);
            sources.get(payment.source).map(|source| webhooks(source, &payment).len())
        })
        .sum();
    (told as f64 / SAMPLE as f64).max(1.0)
}

#[cfg(test)]
mod tests;
