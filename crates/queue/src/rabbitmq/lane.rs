//! What waits to be published to one of the queues: records gather in frames while earlier frames are on their way, so a
//! lone record never waits for company and a crowd travels together.

use super::config::PublishConfig;
use super::frame::FrameWriter;
use crate::PublishError;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// What a publisher is told.
pub(super) type Told = Result<(), PublishError>;

/// The records bound for one queue. Invariant: every record admitted is in `waiting` or in a [`Message`] that was taken,
/// and is counted in `in_flight_*` until its message is [settled](Lane::settle).
#[derive(Debug)]
pub(super) struct Lane {
    /// The queue's name.
    pub(super) queue: Arc<str>,
    limits: Limits,
    state: Mutex<State>,
    /// Tells the sender, of which there is one, that what it wants is here.
    news: Notify,
    /// Told when the last record in flight is settled.
    settled: Notify,
}

#[derive(Clone, Debug)]
struct Limits {
    framing: bool,
    frame_records_max: usize,
    frame_bytes_max: usize,
    in_flight_records_max: usize,
    in_flight_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    in_flight_records: usize,
    in_flight_bytes: usize,
    closed: bool,
    /// How many records the first message must hold to be of use to the sender; `None` if it does not wait.
    wanted: Option<usize>,
}

/// A message that is being filled or waits for a place on the way.
#[derive(Debug)]
enum Waiting {
    Filling { frame: FrameWriter, load: Load },
    Ready(Message),
}

/// One AMQP message and who waits for its confirm.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) body: Bytes,
    /// Several records in a frame, or one as it is.
    pub(super) is_frame: bool,
    load: Load,
}

#[derive(Debug, Default)]
struct Load {
    waiters: Vec<oneshot::Sender<Told>>,
    payload_bytes: usize,
}

impl Message {
    pub(super) fn records(&self) -> usize {
        self.load.waiters.len()
    }
}

