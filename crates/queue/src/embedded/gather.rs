//! When a commit begins.
//!
//! An idle log commits a record at once. A busy one gathers: while one commit is on the disk, the
//! next one collects, and on a disk that is faster than the gathering it waits for as many as the
//! last one had, or for so long after that one began as [`Gather::after`] says. A commit costs the
//! processor some 100 to 250 µs however few records it has, so a server at its limit stores more if
//! it commits less often. Who publishes alone, one record after the other, never waits for company.

use std::time::{Duration, Instant};

/// A commit that follows one of several records begins at least this long after it, unless as many are
/// waiting before.
const GATHER_MIN: Duration = Duration::from_millis(1);
/// And at most this long.
const GATHER_MAX: Duration = Duration::from_millis(6);
/// In between it is this long for each record: under less than ten thousand a second, when there is processor
/// time to spare, the answer comes soon; above, it comes cheap.
const GATHER_PER_RECORD: Duration = Duration::from_micros(100);

/// What the next commit waits for.
#[derive(Debug)]
pub(crate) struct Gather {
    /// As many records as this, ...
    pub(super) records: usize,
    /// ... or this time.
    pub(super) until: Instant,
}

impl Gather {
    /// Waits for nothing but a first record.
    pub(crate) fn nothing() -> Self {
        Self { records: 1, until: Instant::now() }
    }

    /// What the commit waits for that follows one of so many records, begun then.
    pub(crate) fn after(records: usize, begun: Instant) -> Self {
        let patience = GATHER_PER_RECORD.saturating_mul(u32::try_from(records).unwrap_or(u32::MAX));
        Self { records, until: begun + patience.clamp(GATHER_MIN, GATHER_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathering_takes_longer_the_more_there_is_to_gather() {
        let begun = Instant::now();
        let patience = |records| (Gather::after(records, begun).until - begun).as_micros();
        assert_eq!([1, 10, 25, 40, 10_000].map(patience), [1_000, 1_000, 2_500, 4_000, 6_000]);
    }
}
