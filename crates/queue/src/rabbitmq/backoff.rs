//! Pauses between attempts to reach a broker.

use rand::RngExt as _;
use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A broker that is back is found soon: an attempt costs next to nothing, and webhooks wait.
///
/// Doubles with each failure; half of each pause is random, so that many clients of one broker that was restarted do
/// not all come at once.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { pause: PAUSE_MIN }
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        pause
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.pause = PAUSE_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_anew() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = std::iter::repeat_with(|| backoff.next()).take(20).collect();
        assert!(pauses[0] >= PAUSE_MIN / 2 && pauses[0] <= PAUSE_MIN, "{pauses:?}");
        assert!(pauses[19] >= PAUSE_MAX / 2 && pauses[19] <= PAUSE_MAX, "{pauses:?}");
        backoff.reset();
        assert!(backoff.next() <= PAUSE_MIN);
    }
}
