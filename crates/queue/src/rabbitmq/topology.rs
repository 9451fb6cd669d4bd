//! The queues in the broker, declared whenever a connection is made: what is there already must be as it is declared.
//!
//! | queue | holds |
//! |---|---|
//! | `{name}.0`, `{name}.1`, … | the lanes: what was published and not yet stored |
//! | `{name}.alone` | what came back from a processor too often: it is processed alone, see [`isolation`](super::isolation) |
//! | `{name}.retry.10s`, … | what failed alone, until so much time has passed; then it goes to `{name}.alone` again |
//! | `{name}.dead` | what failed every time, with reason and history in its headers |
//!
//! All are quorum queues: they survive the loss of a minority of nodes, and a publisher's confirm comes after a majority
//! has the message on disk. Dead-lettering is at least once, for which RabbitMQ requires `x-overflow` to be
//! `reject-publish` (<https://www.rabbitmq.com/docs/quorum-queues>, "at-least-once dead lettering"). Messages are published to
//! the default exchange, whose routing key is a queue's name, so that there is no binding that could be missing.

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// How often the broker delivers a message again before it dead-letters it on its own. What comes back is taken out
/// long before; this is for a processor that does not live long enough for that.
const DELIVERY_LIMIT: u32 = 20;

/// RabbitMQ 4 gives a quorum queue a limit of 20 where none is declared, and then drops what has no queue to go to. A dead
/// letter stays until somebody decides about it, however often it is looked at.
const DEAD_LETTERS_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// While a queue has no leader, 3.10 leaves the question whether it is there without an answer, for ever.
const DECLARED_WITHIN: Duration = Duration::from_secs(5);

/// How long what failed alone rests: after the first failure, the second, and so on. After the last it is dead.
pub const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];

/// What is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    name: String,
    lanes: u16,
    delivery_limit: u32,
    retry_delays: Vec<Duration>,
}

/// The queues are not as they must be, or it is not known whether they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// A queue of that name has other properties. RabbitMQ cannot change them.
    #[error(
        "queue `{queue}` is there with other properties than it must have: {difference}; \
         empty and delete it, or configure another name"
    )]
    Mismatch {
        /// Which queue.
        queue: String,
        /// What the broker says: the property, its value, and the value declared.
        difference: String,
    },
    /// The user may not declare it.
    #[error(
        "queue `{queue}` cannot be declared: {reason}; give the user permission to configure, write and read it"
    )]
    Refused {
        /// Which queue.
        queue: String,
        /// What the broker says.
        reason: String,
    },
    /// The broker is there and does not answer: nobody leads the queue at the moment.
    #[error("the broker does not say within {} s whether queue `{queue}` is there", .within.as_secs())]
    Silent {
        /// Which queue.
        queue: String,
        /// How long was waited.
        within: Duration,
    },
    /// Anything else: a connection that ended, a broker that is stopping.
    #[error("queue `{queue}` cannot be declared")]
    Broker {
        /// Which queue.
        queue: String,
        /// What went wrong.
        #[source]
        source: lapin::Error,
    },
}

impl TopologyError {
    /// Whether trying again is of no use before somebody has acted.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::Mismatch { .. } | Self::Refused { .. } => true,
            Self::Broker { .. } | Self::Silent { .. } => false,
        }
    }
}

impl Topology {
    /// Queues whose names begin with `name`; at least one lane.
    pub fn new(name: &str, lanes: u16) -> Self {
        let retry_delays = RETRY_DELAYS.to_vec();
        Self { name: name.to_owned(), lanes: lanes.max(1), delivery_limit: DELIVERY_LIMIT, retry_delays }
    }

    /// With another limit; for tests.
    #[must_use]
    pub fn with_delivery_limit(self, delivery_limit: u32) -> Self {
        Self { delivery_limit, ..self }
    }

    /// With other delays, ascending; for tests.
    #[must_use]
    pub fn with_retry_delays(self, retry_delays: Vec<Duration>) -> Self {
        Self { retry_delays, ..self }
    }

    /// The queues that are published to.
    pub fn lanes(&self) -> impl Iterator<Item = String> + use<'_> {
        (0..self.lanes).map(|lane| self.lane(lane))
    }

    /// One of them.
    pub fn lane(&self, lane: u16) -> String {
        format!("{}.{lane}", self.name)
    }

    /// Where messages go that came back too often.
    pub fn alone(&self) -> String {
        format!("{}.alone", self.name)
    }

    /// Where a message rests after it failed alone so many times (at least once); `None`: it has failed often enough.
    pub fn retry(&self, failures: usize) -> Option<String> {
        self.retry_delays.get(failures.checked_sub(1)?).map(|delay| self.retry_queue(*delay))
    }

    /// Where messages go that failed every time.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead", self.name)
    }

    /// Declares the queues; those that are there as they must be stay as they are. After an error the channel is closed.
    pub async fn declare(&self, channel: &Channel) -> Result<(), TopologyError> {
        // First where messages may go, then whence.
        let (dead, alone) = (self.dead_letters(), self.alone());
        declare_queue(channel, &dead, quorum(DEAD_LETTERS_DELIVERY_LIMIT)).await?;
        declare_queue(channel, &alone, dead_lettered_to(&dead, self.delivery_limit)).await?;
        for delay in &self.retry_delays {
            let mut arguments = dead_lettered_to(&alone, self.delivery_limit);
            let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(delay_ms));
            declare_queue(channel, &self.retry_queue(*delay), arguments).await?;
        }
        for lane in self.lanes() {
            declare_queue(channel, &lane, dead_lettered_to(&dead, self.delivery_limit)).await?;
        }
        Ok(())
    }

    fn retry_queue(&self, delay: Duration) -> String {
        format!("{}.retry.{}", self.name, delay_name(delay))
    }
}

/// Whole seconds where they are.
fn delay_name(delay: Duration) -> String {
    if delay.subsec_millis() == 0 {
        format!("{}s", delay.as_secs())
    } else {
        format!("{}ms", delay.as_millis())
    }
}

fn quorum(delivery_limit: u32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(delivery_limit.into()));
    arguments
}

fn dead_lettered_to(queue: &str, delivery_limit: u32) -> FieldTable {
    let mut arguments = quorum(delivery_limit);
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments
}

async fn declare_queue(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), TopologyError> {
    let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments);
    let Ok(declared) = timeout(DECLARED_WITHIN, declared).await else {
        return Err(TopologyError::Silent { queue: queue.to_owned(), within: DECLARED_WITHIN });
    };
    let Err(source) = declared else { return Ok(()) };
    Err(match source.kind() {
        ErrorKind::ProtocolError(said) => {
            let (queue, text) = (queue.to_owned(), said.get_message().to_string());
            match said.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
                    TopologyError::Mismatch { queue, difference: text }
                }
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                    TopologyError::Refused { queue, reason: text }
                }
                _ => TopologyError::Broker { queue, source },
            }
        }
        _ => TopologyError::Broker { queue: queue.to_owned(), source },
    })
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
