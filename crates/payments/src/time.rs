//! Points in time: milliseconds since 1970-01-01T00:00:00 UTC.

use std::fmt;
use std::time::Duration;

/// A point in time, in milliseconds since the Unix epoch, UTC. ClickHouse stores it as `DateTime64(3, 'UTC')`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Earliest and latest instants kept (1970-01-01 to 2200-01-01): a provider's clock outside of this is nonsense,
    /// and ClickHouse's `DateTime64` cannot hold much more.
    pub const MAX: Self = Self(7_258_118_400_000);

    /// From whole seconds since the epoch; out-of-range values are clamped to `0..=MAX`.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000).clamp(0, Self::MAX.0))
    }

    /// From RFC 3339 / ISO 8601 with an offset or `Z` (`2019-11-20T14:35:36+01:00`, up to nanoseconds).
    pub fn from_rfc3339(text: &str) -> Result<Self, ParseTimeError> {
        let parsed: jiff::Timestamp = text
            .trim()
            .parse()
            .map_err(|source| ParseTimeError { text: text.chars().take(40).collect(), source })?;
        Ok(Self(parsed.as_millisecond().clamp(0, Self::MAX.0)))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The start of this instant's UTC minute.
    #[must_use]
    pub fn minute(self) -> Self {
        Self(self.0.div_euclid(60_000) * 60_000)
    }

    /// `self - earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant minus `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 with milliseconds, UTC: `2026-11-22T03:07:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{} ms since the epoch", self.0),
        }
    }
}

/// A text that is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time")]
pub struct ParseTimeError {
    text: String,
    #[source]
    source: jiff::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_fractions_become_utc_milliseconds() {
        let parsed = UnixMillis::from_rfc3339("2019-11-20T14:35:36.121+01:00").unwrap();
        assert_eq!(parsed.to_string(), "2019-11-20T13:35:36.121Z");
        assert_eq!(UnixMillis::from_rfc3339("2023-07-21T10:03:07.1555904Z").unwrap().0 % 1000, 155);
    }

    #[test]
    fn nonsense_is_an_error_that_shows_a_bounded_part_of_it() {
        let error = UnixMillis::from_rfc3339(&"x".repeat(10_000)).unwrap_err();
        assert!(error.to_string().len() < 100);
    }

    #[test]
    fn seconds_are_clamped_into_what_the_store_can_hold() {
        assert_eq!(UnixMillis::from_seconds(-5), UnixMillis(0));
        assert_eq!(UnixMillis::from_seconds(i64::MAX), UnixMillis::MAX);
    }
}