impl Lane {
    pub(super) fn new(queue: String, config: &PublishConfig, lanes: u16) -> Self {
        let share = |whole: usize| (whole / usize::from(lanes.max(1))).max(1);
        Self {
            queue: queue.into(),
            limits: Limits {
                framing: config.framing,
                frame_records_max: config.frame_records_max,
                frame_bytes_max: config.frame_bytes_max,
                in_flight_records_max: share(config.in_flight_records_max),
                in_flight_bytes_max: share(config.in_flight_bytes_max).max(config.record_bytes_max),
            },
            state: Mutex::default(),
            news: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Takes a copy of a record; what comes of it is told by the receiver.
    pub(super) fn admit(&self, payload: &[&[u8]]) -> Result<oneshot::Receiver<Told>, PublishError> {
        let bytes = payload.iter().map(|piece| piece.len()).sum();
        let (waiter, told) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return Err(PublishError::Closed);
        }
        if !state.has_room(bytes, &self.limits) {
            state.forget_abandoned();
        }
        if !state.has_room(bytes, &self.limits) {
            let (records, bytes) = (state.in_flight_records, state.in_flight_bytes);
            return Err(PublishError::Overloaded { records, bytes });
        }
        state.in_flight_records += 1;
        state.in_flight_bytes += bytes;
        state.push(payload, bytes, waiter, &self.limits);
        let is_wanted = state.is_wanted();
        drop(state);
        if is_wanted {
            self.news.notify_one();
        }
        Ok(told)
    }

    /// The oldest message, as soon as it holds so many records or can hold no more. Nothing is lost if the future is
    /// dropped.
    pub(super) async fn next(&self, records_min: usize) -> Message {
        loop {
            if let Some(message) = self.take(records_min) {
                return message;
            }
            self.news.notified().await;
        }
    }

    fn take(&self, records_min: usize) -> Option<Message> {
        let mut state = self.lock();
        state.forget_abandoned();
        if !state.first_holds(records_min) {
            state.wanted = Some(records_min);
            return None;
        }
        state.waiting.pop_front().map(Waiting::finish)
    }

    /// A message that was taken and whose fate is not known goes back to the head: it is published again, which the
    /// store counts once, as long as somebody waits for it.
    pub(super) fn put_back(&self, message: Message) {
        let mut state = self.lock();
        state.waiting.push_front(Waiting::Ready(message));
        state.wanted = None;
        drop(state);
        self.news.notify_one();
    }

    /// The fate of a message is known.
    pub(super) fn settle(&self, message: Message, told: &Told) {
        let mut state = self.lock();
        state.leave(&message.load);
        let is_empty = state.in_flight_records == 0;
        drop(state);
        if is_empty {
            self.settled.notify_waiters();
        }
        for waiter in message.load.waiters {
            // Whoever does not wait any more was told that it is not known.
            let _ = waiter.send(told.clone());
        }
    }

    /// Admits no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Returns when nothing waits and nothing is on its way.
    pub(super) async fn empty(&self) {
        loop {
            let settled = self.settled.notified();
            if self.in_flight().0 == 0 {
                return;
            }
            settled.await;
        }
    }

    /// Records and payload bytes waiting or on their way.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        let mut state = self.lock();
        state.forget_abandoned();
        (state.in_flight_records, state.in_flight_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock leaves the counts half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        self.in_flight_records < limits.in_flight_records_max
            && self.in_flight_bytes + bytes <= limits.in_flight_bytes_max
    }

    fn push(&mut self, payload: &[&[u8]], bytes: usize, waiter: oneshot::Sender<Told>, limits: &Limits) {
        if !limits.framing {
            let load = Load { waiters: vec![waiter], payload_bytes: bytes };
            let message = Message { body: payload.concat().into(), is_frame: false, load };
            return self.waiting.push_back(Waiting::Ready(message));
        }
        if let Some(Waiting::Filling { frame, load }) = self.waiting.back_mut()
            && frame.records() < limits.frame_records_max
            && frame.bytes() + bytes <= limits.frame_bytes_max
            && frame.push(payload)
        {
            load.waiters.push(waiter);
            load.payload_bytes += bytes;
            return;
        }
        let mut frame = FrameWriter::with_capacity(bytes + 64);
        let load = Load { waiters: vec![waiter], payload_bytes: bytes };
        // An empty frame takes any record of less than 4 GiB, and admission takes none that long.
        if frame.push(payload) {
            self.waiting.push_back(Waiting::Filling { frame, load });
        } else {
            self.leave(&load);
        }
    }

    /// Whether the first message holds so many records, or is not filled any more.
    fn first_holds(&self, records_min: usize) -> bool {
        match self.waiting.front() {
            Some(Waiting::Filling { frame, .. }) => self.waiting.len() > 1 || frame.records() >= records_min,
            Some(Waiting::Ready(_)) => true,
            None => false,
        }
    }

    /// Whether the sender waits for what the first message is now; it is told once.
    fn is_wanted(&mut self) -> bool {
        let is_wanted = self.wanted.is_some_and(|records_min| self.first_holds(records_min));
        if is_wanted {
            self.wanted = None;
        }
        is_wanted
    }

    /// Drops messages that nobody waits for any more: their senders were told that nothing is stored, and send again.
    fn forget_abandoned(&mut self) {
        while self.waiting.front().is_some_and(Waiting::is_abandoned) {
            if let Some(waiting) = self.waiting.pop_front() {
                self.leave(waiting.load());
            }
        }
    }

    fn leave(&mut self, load: &Load) {
        self.in_flight_records -= load.waiters.len();
        self.in_flight_bytes -= load.payload_bytes;
    }
}

impl Waiting {
    fn load(&self) -> &Load {
        match self {
            Self::Filling { load, .. } | Self::Ready(Message { load, .. }) => load,
        }
    }

    fn is_abandoned(&self) -> bool {
        self.load().waiters.iter().all(oneshot::Sender::is_closed)
    }

