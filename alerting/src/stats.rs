//! The statistics behind a rule, pure: an interval for small counts, and where a change began.

/// Lower end of Wilson's score interval for `failures` of `attempts` at `z` standard deviations: the share that the
/// counts prove, however few they are. 0 without attempts. (Wilson 1927; Brown, Cai, DasGupta 2001.)
pub fn wilson_lower(failures: u64, attempts: u64, z: f64) -> f64 {
    wilson(failures, attempts, z, -1.0)
}

/// Upper end of the same interval; 1 without attempts.
pub fn wilson_upper(failures: u64, attempts: u64, z: f64) -> f64 {
    wilson(failures, attempts, z, 1.0)
}

fn wilson(failures: u64, attempts: u64, z: f64, side: f64) -> f64 {
    if attempts == 0 {
        return if side < 0.0 { 0.0 } else { 1.0 };
    }
    let n = attempts as f64;
    let share = failures as f64 / n;
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre + side * spread) / (1.0 + z2 / n)).clamp(0.0, 1.0)
}

/// Attempts of one minute, and how many of them count as failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts.
    pub attempts: u64,
    /// Of which failures.
    pub failures: u64,
}

impl Counts {
    /// Failures as a share of attempts; `None` without attempts.
    pub fn share(self) -> Option<f64> {
        (self.attempts > 0).then(|| self.failures as f64 / self.attempts as f64)
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            attempts: sum.attempts + one.attempts,
            failures: sum.failures + one.failures,
        })
    }
}

/// Index of the minute in which the share of failures left `usual` for `now`: the first one after the last zero of
/// Page's cumulative sum over the log-likelihood ratio. `None` when no minute speaks for the change.
///
/// The alternative is half-way between both shares, so that a minute counts that was bad only in part.
pub fn onset(minutes: &[Counts], usual: f64, now: f64) -> Option<usize> {
    // Invariant: both shares stay inside (0, 1), so that no logarithm is infinite.
    let usual = usual.clamp(0.001, 0.998);
    let now = f64::midpoint(usual, now).clamp(usual + 0.001, 0.999);
    let (failure, success) = ((now / usual).ln(), ((1.0 - now) / (1.0 - usual)).ln());
    let mut sum = 0.0;
    let mut began = None;
    for (index, minute) in minutes.iter().enumerate() {
        if minute.attempts == 0 {
            continue;
        }
        let successes = minute.attempts.saturating_sub(minute.failures);
        sum += failure * minute.failures as f64 + success * successes as f64;
        if sum <= 0.0 {
            sum = 0.0;
            began = None;
        } else if began.is_none() {
            began = Some(index);
        }
    }
    began
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_of_ten_prove_less_than_a_hundred_of_a_hundred() {
        assert!(wilson_lower(10, 10, 3.29) < 0.5);
        assert!(wilson_lower(100, 100, 3.29) > 0.9);
        assert!((wilson_lower(61, 100, 1.96) - 0.512).abs() < 0.002);
        assert!((wilson_upper(61, 100, 1.96) - 0.700).abs() < 0.002);
    }

    #[test]
    fn the_onset_is_the_minute_of_the_change() {
        let usual = Counts { attempts: 60, failures: 7 };
        let mut minutes = vec![usual; 60];
        minutes.push(Counts { attempts: 60, failures: 25 });
        minutes.extend([Counts { attempts: 60, failures: 54 }; 2]);
        assert_eq!(onset(&minutes, 0.12, 0.9), Some(60));
        assert_eq!(onset(&[usual; 60], 0.12, 0.9), None);
    }

    #[test]
    fn empty_minutes_move_nothing() {
        let mut minutes = vec![Counts { attempts: 10, failures: 1 }, Counts { attempts: 10, failures: 9 }];
        minutes.extend([Counts::default(); 10]);
        assert_eq!(onset(&minutes, 0.1, 0.9), Some(1));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share_and_stays_between_0_and_1(
            attempts in 0_u64..1_000_000, part in 0.0..=1.0_f64, z in 0.0..6.0_f64,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of attempts")]
            let failures = (attempts as f64 * part) as u64;
            let (low, high) = (wilson_lower(failures, attempts, z), wilson_upper(failures, attempts, z));
            let share = if attempts == 0 { 0.5 } else { failures as f64 / attempts as f64 };
            prop_assert!(0.0 <= low && low <= share + 1e-9 && share <= high + 1e-9 && high <= 1.0);
        }

        #[test]
        fn no_series_breaks_the_onset(
            minutes in prop::collection::vec((0_u64..1000, 0_u64..1000), 0..100),
            usual in 0.0..=1.0_f64, now in 0.0..=1.0_f64,
        ) {
            let minutes: Vec<Counts> =
                minutes.into_iter().map(|(attempts, failures)| Counts { attempts, failures }).collect();
            prop_assert!(onset(&minutes, usual, now).is_none_or(|index| index < minutes.len()));
        }
    }
}
