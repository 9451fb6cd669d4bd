//! Which messages are done when a position is acknowledged.

use super::moves::Origin;
use std::collections::{BTreeSet, VecDeque};

/// Messages handed out and not acknowledged, by the channel they came on, oldest first. Positions and delivery tags of
/// one channel grow together, so acknowledging the greatest tag acknowledges all before it.
///
/// Invariant: what is held, because it is being moved elsewhere, is acknowledged by nothing in here.
#[derive(Debug)]
pub(super) struct Unacked {
    channels: Vec<Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    handed_out: VecDeque<HandedOut>,
    held: BTreeSet<u64>,
}

#[derive(Debug)]
struct HandedOut {
    tag: u64,
    /// Position of the message's last record.
    through: u64,
}

/// What to tell the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) channel: usize,
    pub(super) tag: u64,
    /// With all before it on the channel.
    pub(super) multiple: bool,
}

impl Unacked {
    pub(super) fn new(channels: usize) -> Self {
        Self { channels: std::iter::repeat_with(Channel::default).take(channels).collect() }
    }

    /// The last record of a message was handed out.
    pub(super) fn handed_out(&mut self, channel: usize, tag: u64, through: u64) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.handed_out.push_back(HandedOut { tag, through });
        }
    }

    /// A message is not handed out but moved, and acknowledged by its move.
    pub(super) fn hold(&mut self, of: Origin) {
        if let Some(channel) = self.channels.get_mut(of.channel) {
            channel.held.insert(of.tag);
        }
    }

    /// It was moved, and acknowledged.
    pub(super) fn release(&mut self, of: Origin) {
        if let Some(channel) = self.channels.get_mut(of.channel) {
            channel.held.remove(&of.tag);
        }
    }

    /// Everything up to `position` is done: what to acknowledge.
    pub(super) fn done(&mut self, position: u64) -> Vec<Ack> {
        let mut acks = Vec::new();
        for (number, channel) in self.channels.iter_mut().enumerate() {
            let first_held = channel.held.first().copied().unwrap_or(u64::MAX);
            let mut in_one_go = None;
            while let Some(message) = channel.handed_out.pop_front_if(|message| message.through <= position) {
                let ack = Ack { channel: number, tag: message.tag, multiple: message.tag < first_held };
                if ack.multiple {
                    in_one_go = Some(ack);
                } else {
                    acks.push(ack);
                }
            }
            acks.extend(in_one_go);
        }
        acks
    }

    /// Messages of a channel that are not acknowledged.
    pub(super) fn of_channel(&self, channel: usize) -> usize {
        self.channels.get(channel).map_or(0, |channel| channel.handed_out.len() + channel.held.len())
    }

    /// Messages of a channel that were handed out.
    pub(super) fn in_hands(&self, channel: usize) -> usize {
        self.channels.get(channel).map_or(0, |channel| channel.handed_out.len())
    }

    /// Whether none was handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.iter().all(|channel| channel.handed_out.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(channel: usize, tag: u64, multiple: bool) -> Ack {
        Ack { channel, tag, multiple }
    }

    #[test]
    fn a_message_is_done_with_its_last_record_and_each_channel_is_acknowledged_once() {
        let mut unacked = Unacked::new(2);
        unacked.handed_out(0, 1, 10);
        unacked.handed_out(1, 1, 12);
        unacked.handed_out(0, 2, 14);
        unacked.handed_out(0, 3, 20);
        assert_eq!(unacked.done(9), []);
        assert_eq!(unacked.done(13), [ack(0, 1, true), ack(1, 1, true)]);
        assert_eq!((unacked.of_channel(0), unacked.of_channel(1)), (2, 0));
        assert_eq!(unacked.done(20), [ack(0, 3, true)]);
        assert!(unacked.is_empty());
    }

    #[test]
    fn what_is_held_is_not_acknowledged_with_those_around_it() {
        let mut unacked = Unacked::new(1);
        let held = Origin { channel: 0, tag: 3 };
        unacked.hold(held);
        for tag in [1, 2, 4, 5, 6] {
            unacked.handed_out(0, tag, tag);
        }
        assert_eq!((unacked.of_channel(0), unacked.in_hands(0)), (6, 5));
        assert_eq!(unacked.done(5), [ack(0, 4, false), ack(0, 5, false), ack(0, 2, true)]);
        unacked.release(held);
        assert_eq!(unacked.done(6), [ack(0, 6, true)]);
        assert_eq!(unacked.of_channel(0), 0);
    }
}
