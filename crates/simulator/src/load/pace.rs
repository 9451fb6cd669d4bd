//! When the next request is to be sent.

mod timer;

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::timer::Timer;

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
    due: Semaphore,
    taken: Cell<u64>,
    total: u64,
}

impl Slots {
    /// Slots from `start`, for `length`.
    pub(super) fn new(pace: Pace, start: Instant, length: Duration) -> Self {
        let total = match pace {
            Pace::FlatOut => 0,
            Pace::PerSecond(rate) => slots_in(rate, length),
        };
        Self { pace, start, end: start + length, due: Semaphore::new(0), taken: Cell::new(0), total }
    }

    /// Lets `takers` have the slots of an open loop, each when it is due; ends with the last one or with `stop`.
    pub(super) async fn release(&self, takers: usize, stop: &CancellationToken) -> std::io::Result<()> {
        let Pace::PerSecond(rate) = self.pace else { return Ok(()) };
        let released = self.release_each(rate, stop).await;
        match released {
            // Every taker learns that there is nothing left.
            Ok(()) => self.due.add_permits(takers),
            Err(_) => self.due.close(),
        }
        released
    }

    async fn release_each(&self, rate: f64, stop: &CancellationToken) -> std::io::Result<()> {
        let timer = Timer::new()?;
        let mut released = 0;
        while released < self.total && !stop.is_cancelled() {
            let due_now = slots_in(rate, self.start.elapsed()).saturating_add(1).min(self.total);
            self.due.add_permits(usize::try_from(due_now - released).unwrap_or(0));
            released = due_now;
            tokio::select! {
                slept = timer.sleep_until(slot_at(self.start, rate, released)) => slept?,
                () = stop.cancelled() => {}
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_hands_out_every_slot_at_its_own_instant() {
        let start = Instant::now();
        let (rate, length) = (2_000.0, Duration::from_millis(50));
        let slots = Slots::new(Pace::PerSecond(rate), start, length);
        let take = async {
            let mut instants = Vec::new();
            while let Some(at) = slots.next().await {
                assert!(at <= Instant::now(), "handed out before it was due");
                instants.push(at - start);
            }
            instants
        };
        let stop = CancellationToken::new();
        let (released, instants) = tokio::join!(slots.release(1, &stop), take);
        released.unwrap();
        assert_eq!(instants.len(), 100);
        assert_eq!(instants[99], Duration::from_secs_f64(99.0 / rate));
        assert_eq!(slots.left(), 0);
    }

    #[tokio::test]
    async fn a_stopped_open_loop_wakes_every_taker() {
        let stop = CancellationToken::new();
        let slots = Slots::new(Pace::PerSecond(0.1), Instant::now(), Duration::from_hours(1));
        let take = async {
            // The first slot is due at once. The permits of the stop hand out slots too: a taker looks at the stop
            // before it sends.
            slots.next().await;
            stop.cancel();
            slots.next().await;
            slots.next().await;
        };
        let (released, ()) = tokio::join!(slots.release(2, &stop), take);
        released.unwrap();
    }
}
