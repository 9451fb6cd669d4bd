//! One channel's courier: takes what is due, sends it, writes down what came of it.

use std::sync::Arc;
use std::time::Duration;

use payments::UnixMillis;
use rand::rngs::StdRng;
use runtime::{Lifecycle, SharedClock};
use tokio::sync::Notify;

use super::{backoff, plan};
use crate::channels::{Answer, Channel, Outgoing, Sender};
use crate::observations::Observations;
use crate::page::{Action, Message, clock};
use crate::storage::outbox::{Fate, Line, Waiting};
use crate::storage::{Storage, StorageError};

/// A channel that is configured wrongly is tried again this often: whoever mends it need not tell us.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);
/// Whatever a channel asks for, a page that has not been tried yet waits no longer than this: it may be the one that
/// gets through.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// Who asks to wait for no time at all gets this long: "at once" would be a loop.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The outbox is looked at at least this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after the state file could not be read or written.
const STORAGE_PAUSE: Duration = Duration::from_secs(2);

/// Delivers the messages of one channel.
#[derive(Debug)]
pub struct Courier {
    /// Which channel.
    pub channel: Channel,
    /// Where messages wait.
    pub storage: Storage,
    /// How they are sent.
    pub sender: Sender,
    /// Where deliveries are counted.
    pub observations: Arc<Observations>,
    /// For jitter.
    pub rng: StdRng,
    /// The channel is left alone until then: it asked for that, or takes no more at once.
    pub not_before: UnixMillis,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is due.
    Idle,
    /// What is due had become pointless.
    Skipped,
    /// One message was sent, with this answer.
    Sent(Answer),
}

