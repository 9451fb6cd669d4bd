//! What of a page's waiting messages is still worth sending. Pure.

use crate::page::Action;
use crate::storage::outbox::{Line, Waiting};

/// What to do next for one page on one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rows that a later message says better.
    pub superseded: Vec<i64>,
    /// The row to send, and what it is told as.
    pub send: Option<(i64, Action)>,
}

/// The next step for `line`.
///
/// Invariant: nothing of a page is sent before its trigger, and a resolve is sent only to a channel that has
/// accepted something of the page before. An unsent trigger is never dropped for an update; with the resolve
/// already waiting, both become one note and nobody is woken for what is over. Where the trigger was given up, the
/// next news of the page is its trigger: the incident is still open, and the channel knows nothing of it.
pub fn plan(line: &Line) -> Plan {
    let ids = || line.waiting.iter().map(|row| row.id);
    let find = |action: Action| line.waiting.iter().find(|row| row.message.action == action);
    if let Some(resolve) = find(Action::Resolve) {
        let told_as = match (find(Action::Trigger), line.delivered_before) {
            (Some(_), _) => Some(Action::Missed),
            (None, true) => Some(Action::Resolve),
            (None, false) => None,
        };
        return match told_as {
            Some(action) => Plan {
                superseded: ids().filter(|id| *id != resolve.id).collect(),
                send: Some((resolve.id, action)),
            },
            None => Plan { superseded: ids().collect(), send: None },
        };
    }
    if let Some(trigger) = find(Action::Trigger) {
        return Plan { superseded: Vec::new(), send: Some((trigger.id, Action::Trigger)) };
    }
    let newest = line.waiting.last();
    let told_as = |row: &Waiting| if line.delivered_before { row.message.action } else { Action::Trigger };
    Plan {
        superseded: ids().filter(|id| newest.is_some_and(|row| row.id != *id)).collect(),
        send: newest.map(|row| (row.id, told_as(row))),
    }
}
