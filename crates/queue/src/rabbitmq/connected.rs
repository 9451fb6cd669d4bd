//! What a consumer holds as long as one connection lasts: what was not acknowledged on it is delivered again on the next.

use super::inbox::Inbox;
use super::isolation::{Fate, Move};
use super::mover::Mover;
use super::session::{BrokerError, Message, Session};
use super::topology::Topology;
use super::unacked::{Ack, Unacked};
use crate::{Batch, BatchLimits, Delivery, Position};
use bytes::Bytes;
use lapin::message::Delivery as Delivered;
use std::future::pending;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(super) struct Connected {
    session: Session,
    phase: Phase,
    inbox: Inbox,
    unacked: Unacked,
    /// To be taken alone, as soon as nothing else is under way: its tag and its records.
    alone: Option<(u64, Vec<Bytes>)>,
    /// What must not be interrupted.
    work: Option<Task<Done>>,
    /// Messages on their way to another queue. They stay unacknowledged until that has them.
    moves: JoinSet<Result<Ack, BrokerError>>,
    /// Until when nothing else is done than to wait for a message on its way.
    moving_until: Option<Instant>,
}

/// A message that is taken out of the way is waited for: should the next end this process, it would come back too. But a
/// broker in need takes nothing in for long, and goes on delivering.
const MOVED_WITHIN: Duration = Duration::from_secs(5);

/// What came back alone is taken before the lanes are: nothing else then comes back with it, should it end this process
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What is to be taken alone may have come back.
    CameBack,
    /// It has not: the lanes may be opened.
    Clean,
    /// Everything is delivered.
    Open,
}

/// A task that is aborted when dropped.
#[derive(Debug)]
pub(super) struct Task<T>(JoinHandle<Result<T, BrokerError>>);

#[derive(Debug)]
enum Done {
    Got(Option<Box<Delivered>>),
    Consuming(Vec<lapin::Consumer>),
}

impl Connected {
    pub(super) fn new(session: Session) -> Self {
        let channels = session.channels();
        Self {
            session,
            phase: Phase::CameBack,
            inbox: Inbox::new(channels),
            unacked: Unacked::new(channels),
            alone: None,
            work: None,
            moves: JoinSet::new(),
            moving_until: None,
        }
    }

    /// Everything up to `position` is done.
    pub(super) async fn ack(&mut self, position: u64) -> Result<(), BrokerError> {
        for ack in self.unacked.done(position) {
            self.session.ack(ack).await?;
        }
        Ok(())
    }

    /// A batch, if one is due; `last_position` grows by its records.
    pub(super) fn take(&mut self, limits: &BatchLimits, last_position: &mut u64) -> Option<Batch> {
        if self.is_waiting_for_an_ack() {
            return None;
        }
        let mut batch = Filling { deliveries: Vec::new(), payload_bytes: 0, last_position };
        if let Some((tag, records)) = self.alone.take() {
            for record in records {
                batch.push(record);
            }
            self.unacked.handed_out(self.session.alone(), tag, *batch.last_position);
            return batch.finish();
        }
        if !self.is_due(limits) {
            return None;
        }
        while batch.deliveries.len() < limits.records_max.max(1)
            && let bytes_left = limits.bytes_max.saturating_sub(batch.payload_bytes)
            && let Some(out) = self.inbox.pop(bytes_left, batch.deliveries.is_empty())
        {
            batch.push(out.record);
            if let Some(tag) = out.done {
                self.unacked.handed_out(out.channel, tag, *batch.last_position);
            }
        }
        batch.finish()
    }