impl Courier {
    /// Delivers until the process stops taking new work; what still waits is sent after the next start.
    pub async fn run(mut self, clock: SharedClock, queued: Arc<Notify>, lifecycle: Lifecycle) {
        let soft = lifecycle.soft().clone();
        while !soft.is_cancelled() {
            let pause = match self.step(clock.now()).await {
                Ok(Progress::Skipped | Progress::Sent(_)) => Duration::ZERO,
                Ok(Progress::Idle) => LOOK_INTERVAL,
                Err(error) => {
                    self.observations.storage_failed(&error);
                    STORAGE_PAUSE
                }
            };
            if let Ok(depth) = self.storage.depth(self.channel.name.clone()).await {
                self.observations.outbox_depth(&self.channel.name, depth, clock.now());
            }
            tokio::select! {
                () = soft.cancelled() => {}
                () = queued.notified(), if pause == LOOK_INTERVAL => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends at most one message.
    pub async fn step(&mut self, now: UnixMillis) -> Result<Progress, StorageError> {
        // Nobody is left alone for longer: more than that is a clock that was set back.
        self.not_before = self.not_before.min(now.plus(HOLD_MAX));
        if now < self.not_before {
            return Ok(Progress::Idle);
        }
        let Some(line) = self.storage.due(self.channel.name.clone(), now).await? else {
            return Ok(Progress::Idle);
        };
        let plan = plan(&line);
        let mut fates: Vec<(i64, Fate)> = plan.superseded.iter().map(|id| (*id, Fate::Superseded)).collect();
        let chosen = plan
            .send
            .and_then(|(id, action)| line.waiting.iter().find(|row| row.id == id).map(|row| (row, action)));
        let Some((row, action)) = chosen else {
            self.storage.settle(fates, Vec::new(), now).await?;
            return Ok(Progress::Skipped);
        };
        let message = Message { action, ..row.message.clone() };
        let (answer, minimal) = self.send(&line, row, &message, now).await;
        self.observations.delivery(&self.channel.name, action, &answer);
        self.not_before = now.plus(match &answer {
            // Who takes too much from one page takes no more from another.
            Answer::RetryAfter(wait) => (*wait).clamp(WAIT_MIN, HOLD_MAX),
            _ => self.channel.pace(),
        });
        // A retried combination of trigger and resolve must find both again.
        if !matches!(answer, Answer::Accepted) {
            fates.clear();
        }
        let head = line.waiting.first().unwrap_or(row);
        let fate = self.fate(&answer, head, minimal, now);
        let more = self.notes(&line, &message, &answer, &fate, &head.last_error).await?;
        match &fate {
            // The head of the line carries the schedule; the rest waits behind it.
            Fate::Again { .. } => fates.push((head.id, fate)),
            Fate::Dead(reason) => fates.extend(dead(&line, row, reason)),
            Fate::Delivered | Fate::Superseded => fates.push((row.id, fate)),
        }
        self.storage.settle(fates, more, now).await?;
        Ok(Progress::Sent(answer))
    }

    /// Sends; a form that the channel refuses is sent once more in its plainest form.
    async fn send(&self, line: &Line, row: &Waiting, message: &Message, now: UnixMillis) -> (Answer, bool) {
        let outgoing =
            Outgoing { dedup_key: &line.dedup_key, seq: row.seq, message, minimal: row.minimal, now };
        let answer = self.sender.send(&self.channel, &outgoing).await;
        if row.minimal || !matches!(answer, Answer::PermanentPayload(_)) {
            return (answer, row.minimal);
        }
        self.observations.delivery(&self.channel.name, message.action, &answer);
        (self.sender.send(&self.channel, &Outgoing { minimal: true, ..outgoing }).await, true)
    }

    fn fate(&mut self, answer: &Answer, head: &Waiting, minimal: bool, now: UnixMillis) -> Fate {
        let age = now.since(head.created_at);
        let again = |pause: Duration, reason: String| {
            if age >= self.channel.patience() {
                return Fate::Dead(reason);
            }
            Fate::Again { next_at: now.plus(pause), minimal, reason }
        };
        match answer {
            Answer::Accepted => Fate::Delivered,
            Answer::PermanentPayload(reason) => Fate::Dead(reason.clone()),
            Answer::RetryAfter(wait) => {
                again((*wait).max(WAIT_MIN), format!("asked to wait {} s", wait.as_secs()))
            }
            Answer::PermanentConfig(reason) => again(CONFIG_PAUSE, reason.clone()),
            Answer::Transient { reason, wait } => {
                let pause = backoff(head.attempts.saturating_add(1), age, &mut self.rng);
                again(pause.max((*wait).min(HOLD_MAX)), reason.clone())
            }
        }
    }

    /// What the page's other channels are told about this one: that it is misconfigured, or that it was given up.
    async fn notes(
        &self,
        line: &Line,
        message: &Message,
        answer: &Answer,
        fate: &Fate,
        last_error: &str,
    ) -> Result<Vec<(String, Message)>, StorageError> {
        let reason = match (answer, fate) {
            (_, Fate::Dead(reason)) => {
                self.observations.given_up(&self.channel.name, &line.dedup_key, reason);
                reason
            }
            (Answer::PermanentConfig(reason), _) => {
                self.observations.misconfigured(&self.channel.name, reason);
                if reason == last_error {
                    return Ok(Vec::new());
                }
                reason
            }
            _ => return Ok(Vec::new()),
        };
        if !matches!(message.action, Action::Trigger | Action::Missed) {
            return Ok(Vec::new());
        }
        let others = self.storage.other_channels(line.dedup_key.clone(), self.channel.name.clone()).await?;
        let text = format!(
            "Update {} UTC: this page could not be delivered to {}: {reason}",
            clock(message.at),
            self.channel.name
        );
        let note = Message { action: Action::Update, line: text, ..message.clone() };
        Ok(others.into_iter().map(|channel| (channel, note.clone())).collect())
    }
}

/// The rows that end with one that was given up: with a trigger, its resolve.
fn dead(line: &Line, row: &Waiting, reason: &str) -> Vec<(i64, Fate)> {
    let ends = |other: &&Waiting| other.id <= row.id;
    line.waiting.iter().filter(ends).map(|other| (other.id, Fate::Dead(reason.to_owned()))).collect()
}
