//! A source's own limits, so that one source's flood cannot starve another: a rate (token bucket) and a number of
//! requests worked on at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use payments::UnixMillis;

/// The limits of one source.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None` is no limit.
    bucket: Option<Mutex<TokenBucket>>,
    in_flight: AtomicU32,
    in_flight_max: u32,
}

/// A place among the requests worked on at once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Over the rate.
    RateLimited,
    /// Too many at once.
    Busy,
}

impl Admission {
    pub(crate) fn new(requests_per_second_max: u32, requests_in_flight_max: u32) -> Self {
        let bucket =
            (requests_per_second_max > 0).then(|| Mutex::new(TokenBucket::full(requests_per_second_max)));
        Self { bucket, in_flight: AtomicU32::new(0), in_flight_max: requests_in_flight_max }
    }

    /// Admits one request at `now`, or says why not.
    pub(crate) fn admit(&self, now: UnixMillis) -> Result<Place<'_>, Refusal> {
        if let Some(bucket) = &self.bucket
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
        {
            return Err(Refusal::RateLimited);
        }
        if self.in_flight.fetch_add(1, Ordering::Acquire) >= self.in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Release);
            return Err(Refusal::Busy);
        }
        Ok(Place(&self.in_flight))
    }
}

/// Refills continuously at the rate; holds one second's worth, so that a burst of that size passes at once.
#[derive(Debug)]
struct TokenBucket {
    per_second: u32,
    tokens: f64,
    refilled_at: Option<UnixMillis>,
}

impl TokenBucket {
    fn full(per_second: u32) -> Self {
        Self { per_second, tokens: f64::from(per_second), refilled_at: None }
    }

    fn take(&mut self, now: UnixMillis) -> bool {
        let rate = f64::from(self.per_second);
        let elapsed = self.refilled_at.map_or(0.0, |at| now.since(at).as_secs_f64());
        self.tokens = (self.tokens + elapsed * rate).min(rate);
        self.refilled_at = Some(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_passes_at_once_and_then_the_rate_holds() {
        let admission = Admission::new(10, 1_000);
        let admitted = |millis| admission.admit(UnixMillis(millis)).is_ok();
        assert_eq!((0..50).filter(|_| admitted(0)).count(), 10);
        assert_eq!((0..50).filter(|_| admitted(500)).count(), 5);
        assert_eq!((0..50).filter(|_| admitted(100_000)).count(), 10);
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_tokens() {
        let admission = Admission::new(1, 1_000);
        assert!(admission.admit(UnixMillis(1_000)).is_ok());
        assert_eq!(admission.admit(UnixMillis(0)).unwrap_err(), Refusal::RateLimited);
    }

    #[test]
    fn places_are_given_back() {
        let admission = Admission::new(0, 1);
        let place = admission.admit(UnixMillis(0)).unwrap();
        assert_eq!(admission.admit(UnixMillis(0)).unwrap_err(), Refusal::Busy);
        drop(place);
        assert!(admission.admit(UnixMillis(0)).is_ok());
    }
}
