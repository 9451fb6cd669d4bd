//! When a provider posts: late, sometimes twice, and again until it is acknowledged.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, LogNormal};

use crate::world::{duration_ms, lognormal};

/// How providers deliver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
    /// Multiplies every delay between an event and its first delivery; 0 posts at once.
    pub delay_scale: f64,
    /// Share of events that are delivered twice.
    pub duplicate_share: f64,
    /// Share of events that come so late that later ones overtake them.
    pub out_of_order_share: f64,
    /// Pause after the first delivery that was not acknowledged; doubles each time.
    pub retry_delay: Duration,
    /// Longest pause.
    pub retry_delay_max: Duration,
    /// A provider waits this long for an answer.
    pub request_timeout: Duration,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            delay_scale: 1.0,
            duplicate_share: 0.005,
            out_of_order_share: 0.002,
            retry_delay: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// Half of all webhooks arrive within this time.
const DELAY_MEDIAN_MS: f64 = 1_500.0;
/// ln(20 s / 1.5 s) / 2.326: one in a hundred takes longer than 20 s.
const DELAY_SIGMA: f64 = 1.113_6;
/// A webhook that is overtaken is late by up to this much more.
const OVERTAKEN_MS: std::ops::Range<u64> = 10_000..40_000;
/// No delay is longer, however the dice fall.
const DELAY_MS_MAX: f64 = 90_000.0;

/// Draws delays.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    config: ScheduleConfig,
    delay: LogNormal<f64>,
    rng: ChaCha8Rng,
}

impl Schedule {
    pub(crate) fn new(config: ScheduleConfig, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The world draws from the streams counted from 0.
        rng.set_stream(u64::MAX);
        Self { config, delay: lognormal(DELAY_MEDIAN_MS, DELAY_SIGMA), rng }
    }

    /// Between an event and its first delivery.
    pub(crate) fn delay(&mut self) -> Duration {
        let usual = f64::from(duration_ms(self.delay.sample(&mut self.rng), DELAY_MS_MAX));
        let overtaken = self.rng.random_bool(share(self.config.out_of_order_share));
        let extra = if overtaken { self.rng.random_range(OVERTAKEN_MS) } else { 0 };
        self.scaled(usual + extra as f64)
    }

    /// Between the first delivery and a second one of the same event, if there is one.
    pub(crate) fn duplicate_after(&mut self) -> Option<Duration> {
        let twice = self.rng.random_bool(share(self.config.duplicate_share));
        let after = f64::from(duration_ms(self.delay.sample(&mut self.rng), DELAY_MS_MAX));
        twice.then(|| self.scaled(after))
    }

    /// Before attempt `attempt + 1`: doubled each time up to the longest pause, between half and all of it, so that
    /// what failed together is not sent again together.
    pub(crate) fn retry_after(&mut self, attempt: u32) -> Duration {
        let doubled = self.config.retry_delay.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        doubled.min(self.config.retry_delay_max).mul_f64(self.rng.random_range(0.5..=1.0))
    }

    fn scaled(&self, ms: f64) -> Duration {
        Duration::from_millis(u64::from(duration_ms(ms * self.config.delay_scale, 600_000.0)))
    }
}

/// A share as a probability, whatever was configured.
fn share(configured: f64) -> f64 {
    if configured.is_finite() { configured.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(config: ScheduleConfig) -> Vec<Duration> {
        let mut schedule = Schedule::new(config, 1);
        let mut delays: Vec<Duration> = (0..20_000).map(|_| schedule.delay()).collect();
        delays.sort_unstable();
        delays
    }

    #[test]
    fn delays_have_their_median_and_their_tail() {
        let delays = delays(ScheduleConfig::default());
        let (median, p99) = (delays[10_000].as_secs_f64(), delays[19_800].as_secs_f64());
        assert!((1.4..1.6).contains(&median), "{median}");
        assert!((16.0..26.0).contains(&p99), "{p99}");
    }

    #[test]
    fn without_scale_everything_is_posted_at_once() {
        let delays = delays(ScheduleConfig { delay_scale: 0.0, ..ScheduleConfig::default() });
        assert_eq!(delays.last(), Some(&Duration::ZERO));
    }

    #[test]
    fn the_share_of_duplicates_is_kept() {
        let mut schedule =
            Schedule::new(ScheduleConfig { duplicate_share: 0.05, ..ScheduleConfig::default() }, 1);
        let twice = (0..20_000).filter(|_| schedule.duplicate_after().is_some()).count();
        assert!((850..1_150).contains(&twice), "{twice}");
    }

    #[test]
    fn pauses_between_retries_double_up_to_a_bound() {
        let mut schedule = Schedule::new(ScheduleConfig::default(), 1);
        for (attempt, most) in [(1, 1), (2, 2), (3, 4), (6, 30), (u32::MAX, 30)] {
            let pause = schedule.retry_after(attempt).as_secs_f64();
            assert!((f64::from(most) / 2.0..=f64::from(most)).contains(&pause), "attempt {attempt}: {pause}");
        }
    }
}
