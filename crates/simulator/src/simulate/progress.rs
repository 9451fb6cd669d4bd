//! One live line on a terminal; a log line now and then elsewhere.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use payments::UnixMillis;
use tracing::info;

use super::SimulateConfig;
use super::simulation::Simulation;

pub(super) struct Progress {
    bar: ProgressBar,
    shown_at: UnixMillis,
    shown_requests: u64,
    rate_per_s: f64,
}

const LINE_EVERY: Duration = Duration::from_millis(250);
const LOG_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn start(config: &SimulateConfig, now: UnixMillis) -> Self {
        info!(
            seed = config.seed,
            target = %config.target,
            sources = config.sources.len(),
            rate_per_s = config.rate_per_s,
            scenario = %config.scenario.kind,
            "simulation begins"
        );
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, shown_at: now, shown_requests: 0, rate_per_s: 0.0 }
    }

    pub(super) fn show(&mut self, simulation: &Simulation, now: UnixMillis) {
        let hidden = self.bar.is_hidden();
        let elapsed = now.since(self.shown_at);
        if elapsed < if hidden { LOG_EVERY } else { LINE_EVERY } {
            return;
        }
        let counts = simulation.counts();
        let rate = (counts.requests - self.shown_requests) as f64 / elapsed.as_secs_f64();
        // On a terminal the line changes four times a second: a smoothed rate can be read.
        self.rate_per_s = if hidden { rate } else { self.rate_per_s * 0.8 + rate * 0.2 };
        (self.shown_at, self.shown_requests) = (now, counts.requests);
        let acknowledged = counts.acknowledged_requests;
        let missing = counts.requests - acknowledged;
        if hidden {
            info!(
                requests = counts.requests,
                acknowledged,
                rate_per_s = self.rate_per_s.round(),
                waiting = simulation.waiting(),
                situation = situation(simulation, now),
                "simulating"
            );
            return;
        }
        self.bar.set_message(format!(
            "{} webhooks · {:.0}/s · {} not acknowledged · {}",
            HumanCount(counts.requests),
            self.rate_per_s,
            HumanCount(missing),
            situation(simulation, now),
        ));
        self.bar.tick();
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn situation(simulation: &Simulation, now: UnixMillis) -> String {
    if let Some(incident) = simulation.incident() {
        let left = incident.until.since(now).as_secs();
        return format!("{} {}: {} ({left} s left)", incident.dimension, incident.affected, incident.effect);
    }
    match simulation.next_incident(now) {
        Some(next) => format!("all is well; next incident in {} s", next.since(now).as_secs()),
        None => "all is well".to_owned(),
    }
}
