//! How far back the charts look, and in which steps.

use payments::UnixMillis;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

const MINUTE_MS: i64 = 60_000;

/// How far back the charts look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantArray)]
pub(crate) enum Window {
    /// 60 steps of a minute.
    #[default]
    #[serde(rename = "60m")]
    Hour,
    /// 72 steps of 5 minutes.
    #[serde(rename = "6h")]
    SixHours,
    /// 96 steps of 15 minutes.
    #[serde(rename = "24h")]
    Day,
}

impl Window {
    /// As it stands in links: `?window=6h`. Anything unknown is the default: a link never fails.
    pub(crate) fn from_name(name: &str) -> Self {
        Self::VARIANTS.iter().copied().find(|window| window.name() == name).unwrap_or_default()
    }

    /// The shortest window that reaches back to `from`: links in pages name an instant. The longest, if none does.
    pub(crate) fn reaching(from: UnixMillis, now: UnixMillis) -> Self {
        Self::VARIANTS.iter().copied().find(|window| window.start(now) <= from).unwrap_or(Self::Day)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "60m",
            Self::SixHours => "6h",
            Self::Day => "24h",
        }
    }

    /// In words: `last 60 minutes`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Hour => "last 60 minutes",
            Self::SixHours => "last 6 hours",
            Self::Day => "last 24 hours",
        }
    }

    pub(crate) fn step_ms(self) -> i64 {
        match self {
            Self::Hour => MINUTE_MS,
            Self::SixHours => 5 * MINUTE_MS,
            Self::Day => 15 * MINUTE_MS,
        }
    }

    pub(crate) fn steps(self) -> usize {
        match self {
            Self::Hour => 60,
            Self::SixHours => 72,
            Self::Day => 96,
        }
    }

    /// An answer about it is used again for this long: long windows cost more and change less.
    pub(crate) fn refresh_ms(self) -> i64 {
        match self {
            Self::Hour => 1_500,
            Self::SixHours => 5_000,
            Self::Day => 20_000,
        }
    }

    /// Distance of the time axis's ticks.
    pub(crate) fn tick_ms(self) -> i64 {
        match self {
            Self::Hour => 10 * MINUTE_MS,
            Self::SixHours => 60 * MINUTE_MS,
            Self::Day => 240 * MINUTE_MS,
        }
    }

    /// Start of the first step when `now` is in the last one.
    pub(crate) fn start(self, now: UnixMillis) -> UnixMillis {
        let step = self.step_ms();
        let last = now.0.div_euclid(step) * step;
        UnixMillis(last - step * (i64::try_from(self.steps()).unwrap_or(0) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_holds_now() {
        let now = UnixMillis::from_rfc3339("2026-11-22T03:07:10Z").unwrap();
        for window in Window::VARIANTS {
            let end = window.start(now).0 + window.step_ms() * i64::try_from(window.steps()).unwrap();
            assert!(end > now.0 && end - window.step_ms() <= now.0, "{window:?}");
            assert_eq!(window.start(now).0 % window.step_ms(), 0);
        }
    }

    #[test]
    fn an_unknown_name_is_the_default() {
        assert_eq!(Window::from_name("6h"), Window::SixHours);
        assert_eq!(Window::from_name("'; drop table"), Window::Hour);
    }

    #[test]
    fn a_link_that_names_an_instant_opens_on_a_window_that_shows_it() {
        let now = UnixMillis::from_rfc3339("2026-11-22T03:07:10Z").unwrap();
        let ago = |minutes: i64| Window::reaching(UnixMillis(now.0 - minutes * 60_000), now);
        assert_eq!(
            [ago(30), ago(90), ago(600), ago(6_000)],
            [Window::Hour, Window::SixHours, Window::Day, Window::Day]
        );
    }
}
