//! What a consumer holds as long as one connection lasts: what was not acknowledged on it is delivered again on the next.

use super::inbox::Inbox;
use super::isolation::Fate;
use super::mover::Mover;
use super::moves::{Moves, Origin};
use super::session::{BrokerError, Message, Session};
use super::task::Task;
use super::topology::Topology;
use super::unacked::Unacked;
use crate::{Batch, BatchLimits, Delivery, Position};
use bytes::Bytes;
use lapin::message::Delivery as Delivered;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long the lanes wait for what came back alone and is taken out of the way; a broker may take nothing for hours.
const MOVED_WITHIN: Duration = Duration::from_secs(5);

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
    /// What is taken out of the way, while the rest goes on.
    moves: Moves,
}

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

#[derive(Debug)]
enum Done {
    Got(Option<Box<Delivered>>),
    Consuming(Vec<lapin::Consumer>),
}

/// What has changed.
enum News {
    Moved(Origin),
    Done(Done),
    Delivered(Message),
    Due,
}

impl Connected {
    pub(super) fn new(session: Session, mover: Mover) -> Self {
        let channels = session.channels();
        Self {
            session,
            phase: Phase::CameBack,
            inbox: Inbox::new(channels),
            unacked: Unacked::new(channels),
            alone: None,
            work: None,
            moves: Moves::new(mover),
        }
    }

    /// Everything up to `position` is done.
    pub(super) async fn ack(&mut self, position: u64) -> Result<(), BrokerError> {
        for ack in self.unacked.done(position) {
            self.session.ack_channel(ack.channel).ack(ack.tag, ack.multiple).await?;
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
    ) -> Result<(), BrokerError> {
        let is_waiting = self.is_waiting_for_an_ack();
        if !is_waiting {
            self.begin_work();
        }
        let is_open = self.phase == Phase::Open && !is_waiting;
        let due = if is_waiting { None } else { self.due(limits) };
        let news = tokio::select! {
            biased;
            moved = self.moves.next() => News::Moved(moved?),
            done = result(&mut self.work), if self.work.is_some() => News::Done(done?),
            message = self.session.next(), if is_open => News::Delivered(message?),
            () = until(due), if due.is_some() => News::Due,
        };
        match news {
            News::Moved(of) => self.unacked.release(of),
            News::Done(done) => {
                self.work = None;
                if let Some(message) = self.finish(done) {
                    self.take_in(message, topology);
                }
            }
            News::Delivered(message) => self.take_in(message, topology),
            News::Due => {}
        }
        Ok(())
    }

    fn take_in(&mut self, message: Message, topology: &Topology) {
        let Message { channel, tag, delivered } = message;
        match delivered.fate(topology) {
            Fate::Process(records) if channel == self.session.alone() => self.alone = Some((tag, records)),
            Fate::Process(records) => self.inbox.push(channel, tag, records),
            Fate::Move(moved) => {
                tracing::warn!(to = moved.to, reason = moved.reason, "a message is taken out of the way");
                let of = Origin { channel, tag };
                self.unacked.hold(of);
                self.moves.push(of, moved, self.session.ack_channel(channel));
            }
        }
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

    /// What leads to the next phase, if it is not under way.
    fn begin_work(&mut self) {
        if self.work.is_some() {
            return;
        }
        if let Phase::CameBack = self.phase
            && let Some(since) = self.moves.since()
        {
            if since + MOVED_WITHIN > Instant::now() {
                return;
            }
            self.phase = Phase::Clean;
        }
        match self.phase {
            Phase::CameBack => {
                let got = self.session.get_alone();
                self.work = Some(Task::spawn(async { Ok(Done::Got(got.await?.map(Box::new))) }));
            }
            Phase::Clean => {
                let consuming = self.session.consume();
                self.work = Some(Task::spawn(async { Ok(Done::Consuming(consuming.await?)) }));
            }
            Phase::Open => {}
        }
    }

    /// When to look again, if nothing comes.
    fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        match self.phase {
            Phase::CameBack => self.moves.since().map(|since| since + MOVED_WITHIN),
            Phase::Clean => None,
            Phase::Open => self.inbox.since().map(|since| since + limits.linger),
        }
    }

    /// What is taken alone waits for all else, and all else for it.
    fn is_waiting_for_an_ack(&self) -> bool {
        self.unacked.in_hands(self.session.alone()) > 0 || (self.alone.is_some() && !self.unacked.is_empty())
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

/// What comes of work that there is.
async fn result(work: &mut Option<Task<Done>>) -> Result<Done, BrokerError> {
    match work {
        Some(work) => work.result().await,
        None => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
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
