//! A small world of issuers whose attempts are drawn by chance, and the shipped rule that watches them.

use std::time::Duration;

use payments::{Currency, UnixMillis};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::engine::PageSettings;
use crate::engine::tick::{Happening, Tick};
use crate::page::{Impact, Measured, MoneyImpact, Usual};
use crate::rules::threshold::Reading;
use crate::rules::{self, Evaluation, Findings, Instants, Question, Rule, Sample};
use crate::slice::{Dimension, Slice};
use crate::storage::{Book, TickChanges};

pub(super) const TICK: Duration = Duration::from_secs(15);
pub(super) const TICK_MS: i64 = 15_000;
pub(super) const START: UnixMillis = UnixMillis(1_795_348_800_000);

/// The shipped rule `id`.
pub(super) fn shipped(id: &str) -> Rule {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut rules = rules::load(&root.join("rules"), &["log".to_owned(), "chat".to_owned()]).unwrap();
    rules.remove(id).unwrap()
}

pub(super) fn settings() -> PageSettings {
    PageSettings { public_url: "https://till.example".to_owned() }
}

/// One issuer's quarter minutes.
pub(super) struct Issuer {
    name: String,
    per_minute: f64,
    /// Attempts and failures by quarter of a minute.
    quarters: Vec<(u64, u64)>,
}

impl Issuer {
    pub(super) fn new(name: &str, per_minute: f64) -> Self {
        Self { name: name.to_owned(), per_minute, quarters: Vec::new() }
    }

    /// A quarter minute with failures at `rate`.
    pub(super) fn live(&mut self, rate: f64, rng: &mut ChaCha8Rng) {
        let attempts = poisson(self.per_minute / 4.0, rng);
        let failures = (0..attempts).filter(|_| rng.random_bool(rate)).count() as u64;
        self.quarters.push((attempts, failures));
    }

    /// What the rule's window holds after `quarters` quarters: its last `minutes` minutes, the running one included.
    pub(super) fn reading(&self, minutes: usize) -> Reading {
        let running = (self.quarters.len() - 1) % 4 + 1;
        let span = (running + (minutes - 1) * 4).min(self.quarters.len());
        let window = &self.quarters[self.quarters.len() - span..];
        Reading {
            attempts: window.iter().map(|quarter| quarter.0).sum(),
            failures: window.iter().map(|quarter| quarter.1).sum(),
            ..Reading::default()
        }
    }

    pub(super) fn sample(&self, rule: &Rule) -> Sample {
        let Question::Threshold(threshold) = &rule.question else { panic!("not a threshold") };
        let reading = self.reading(usize::try_from(threshold.window_minutes).unwrap());
        Sample {
            slice: Slice::new(&[Dimension::Issuer], vec![self.name.clone()]),
            verdict: threshold.judge(reading),
            measured: threshold.measured(reading),
        }
    }
}

/// Knuth's method; rates here are small.
fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> u64 {
    let limit = (-mean).exp();
    let (mut count, mut product) = (0, rng.random::<f64>());
    while product > limit {
        count += 1;
        product *= rng.random::<f64>();
    }
    count
}

/// Findings as an outage would give them.
pub(super) fn findings(measured: Measured, since: UnixMillis) -> Findings {
    Findings {
        since: Some(since),
        since_at_least: false,
        now: measured,
        usual: Some(Usual {
            measured: Measured::Share { count: 12, of: 100 },
            from: UnixMillis(since.0 - 3_600_000),
            to: since,
        }),
        impact: Impact {
            payments: Some(100.0),
            money: Some(MoneyImpact {
                currency: Currency::USD.to_string(),
                per_minute: 1_800.0,
                so_far: 4_500.0,
                unconverted: 0,
                unconverted_currencies: Vec::new(),
            }),
            unknown: String::new(),
        },
        codes: Vec::new(),
        samples: Vec::new(),
        accrued: None,
        notes: Vec::new(),
    }
}

/// One tick of one rule over `samples`; `None` is stale data.
pub(super) fn tick(book: Book, rule: &Rule, samples: Option<Vec<Sample>>, now: UnixMillis) -> TickChanges {
    let mut tick = Tick::new(book, now, TICK, Some(UnixMillis(now.0 - TICK_MS)));
    let instants = Instants { now, complete_to: UnixMillis(now.0 - 5_000) };
    let happenings: Vec<Happening> = match samples {
        Some(samples) => {
            let evaluation = Evaluation { samples, truncated: false };
            tick.judge(rule, &evaluation, instants.complete_to)
        }
        None => tick.freeze(rule, crate::state::Health::Stale),
    };
    tick.count_failure(&rule.id, &rule.hash, Some(false));
    for happening in happenings {
        let found = happening
            .sample
            .as_ref()
            .filter(|_| happening.wants_findings())
            .map(|sample| findings(sample.measured, START));
        tick.tell(rule, &happening, found.as_ref(), instants, &settings());
    }
    tick.forget_quiet(instants.complete_to);
    tick.into_changes()
}
