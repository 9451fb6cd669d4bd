//! From values to heights, with ticks at round numbers.

/// A range of values with its ticks, lowest first. Invariant: `low < high`, both finite.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    pub(crate) ticks: Vec<f64>,
}

/// A range of shares is at least this high: noise must not look like an outage.
const SHARE_SPAN_MIN: f64 = 0.04;

impl Scale {
    /// Of shares between 0 and 1: as narrow as the values allow, so that two points of approval rate can be seen.
    pub(crate) fn of_shares(values: impl Iterator<Item = f64>) -> Self {
        let (lowest, highest) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if lowest > highest {
            return Self::with_step(0.0, 1.0, 0.5);
        }
        let (lowest, highest) = (lowest.clamp(0.0, 1.0), highest.clamp(0.0, 1.0));
        let missing = (SHARE_SPAN_MIN - (highest - lowest)).max(0.0) / 2.0;
        let top = (highest + missing).min(1.0);
        let bottom = (lowest - missing).min(top - SHARE_SPAN_MIN).max(0.0).min(lowest);
        let top = top.max(bottom + SHARE_SPAN_MIN);
        for step in [0.01, 0.02, 0.05, 0.1, 0.2] {
            let scale = Self::with_step(bottom, top, step);
            if scale.ticks.len() <= 5 {
                return scale;
            }
        }
        Self::with_step(bottom, top, 0.25)
    }

    /// From zero to at least `most`.
    pub(crate) fn from_zero(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let magnitude = 10_f64.powf((most / 5.0).log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * magnitude * 5.0 >= most);
        Self::with_step(0.0, most, factor.unwrap_or(10.0) * magnitude)
    }

    fn with_step(bottom: f64, top: f64, step: f64) -> Self {
        // A value that stands on a tick, but for rounding, does not open another interval.
        let first = (bottom / step + 1e-9).floor();
        let last = (top / step - 1e-9).ceil().max(first + 1.0);
        let mut ticks = Vec::new();
        let mut at = first;
        while at <= last && ticks.len() < 8 {
            ticks.push(at * step);
            at += 1.0;
        }
        let (low, high) = (first * step, last * step);
        if low.is_finite() && high.is_finite() && low < high {
            Self { low, high, ticks }
        } else {
            Self { low: 0.0, high: 1.0, ticks: vec![0.0, 1.0] }
        }
    }

    /// Distance from the top of a plot that is `height` high; values outside stay at its edges.
    pub(crate) fn y(&self, value: f64, height: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        if part.is_finite() { height * (1.0 - part) } else { height }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(scale: &Scale) -> Vec<String> {
        scale.ticks.iter().map(|tick| format!("{tick:.2}")).collect()
    }

    #[test]
    fn ticks_stand_at_round_numbers() {
        assert_eq!(
            shown(&Scale::of_shares([0.86, 0.93].into_iter())),
            ["0.86", "0.88", "0.90", "0.92", "0.94"]
        );
        assert_eq!(
            shown(&Scale::of_shares([0.31, 0.93].into_iter())),
            ["0.20", "0.40", "0.60", "0.80", "1.00"]
        );
        assert_eq!(
            shown(&Scale::from_zero(843.0)),
            ["0.00", "200.00", "400.00", "600.00", "800.00", "1000.00"]
        );
        assert_eq!(shown(&Scale::from_zero(120.0)), ["0.00", "50.00", "100.00", "150.00"]);
    }

    #[test]
    fn noise_does_not_fill_the_chart() {
        let scale = Scale::of_shares([0.912, 0.913].into_iter());
        assert!(scale.high - scale.low >= SHARE_SPAN_MIN);
        assert_eq!(shown(&Scale::of_shares([1.0].into_iter())).last().unwrap(), "1.00");
        assert_eq!(shown(&Scale::of_shares([0.0].into_iter())).first().unwrap(), "0.00");
    }

    #[test]
    fn no_values_have_a_scale_too() {
        assert_eq!(shown(&Scale::of_shares(std::iter::empty())), ["0.00", "0.50", "1.00"]);
        assert_eq!(shown(&Scale::from_zero(0.0)).last().unwrap(), "1.00");
    }

    proptest! {
        #[test]
        fn every_value_lies_on_the_plot(values in proptest::collection::vec(0.0..=1.0_f64, 0..20)) {
            let scale = Scale::of_shares(values.iter().copied());
            prop_assert!((2..=6).contains(&scale.ticks.len()), "{scale:?}");
            for value in values {
                prop_assert!(scale.low <= value + 1e-9 && value <= scale.high + 1e-9, "{value} {scale:?}");
                prop_assert!((0.0..=100.0).contains(&scale.y(value, 100.0)));
            }
        }

        #[test]
        fn any_volume_has_a_scale(most in proptest::num::f64::ANY) {
            let scale = Scale::from_zero(most);
            prop_assert!(scale.low < scale.high && scale.ticks.len() >= 2, "{scale:?}");
            prop_assert!(scale.y(most, 100.0).is_finite());
        }
    }
}