    fn finish(self) -> Message {
        match self {
            Self::Filling { frame, load } => {
                // `push` makes no frame without a record.
                let body = frame.finish().unwrap_or_default().into();
                Message { body, is_frame: true, load }
            }
            Self::Ready(message) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rabbitmq::frame;

    fn lane(framing: bool) -> Lane {
        let config = PublishConfig {
            framing,
            frame_records_max: 3,
            frame_bytes_max: 100,
            in_flight_records_max: 20,
            in_flight_bytes_max: 1_000,
            record_bytes_max: 400,
            ..PublishConfig::default()
        };
        Lane::new("q".to_owned(), &config, 2)
    }

    fn records(message: &Message) -> Vec<Bytes> {
        if message.is_frame {
            frame::records(message.body.clone()).unwrap()
        } else {
            vec![message.body.clone()]
        }
    }

    #[tokio::test]
    async fn what_waits_travels_together_up_to_the_bounds() {
        let lane = lane(true);
        let mut told = Vec::new();
        for record in [b"1".as_slice(), b"2", b"3", b"4", &[7; 90], b"6"] {
            told.push(lane.admit(&[record]).unwrap());
        }
        let frames = [lane.next(0).await, lane.next(0).await, lane.next(0).await, lane.next(0).await];
        assert_eq!(frames.each_ref().map(|frame| records(frame).len()), [3, 1, 1, 1]);
        assert_eq!(records(&frames[0]), ["1", "2", "3"]);
        for frame in frames {
            lane.settle(frame, &Ok(()));
        }
        for told in told {
            told.await.unwrap().unwrap();
        }
        lane.empty().await;
    }

    #[tokio::test]
    async fn without_framing_each_record_is_a_message_as_it_is() {
        let lane = lane(false);
        let _told = [lane.admit(&[b"a", b"b"]).unwrap(), lane.admit(&[b"c"]).unwrap()];
        assert_eq!((lane.next(0).await.body, lane.next(0).await.body), ("ab".into(), "c".into()));
    }

    #[tokio::test]
    async fn a_lane_takes_its_share_and_no_more_and_forgets_what_nobody_waits_for() {
        let lane = lane(true);
        let told: Vec<_> = (0..10).map(|_| lane.admit(&[b"x"]).unwrap()).collect();
        let refused = lane.admit(&[b"x"]).unwrap_err();
        assert!(matches!(refused, PublishError::Overloaded { records: 10, bytes: 10 }), "{refused:?}");
        drop(told);
        let _told = lane.admit(&[b"y"]).unwrap();
        assert_eq!((lane.in_flight(), records(&lane.next(0).await)), ((1, 1), vec![Bytes::from("y")]));
    }

    #[tokio::test]
    async fn bytes_are_bounded_too() {
        let lane = lane(true);
        let _told = lane.admit(&[&[0; 400]]).unwrap();
        assert!(matches!(lane.admit(&[&[0; 101]]), Err(PublishError::Overloaded { bytes: 400, .. })));
        let _told = lane.admit(&[&[0; 100]]).unwrap();
    }

    #[tokio::test]
    async fn what_is_put_back_comes_first_and_is_counted_until_it_is_settled() {
        let lane = lane(true);
        let mut told = [b"1", b"2"].map(|record| lane.admit(&[record]).unwrap());
        let message = lane.next(0).await;
        let _later = lane.admit(&[b"3"]).unwrap();
        lane.put_back(message);
        let again = lane.next(0).await;
        assert_eq!((records(&again).len(), lane.in_flight()), (2, (3, 3)));
        lane.settle(again, &Err(PublishError::Nacked));
        assert_eq!(lane.in_flight(), (1, 1));
        assert!(matches!(told[0].try_recv().unwrap(), Err(PublishError::Nacked)));
    }

    #[tokio::test]
    async fn a_frame_may_be_waited_for_until_it_holds_enough_or_can_hold_no_more() {
        let lane = lane(true);
        let mut told = vec![lane.admit(&[b"1"]).unwrap()];
        let mut next = Box::pin(lane.next(2));
        assert!(futures_util::poll!(&mut next).is_pending());
        told.push(lane.admit(&[b"2"]).unwrap());
        assert_eq!(records(&next.await), ["1", "2"]);
        told.push(lane.admit(&[b"3"]).unwrap());
        let mut next = Box::pin(lane.next(3));
        assert!(futures_util::poll!(&mut next).is_pending());
        // It does not fit with the one before.
        told.push(lane.admit(&[&[4; 90]]).unwrap());
        assert_eq!(records(&next.await), ["3"]);
        assert_eq!(lane.next(0).await.records(), 1);
    }

    #[tokio::test]
    async fn a_closed_lane_admits_nothing() {
        let lane = lane(true);
        lane.close();
        assert!(matches!(lane.admit(&[b"x"]), Err(PublishError::Closed)));
    }
}