    /// Returns when something has changed, so that it may be asked for a batch again. Nothing is lost if the future is
    /// dropped.
    pub(super) async fn progress(
        &mut self,
        limits: &BatchLimits,
        topology: &Topology,
        mover: &Mover,
    ) -> Result<(), BrokerError> {
        if let Some(until) = self.moving_until {
            tokio::select! {
                moved = moved(&mut self.moves, &mut self.unacked) => moved?,
                () = sleep_until(until) => {
                    tracing::warn!("the broker takes nothing in; what it delivers is processed meanwhile");
                }
            }
            self.moving_until = None;
            return Ok(());
        }
        let message = if let Some(work) = &mut self.work {
            let done = work.result().await?;
            self.work = None;
            self.finish(done)
        } else if self.is_waiting_for_an_ack() {
            return moved(&mut self.moves, &mut self.unacked).await;
        } else {
            self.next(limits).await?
        };
        if let Some(message) = message {
            let Message { channel, tag, delivered } = message;
            match delivered.fate(topology) {
                Fate::Process(records) if channel == self.session.alone() => {
                    self.alone = Some((tag, records));
                }
                Fate::Process(records) => self.inbox.push(channel, tag, records),
                Fate::Move(moved) => {
                    tracing::warn!(to = moved.to, reason = moved.reason, "a message is taken out of the way");
                    self.take_away(channel, tag, moved, mover.clone());
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, done: Done) -> Option<Message> {
        match done {
            Done::Consuming(consumers) => {
                self.session.deliver(consumers);
                self.phase = Phase::Open;
                None
            }
            Done::Got(got) => {
                let message = got.map(|delivery| self.session.message(self.session.alone(), *delivery));
                if message.as_ref().is_none_or(|message| message.delivered.came_back() == 0) {
                    self.phase = Phase::Clean;
                }
                message
            }
        }
    }

    async fn next(&mut self, limits: &BatchLimits) -> Result<Option<Message>, BrokerError> {
        match self.phase {
            Phase::CameBack => {
                let got = self.session.get_alone();
                self.work = Some(Task::spawn(async { Ok(Done::Got(got.await?.map(Box::new))) }));
                Ok(None)
            }
            Phase::Clean => {
                let consuming = self.session.consume();
                self.work = Some(Task::spawn(async { Ok(Done::Consuming(consuming.await?)) }));
                Ok(None)
            }
            Phase::Open => {
                let since = self.inbox.since();
                let due = async {
                    match since {
                        Some(since) => sleep_until(since + limits.linger).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    message = self.session.next() => message.map(Some),
                    () = due => Ok(None),
                    moved = moved(&mut self.moves, &mut self.unacked) => moved.map(|()| None),
                }
            }
        }
    }

    fn take_away(&mut self, channel: usize, tag: u64, moved: Move, mover: Mover) {
        if self.moves.is_empty() {
            self.moving_until = Some(Instant::now() + MOVED_WITHIN);
        }
        self.unacked.moving(channel, tag);
        let ack = Ack { channel, tag, multiple: false };
        let acked = self.session.ack(ack);
        self.moves.spawn(async move {
            mover.publish(moved).await?;
            acked.await?;
            Ok(ack)
        });
    }

    /// What is taken alone waits for all else, and all else for it.
    fn is_waiting_for_an_ack(&self) -> bool {
        self.unacked.of_channel(self.session.alone()) > 0
            || (self.alone.is_some() && !self.unacked.is_empty())
    }

    /// A batch is due when it is full, when its first record has waited long enough, and when half of what the broker
    /// delivers of a lane is here: the other half then comes while this is being stored.
    fn is_due(&self, limits: &BatchLimits) -> bool {
        let Some(since) = self.inbox.since() else { return false };
        let prefetch = usize::from(self.session.prefetch());
        let is_half_here = |lane| {
            let here = self.inbox.of_channel(lane);
            here > 0 && (here * 2 >= prefetch || here + self.unacked.of_channel(lane) >= prefetch)
        };
        self.inbox.is_full(limits)
            || since + limits.linger <= Instant::now()
            || (0..self.session.alone()).any(is_half_here)
    }
}

/// Returns when a message was moved, or could not be.
async fn moved(
    moves: &mut JoinSet<Result<Ack, BrokerError>>,
    unacked: &mut Unacked,
) -> Result<(), BrokerError> {
    let Some(ended) = moves.join_next().await else { return pending().await };
    let Ack { channel, tag, .. } = unwrapped(ended)?;
    unacked.moved(channel, tag);
    Ok(())
}

/// A panic goes on here.
fn unwrapped<T>(ended: Result<Result<T, BrokerError>, JoinError>) -> Result<T, BrokerError> {
    match ended {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(lapin::Error::from(std::io::Error::other(error)).into()),
        },
    }
}

impl<T: Send + 'static> Task<T> {
    #[expect(clippy::disallowed_methods, reason = "it ends with the consumer, which the lifecycle waits for")]
    pub(super) fn spawn(work: impl Future<Output = Result<T, BrokerError>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for it; only once.
    pub(super) async fn result(&mut self) -> Result<T, BrokerError> {
        unwrapped((&mut self.0).await)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Filling<'a> {
    deliveries: Vec<Delivery>,
    payload_bytes: usize,
    last_position: &'a mut u64,
}

impl Filling<'_> {
    fn push(&mut self, payload: Bytes) {
        *self.last_position += 1;
        self.payload_bytes += payload.len();
        self.deliveries.push(Delivery { position: Position(*self.last_position), payload });
    }

    fn finish(self) -> Option<Batch> {
        let through = self.deliveries.last()?.position;
        Some(Batch { deliveries: self.deliveries, payload_bytes: self.payload_bytes, through })
    }
}
