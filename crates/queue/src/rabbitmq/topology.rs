//! The queues in the broker, declared whenever a connection is made: what is there already must be as it is declared.
//!
//! | queue | holds |
//! |---|---|
//! | `{name}` | what was published and not yet stored |
//! | `{name}.dead` | what was delivered more often than the limit, with RabbitMQ's history in its headers |
//!
//! Both are quorum queues: they survive the loss of a minority of nodes, and a publisher's confirm comes after a majority
//! has the message on disk. Dead-lettering is at least once, for which RabbitMQ requires `x-overflow` to be
//! `reject-publish` (<https://www.rabbitmq.com/docs/quorum-queues>, "at-least-once dead lettering"). Messages are published to
//! the default exchange, whose routing key is a queue's name, so that there is no binding that could be missing.

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind};

/// What is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Name of the queue; the others begin with it.
    pub name: String,
    /// How often a message is delivered again before it is dead-lettered.
    pub delivery_limit: u32,
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

impl Topology {
    /// Where messages go that were delivered too often.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead", self.name)
    }

    /// Declares the queues; those that are there as they must be stay as they are. After an error the channel is closed.
    pub async fn declare(&self, channel: &Channel) -> Result<(), TopologyError> {
        // First where messages may go, then whence.
        declare_queue(channel, &self.dead_letters(), dead_letters_arguments()).await?;
        declare_queue(channel, &self.name, self.arguments()).await
    }

    fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(self.delivery_limit.into()));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&self.dead_letters()));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments
    }
}

/// Without a delivery limit, which up to RabbitMQ 3 means that a dead letter stays until somebody decides about it.
fn dead_letters_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

async fn declare_queue(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), TopologyError> {
    let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await;
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
