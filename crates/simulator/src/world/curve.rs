//! How busy the hours of a day and the days of a week are.

use payments::UnixMillis;

/// Orders per hour of the day (UTC), relative to their mean: groceries are ordered at noon and after work.
const HOURS: [f64; 24] = [
    0.45, 0.32, 0.25, 0.22, 0.24, 0.34, 0.55, 0.82, 1.05, 1.20, 1.32, 1.38, 1.35, 1.22, 1.15, 1.18, 1.35,
    1.62, 1.78, 1.70, 1.45, 1.16, 0.88, 0.62,
];

/// Orders per day of the week from Monday, relative to their mean.
const DAYS: [f64; 7] = [0.98, 0.92, 0.92, 0.96, 1.08, 1.10, 1.04];

/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 3;

const HOUR_MS: i64 = 3_600_000;

/// Demand at `at`, relative to the weekly mean; continuous within a day.
pub fn demand(at: UnixMillis) -> f64 {
    let hours = at.0.div_euclid(HOUR_MS);
    let within = at.0.rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64;
    let hour_of = |hours: i64| HOURS[usize::try_from(hours.rem_euclid(24)).unwrap_or(0)];
    let level = hour_of(hours) * (1.0 - within) + hour_of(hours + 1) * within;
    let weekday = (hours.div_euclid(24) + EPOCH_WEEKDAY).rem_euclid(7);
    level * DAYS[usize::try_from(weekday).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenings_are_busier_than_nights_and_the_mean_is_one() {
        let at = |text: &str| demand(UnixMillis::from_rfc3339(text).unwrap());
        assert!(at("2026-11-20T18:00:00Z") > 6.0 * at("2026-11-20T03:00:00Z"));
        let week = (0..7 * 24 * 4).map(|quarter| demand(UnixMillis(quarter * HOUR_MS / 4)));
        let mean = week.sum::<f64>() / (7.0 * 24.0 * 4.0);
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
