//! Which messages are done when a position is acknowledged.

use std::collections::VecDeque;

/// Messages handed out and not acknowledged, by the channel they came on, oldest first. Positions and delivery tags of
/// one channel grow together, so acknowledging the greatest tag acknowledges all before it.
#[derive(Debug)]
pub(super) struct Unacked {
    channels: Vec<VecDeque<HandedOut>>,
}

#[derive(Debug)]
struct HandedOut {
    tag: u64,
    /// Position of the message's last record.
    through: u64,
}

impl Unacked {
    pub(super) fn new(channels: usize) -> Self {
        Self { channels: std::iter::repeat_with(VecDeque::new).take(channels).collect() }
    }

    /// The last record of a message was handed out.
    pub(super) fn handed_out(&mut self, channel: usize, tag: u64, through: u64) {
        if let Some(messages) = self.channels.get_mut(channel) {
            messages.push_back(HandedOut { tag, through });
        }
    }

    /// Everything up to `position` is done: for each channel, the delivery tag through which to acknowledge.
    pub(super) fn done(&mut self, position: u64) -> Vec<(usize, u64)> {
        let mut tags = Vec::new();
        for (channel, messages) in self.channels.iter_mut().enumerate() {
            let mut last = None;
            while let Some(message) = messages.pop_front_if(|message| message.through <= position) {
                last = Some(message.tag);
            }
            tags.extend(last.map(|tag| (channel, tag)));
        }
        tags
    }

    /// Messages of a channel that are not acknowledged.
    pub(super) fn of_channel(&self, channel: usize) -> usize {
        self.channels.get(channel).map_or(0, VecDeque::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.iter().all(VecDeque::is_empty)
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
        assert_eq!(unacked.done(13), [(0, 1), (1, 1)]);
        assert_eq!((unacked.of_channel(0), unacked.of_channel(1)), (2, 0));
        assert_eq!(unacked.done(20), [(0, 3)]);
        assert!(unacked.is_empty());
    }
}
