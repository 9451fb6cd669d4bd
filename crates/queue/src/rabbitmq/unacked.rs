//! Which messages are done when a position is acknowledged.

use std::collections::{BTreeSet, VecDeque};

/// Messages not acknowledged, by the channel they came on. Positions and delivery tags of one channel grow together, so
/// acknowledging the greatest tag that is done acknowledges all before it; but not past one that is on its way to another
/// queue: it would be lost with this process before that queue has it.
#[derive(Debug)]
pub(super) struct Unacked {
    channels: Vec<Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    /// Oldest first.
    handed_out: VecDeque<HandedOut>,
    /// Tags of those on their way to another queue.
    moving: BTreeSet<u64>,
}

/// What to tell the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) channel: usize,
    pub(super) tag: u64,
    /// With all before it on the channel.
    pub(super) multiple: bool,
}

#[derive(Debug)]
struct HandedOut {
    tag: u64,
    /// Position of the message's last record.
    through: u64,
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

    /// A message is on its way to another queue.
    pub(super) fn moving(&mut self, channel: usize, tag: u64) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.moving.insert(tag);
        }
    }

    /// The other queue has it, and it is acknowledged.
    pub(super) fn moved(&mut self, channel: usize, tag: u64) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.moving.remove(&tag);
        }
    }

    /// Everything up to `position` is done.
    pub(super) fn done(&mut self, position: u64) -> Vec<Ack> {
        let mut acks = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let first_moving = channel.moving.first().copied().unwrap_or(u64::MAX);
            let mut last = None;
            while let Some(message) = channel.handed_out.pop_front_if(|message| message.through <= position) {
                if message.tag < first_moving {
                    last = Some(message.tag);
                } else {
                    acks.push(Ack { channel: index, tag: message.tag, multiple: false });
                }
            }
            acks.extend(last.map(|tag| Ack { channel: index, tag, multiple: true }));
        }
        acks
    }

    /// Messages of a channel that are handed out.
    pub(super) fn of_channel(&self, channel: usize) -> usize {
        self.channels.get(channel).map_or(0, |channel| channel.handed_out.len())
    }

    /// Whether none is handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.iter().all(|channel| channel.handed_out.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_done_with_its_last_record_and_each_channel_is_acknowledged_once() {
        let mut unacked = Unacked::new(2);
        unacked.handed_out(0, 1, 10);
        unacked.handed_out(1, 1, 12);
        unacked.handed_out(0, 2, 14);
        unacked.handed_out(0, 3, 20);
        assert_eq!(unacked.done(9), []);
        let through = |channel, tag| Ack { channel, tag, multiple: true };
        assert_eq!(unacked.done(13), [through(0, 1), through(1, 1)]);
        assert_eq!((unacked.of_channel(0), unacked.of_channel(1)), (2, 0));
        assert_eq!(unacked.done(20), [through(0, 3)]);
        assert!(unacked.is_empty());
    }

    #[test]
    fn what_is_on_its_way_to_another_queue_is_not_acknowledged_with_what_came_after_it() {
        let mut unacked = Unacked::new(1);
        for tag in [1, 2, 4, 5] {
            unacked.handed_out(0, tag, tag);
        }
        unacked.moving(0, 3);
        let alone = |tag| Ack { channel: 0, tag, multiple: false };
        assert_eq!(unacked.done(4), [alone(4), Ack { channel: 0, tag: 2, multiple: true }]);
        unacked.moved(0, 3);
        assert_eq!(unacked.done(5), [Ack { channel: 0, tag: 5, multiple: true }]);
    }
}
