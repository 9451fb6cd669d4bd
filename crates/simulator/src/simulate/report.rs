//! What a simulation did.

use std::collections::BTreeMap;
use std::fmt;

use payments::{PaymentEvent, UnixMillis};
use serde::Serialize;

use crate::http::{Answer, answer_name, is_acknowledged};
use crate::ledger::EndLine;
use crate::scenario::Incident;

/// A finished simulation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Of the world.
    pub seed: u64,
    /// First payment.
    pub started_at: UnixMillis,
    /// Last answer.
    pub ended_at: UnixMillis,
    /// Payments made.
    pub payments: u64,
    /// Distinct events posted.
    pub events: u64,
    /// Of these, acknowledged.
    pub acknowledged_events: u64,
    /// Requests sent, duplicates and retries included.
    pub requests: u64,
    /// Requests that repeated one that was not acknowledged.
    pub retries: u64,
    /// Events that were delivered a second time.
    pub duplicates: u64,
    /// Requests by answer: status, or why there was none.
    pub answers: BTreeMap<String, u64>,
    /// Facts of acknowledged events.
    pub totals: Vec<ReportTotal>,
    /// What went wrong, by plan.
    pub incidents: Vec<Incident>,
}

/// Facts of one source, kind and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportTotal {
    /// Configured source.
    pub source: String,
    /// Of the facts.
    pub kind: &'static str,
    /// Of the facts.
    pub outcome: &'static str,
    /// How many.
    pub facts: u64,
}

/// Counts of a running simulation.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) payments: u64,
    pub(super) events: u64,
    pub(super) acknowledged_events: u64,
    pub(super) requests: u64,
    pub(super) retries: u64,
    pub(super) duplicates: u64,
    pub(super) answers: BTreeMap<String, u64>,
    pub(super) acknowledged_requests: u64,
    pub(super) totals: BTreeMap<(String, &'static str, &'static str), u64>,
    pub(super) incidents: Vec<Incident>,
}

impl Counts {
    pub(super) fn count_answer(&mut self, answer: Answer) {
        *self.answers.entry(answer_name(answer)).or_default() += 1;
        self.acknowledged_requests += u64::from(is_acknowledged(answer));
    }

    pub(super) fn count_facts(&mut self, source: &str, facts: &[PaymentEvent]) {
        for fact in facts {
            let key = (source.to_owned(), fact.kind.name(), fact.outcome.name());
            *self.totals.entry(key).or_default() += 1;
        }
    }
}

impl Report {
    pub(super) fn new(seed: u64, started_at: UnixMillis, ended_at: UnixMillis, counts: Counts) -> Self {
        let totals = counts.totals.into_iter();
        Self {
            seed,
            started_at,
            ended_at,
            payments: counts.payments,
            events: counts.events,
            acknowledged_events: counts.acknowledged_events,
            requests: counts.requests,
            retries: counts.retries,
            duplicates: counts.duplicates,
            answers: counts.answers,
            totals: totals
                .map(|((source, kind, outcome), facts)| ReportTotal { source, kind, outcome, facts })
                .collect(),
            incidents: counts.incidents,
        }
    }

    /// Requests that were acknowledged.
    pub fn acknowledged_requests(&self) -> u64 {
        self.answers.iter().filter(|(answer, _)| answer.starts_with('2')).map(|(_, count)| count).sum()
    }

    pub(super) fn end_line(&self) -> EndLine {
        EndLine {
            events: self.events,
            acknowledged_events: self.acknowledged_events,
            requests: self.requests,
            acknowledged_requests: self.acknowledged_requests(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ended_at.since(self.started_at).as_secs_f64();
        writeln!(f, "seed {}, {seconds:.0} s, from {} to {}", self.seed, self.started_at, self.ended_at)?;
        writeln!(
            f,
            "{} payments, {} events, {} requests ({} retries, {} duplicates)",
            self.payments, self.events, self.requests, self.retries, self.duplicates
        )?;
        let missing = self.events - self.acknowledged_events;
        writeln!(f, "{} events acknowledged, {missing} not", self.acknowledged_events)?;
        for (answer, count) in &self.answers {
            writeln!(f, "  answered {answer}: {count}")?;
        }
        for total in &self.totals {
            writeln!(f, "  {} {} {}: {}", total.source, total.kind, total.outcome, total.facts)?;
        }
        for incident in &self.incidents {
            writeln!(f, "  incident {}: {incident}", incident.number)?;
        }
        Ok(())
    }
}
