//! When the next request is to be sent.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: each connection sends its next request when the last one is answered. It measures rates; its
    /// latencies hide whatever the server does while nobody is allowed to ask.
    FlatOut,
    /// Open loop: so many requests a second are due, answered or not, and latency counts from the instant a request
    /// was due. A server that stalls is charged with every request it kept waiting.
    PerSecond(f64),
}

/// Hands out the instants at which requests are due.
#[derive(Debug)]
pub(super) struct Slots {
    pace: Pace,
    start: Instant,
    end: Instant,
    /// Open loop: one permit per slot that is due.
    due: Arc<Semaphore>,
    taken: Cell<u64>,
    total: u64,
}

impl Slots {
    /// Slots from `start` to `end` for `connections` takers.
    ///
    /// In the open loop a thread of its own releases them: the async timer rounds up to a millisecond, which is more
    /// than a good server takes to answer; a sleeping thread wakes within about 0.1 ms.
    pub(super) fn begin(
        pace: Pace,
        start: Instant,
        length: Duration,
        connections: usize,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let due = Arc::new(Semaphore::new(0));
        let total = match pace {
            Pace::FlatOut => 0,
            Pace::PerSecond(rate) => slots_in(rate, length),
        };
        let slots =
            Self { pace, start, end: start + length, due: Arc::clone(&due), taken: Cell::new(0), total };
        if let Pace::PerSecond(rate) = pace {
            let release = move || release(rate, start, total, connections, &due, &stop);
            std::thread::Builder::new().name("load-pace".to_owned()).spawn(release)?;
        }
        Ok(slots)
    }

    /// The instant from which the next request counts; `None` when there is none left.
    pub(super) async fn next(&self) -> Option<Instant> {
        let Pace::PerSecond(rate) = self.pace else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        self.due.acquire().await.ok()?.forget();
        let slot = self.taken.get();
        if slot >= self.total {
            return None;
        }
        self.taken.set(slot + 1);
        Some(slot_at(self.start, rate, slot))
    }

    /// Slots that were due and never taken.
    pub(super) fn left(&self) -> u64 {
        self.total - self.taken.get()
    }
}

fn slots_in(rate: f64, length: Duration) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rate and length are positive"
    )]
    let slots = (rate * length.as_secs_f64()).floor() as u64;
    slots
}

fn slot_at(start: Instant, rate: f64, slot: u64) -> Instant {
    start + Duration::from_secs_f64(slot as f64 / rate)
}

fn release(rate: f64, start: Instant, total: u64, takers: usize, due: &Semaphore, stop: &CancellationToken) {
    let mut released = 0;
    while released < total && !stop.is_cancelled() {
        let due_now = slots_in(rate, start.elapsed()).saturating_add(1).min(total);
        due.add_permits(usize::try_from(due_now - released).unwrap_or(0));
        released = due_now;
        std::thread::sleep(slot_at(start, rate, released).saturating_duration_since(Instant::now()));
    }
    // Every taker learns that there is nothing left.
    due.add_permits(takers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_hands_out_every_slot_at_its_own_instant() {
        let start = Instant::now();
        let (rate, length) = (2_000.0, Duration::from_millis(50));
        let slots = Slots::begin(Pace::PerSecond(rate), start, length, 1, CancellationToken::new()).unwrap();
        let mut instants = Vec::new();
        while let Some(at) = slots.next().await {
            assert!(at <= Instant::now(), "handed out before it was due");
            instants.push(at - start);
        }
        assert_eq!(instants.len(), 100);
        assert_eq!(instants[99], Duration::from_secs_f64(99.0 / rate));
        assert_eq!(slots.left(), 0);
    }

    #[tokio::test]
    async fn a_stopped_open_loop_wakes_every_taker() {
        let stop = CancellationToken::new();
        stop.cancel();
        let length = Duration::from_hours(1);
        let slots = Slots::begin(Pace::PerSecond(1.0), Instant::now(), length, 2, stop.clone()).unwrap();
        // The permits of the stop hand out slots; a taker looks at the stop before it sends.
        assert!(slots.next().await.is_some() && slots.next().await.is_some());
    }
}
