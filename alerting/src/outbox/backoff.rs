//! When to try again.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// Pauses after the first, second, … failed attempt, in seconds; the last one repeats.
const PAUSES_S: [u64; 6] = [1, 2, 5, 10, 20, 30];
/// A message that has waited this long is not urgent any more.
const PATIENT_AFTER: Duration = Duration::from_secs(15 * 60);
const PATIENT_PAUSE: Duration = Duration::from_secs(300);

/// The pause after `attempts` failed attempts of a message that is `age` old: 1, 2, 5, 10, 20, 30, 30, … seconds,
/// and five minutes once it is a quarter of an hour old; each ±20%, so that channels do not beat in time.
pub fn backoff(attempts: u32, age: Duration, rng: &mut impl Rng) -> Duration {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES_S.len() - 1);
    let pause = match PAUSES_S.get(index) {
        _ if age >= PATIENT_AFTER => PATIENT_PAUSE,
        Some(seconds) => Duration::from_secs(*seconds),
        None => PATIENT_PAUSE,
    };
    pause.mul_f64(rng.random_range(0.8..1.2))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_then_to_five() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (attempts, seconds) in [(1, 1.0), (2, 2.0), (3, 5.0), (4, 10.0), (5, 20.0), (6, 30.0), (60, 30.0)]
        {
            let pause = backoff(attempts, Duration::ZERO, &mut rng).as_secs_f64();
            assert!((seconds * 0.8..seconds * 1.2).contains(&pause), "{attempts}: {pause}");
        }
        let patient = backoff(60, Duration::from_secs(1_000), &mut rng).as_secs_f64();
        assert!((240.0..360.0).contains(&patient), "{patient}");
    }
}
