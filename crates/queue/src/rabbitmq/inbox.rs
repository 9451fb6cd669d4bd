//! What was delivered and not yet handed out, one pile for each channel; handed out in turns, so that a flood in one lane
//! leaves the others their share of every batch.

use crate::BatchLimits;
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Inbox {
    piles: Vec<VecDeque<Opened>>,
    /// Whose turn it is.
    turn: usize,
    records: usize,
    bytes: usize,
    /// When the oldest record came, of those that are here.
    since: Option<Instant>,
}

/// A message whose records are handed out.
#[derive(Debug)]
struct Opened {
    tag: u64,
    records: VecDeque<Bytes>,
}

/// A record on its way out, and the message's tag if it is the last one.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) channel: usize,
    pub(super) record: Bytes,
    pub(super) done: Option<u64>,
}

impl Inbox {
    pub(super) fn new(channels: usize) -> Self {
        let piles = std::iter::repeat_with(VecDeque::new).take(channels).collect();
        Self { piles, turn: 0, records: 0, bytes: 0, since: None }
    }

    /// Takes a message of at least one record.
    pub(super) fn push(&mut self, channel: usize, tag: u64, records: Vec<Bytes>) {
        let Some(pile) = self.piles.get_mut(channel) else { return };
        self.records += records.len();
        self.bytes += records.iter().map(Bytes::len).sum::<usize>();
        self.since.get_or_insert_with(Instant::now);
        pile.push_back(Opened { tag, records: records.into() });
    }

    /// The next record, if `bytes_max` leaves room for it or `is_first`.
    pub(super) fn pop(&mut self, bytes_max: usize, is_first: bool) -> Option<Out> {
        let channel = (0..self.piles.len())
            .map(|step| (self.turn + step) % self.piles.len())
            .find(|channel| self.piles.get(*channel).is_some_and(|pile| !pile.is_empty()))?;
        let pile = self.piles.get_mut(channel)?;
        let opened = pile.front_mut()?;
        if opened.records.front()?.len() > bytes_max && !is_first {
            return None;
        }
        let record = opened.records.pop_front()?;
        let done = opened.records.is_empty().then_some(opened.tag);
        // Message by message: a record alone is not worth a turn.
        self.turn = channel;
        if done.is_some() {
            pile.pop_front();
            self.turn = channel + 1;
        }
        self.records -= 1;
        self.bytes -= record.len();
        if self.records == 0 {
            self.since = None;
        }
        Some(Out { channel, record, done })
    }

    /// Whether there is enough for a batch.
    pub(super) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.records >= limits.records_max || self.bytes >= limits.bytes_max
    }

    /// Messages of a channel that are here.
    pub(super) fn of_channel(&self, channel: usize) -> usize {
        self.piles.get(channel).map_or(0, VecDeque::len)
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(inbox: &mut Inbox, bytes_max: usize) -> Vec<(Bytes, Option<u64>)> {
        let mut out = Vec::new();
        let mut left = bytes_max;
        while let Some(next) = inbox.pop(left, out.is_empty()) {
            left = left.saturating_sub(next.record.len());
            out.push((next.record, next.done));
        }
        out
    }

    fn records(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from(*text)).collect()
    }

    #[test]
    fn lanes_take_turns_message_by_message() {
        let mut inbox = Inbox::new(3);
        inbox.push(0, 1, records(&["a1", "a2"]));
        inbox.push(0, 2, records(&["a3"]));
        inbox.push(2, 1, records(&["c1"]));
        let out: Vec<_> = out(&mut inbox, 100);
        let texts: Vec<_> = out.iter().map(|(record, _)| record.clone()).collect();
        assert_eq!(texts, ["a1", "a2", "c1", "a3"]);
        assert_eq!(out.iter().map(|(_, done)| *done).collect::<Vec<_>>(), [None, Some(1), Some(1), Some(2)]);
        assert_eq!(inbox.since(), None);
    }

    #[test]
    fn bytes_bound_a_batch_but_one_record_always_passes() {
        let mut inbox = Inbox::new(1);
        inbox.push(0, 1, records(&["large", "s", "t"]));
        assert_eq!(out(&mut inbox, 1).len(), 1);
        assert_eq!(out(&mut inbox, 1).len(), 1);
        let limits = BatchLimits { records_max: 2, bytes_max: 10, linger: std::time::Duration::ZERO };
        assert!(!inbox.is_full(&limits));
        inbox.push(0, 2, records(&["u"]));
        assert!(inbox.is_full(&limits));
        assert_eq!(inbox.of_channel(0), 2);
    }
}
