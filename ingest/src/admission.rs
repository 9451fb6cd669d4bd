//! A source's own limits, so that one source's flood cannot starve another: a rate (token bucket), a number of
//! requests worked on at once, and a share of the memory for bodies.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use payments::UnixMillis;

/// The limits of one source.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None` is no limit.
    bucket: Option<Mutex<TokenBucket>>,
    in_flight: AtomicU32,
    limits: Limits,
    /// Bytes of bodies being read and written.
    body_bytes: AtomicUsize,
}

/// What one source may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// 0 is no limit.
    pub(crate) requests_per_second_max: u32,
    pub(crate) requests_in_flight_max: u32,
    /// Its own share: what others do leaves it alone.
    pub(crate) body_bytes_max: usize,
}

/// A place among the requests worked on at once, and memory for its body; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    admission: &'a Admission,
    body_bytes: usize,
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
    pub(crate) fn new(limits: Limits) -> Self {
        let per_second = limits.requests_per_second_max;
        let bucket = (per_second > 0).then(|| Mutex::new(TokenBucket::full(per_second)));
        Self { bucket, in_flight: AtomicU32::new(0), limits, body_bytes: AtomicUsize::new(0) }
    }

    /// Admits one request at `now`, or says why not.
    pub(crate) fn admit(&self, now: UnixMillis) -> Result<Place<'_>, Refusal> {
        if let Some(bucket) = &self.bucket
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
        {
            return Err(Refusal::RateLimited);
        }
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.limits.requests_in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Busy);
        }
        Ok(Place { admission: self, body_bytes: 0 })
    }
}

impl Place<'_> {
    /// Takes memory for this many more bytes of its body; `false` if the source's share is used up.
    #[must_use]
    pub(crate) fn hold_body(&mut self, bytes: usize) -> bool {
        let held = self.admission.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.body_bytes += bytes;
        held + bytes <= self.admission.limits.body_bytes_max
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.admission.body_bytes.fetch_sub(self.body_bytes, Ordering::Relaxed);
        self.admission.in_flight.fetch_sub(1, Ordering::Relaxed);
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

    fn admission(requests_per_second_max: u32, requests_in_flight_max: u32) -> Admission {
        Admission::new(Limits { requests_per_second_max, requests_in_flight_max, body_bytes_max: 100 })
    }

    #[test]
    fn a_second_s_worth_passes_at_once_and_then_the_rate_holds() {
        let admission = admission(10, 1_000);
        let admitted = |millis| admission.admit(UnixMillis(millis)).is_ok();
        assert_eq!((0..50).filter(|_| admitted(0)).count(), 10);
        assert_eq!((0..50).filter(|_| admitted(500)).count(), 5);
        assert_eq!((0..50).filter(|_| admitted(100_000)).count(), 10);
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_tokens() {
        let admission = admission(1, 1_000);
        assert!(admission.admit(UnixMillis(1_000)).is_ok());
        assert_eq!(admission.admit(UnixMillis(0)).unwrap_err(), Refusal::RateLimited);
    }

    #[test]
    fn places_are_given_back() {
        let admission = admission(0, 1);
        let place = admission.admit(UnixMillis(0)).unwrap();
        assert_eq!(admission.admit(UnixMillis(0)).unwrap_err(), Refusal::Busy);
        drop(place);
        assert!(admission.admit(UnixMillis(0)).is_ok());
    }

    #[test]
    fn memory_for_bodies_is_bounded_and_given_back_also_after_a_refusal() {
        let admission = admission(0, 1_000);
        let mut first = admission.admit(UnixMillis(0)).unwrap();
        assert!(first.hold_body(60));
        let mut second = admission.admit(UnixMillis(0)).unwrap();
        assert!(!second.hold_body(60));
        drop(second);
        let mut third = admission.admit(UnixMillis(0)).unwrap();
        assert!(third.hold_body(40));
        drop((first, third));
        assert!(admission.admit(UnixMillis(0)).unwrap().hold_body(100));
    }
}
