//! The queue between ingest and processor.
//!
//! Ingest [`publish`](Publisher::publish)es a record and answers its sender when that is done: the
//! record is then durable. The processor [`receive`](Consumer::receive)s batches and
//! [`ack`](Consumer::ack)s them when what they became is durable elsewhere. Everything not
//! acknowledged is delivered again after a restart: at least once; the embedded log in order, RabbitMQ about so.
//!
//! [`Publisher`] and [`Consumer`] are the seam for kinds of queues: one variant each, dispatched by
//! an exhaustive `match`: the [`embedded`] log, and [`rabbitmq`], to publish with a [`spool`] or without.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! use queue::{BatchLimits, LogConfig, open_embedded};
//! use std::time::Duration;
//!
//! let (publisher, mut consumer) = open_embedded(LogConfig::new(dir.path()))?;
//! publisher.publish(0, &[b"a record"]).await?;
//!
//! let limits = BatchLimits { records_max: 10_000, bytes_max: 32 << 20, linger: Duration::from_millis(5) };
//! let batch = consumer.receive(&limits).await?;
//! assert_eq!(&batch.deliveries()[0].payload[..], b"a record");
//! consumer.ack(batch.through()).await?;
//! # Ok(())
//! # }
//! ```

mod delivery;
pub mod embedded;
mod error;
pub mod rabbitmq;
pub mod spool;

pub use delivery::{Batch, BatchLimits, Delivery, Position};
pub use embedded::LogConfig;
use futures_util::future::Either;

pub use error::{ConsumeError, OpenError, PublishError, StorageError};

/// Where records go in. Clones share one queue.
#[derive(Clone, Debug)]
pub enum Publisher {
    /// The log on local disk.
    Embedded(embedded::Publisher),
    /// RabbitMQ's queues.
    RabbitMq(rabbitmq::Publisher),
    /// RabbitMQ's queues, and a log on local disk for when they do not confirm.
    Spooled(spool::Publisher),
}

/// Where records come out: of the embedded log one at a time, of RabbitMQ any number.
#[derive(Debug)]
pub enum Consumer {
    /// The log on local disk.
    Embedded(embedded::Consumer),
    /// RabbitMQ's queues.
    RabbitMq(Box<rabbitmq::Consumer>),
}

/// Opens both sides of an embedded log, for a process that publishes and consumes.
pub fn open_embedded(config: LogConfig) -> Result<(Publisher, Consumer), OpenError> {
    let (publisher, consumer) = embedded::open(config)?;
    Ok((Publisher::Embedded(publisher), Consumer::Embedded(consumer)))
}

impl Publisher {
    /// Opens the writing side of an embedded log; another process may consume it.
    pub fn open_embedded(config: LogConfig) -> Result<Self, OpenError> {
        embedded::open_publisher(config).map(Self::Embedded)
    }

    /// Stores a record, whose payload is given in pieces: they are no longer needed when this returns, and
    /// the future is ready when the record is durable. If the future is dropped before, the record may
    /// or may not be stored. Records of one `lane` keep out of the way of the others', as far as the kind of queue
    /// has [lanes](Self::lanes).
    pub fn publish(
        &self,
        lane: usize,
        payload: &[&[u8]],
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        match self {
            Self::Embedded(publisher) => Either::Left(publisher.publish(payload)),
            Self::RabbitMq(publisher) => Either::Right(Either::Left(publisher.publish(lane, payload))),
            Self::Spooled(publisher) => Either::Right(Either::Right(publisher.publish(lane, payload))),
        }
    }

    /// The spool, if there is one.
    pub fn spool(&self) -> Option<&spool::Publisher> {
        match self {
            Self::Embedded(_) | Self::RabbitMq(_) => None,
            Self::Spooled(publisher) => Some(publisher),
        }
    }

    /// How many lanes there are; a greater number means the same as its remainder.
    pub fn lanes(&self) -> usize {
        match self {
            Self::Embedded(_) => 1,
            Self::RabbitMq(publisher) => publisher.lanes(),
            Self::Spooled(publisher) => publisher.lanes(),
        }
    }

    /// Takes no more records and returns when everything admitted has its answer.
    pub async fn close(&self) {
        match self {
            Self::Embedded(publisher) => publisher.close().await,
            Self::RabbitMq(publisher) => publisher.close().await,
            Self::Spooled(publisher) => publisher.close().await,
        }
    }
}

impl Consumer {
    /// Opens the reading side of an embedded log that another process writes.
    pub fn open_embedded(config: LogConfig) -> Result<Self, OpenError> {
        embedded::open_consumer(config).map(Self::Embedded)
    }

    /// Waits for a batch: until `records_max` or `bytes_max` is reached, or `linger` has passed since
    /// its first record became available. Nothing is lost if the future is dropped. More batches may
    /// be received before this one is acknowledged.
    pub async fn receive(&mut self, limits: &BatchLimits) -> Result<Batch, ConsumeError> {
        match self {
            Self::Embedded(consumer) => consumer.receive(limits).await,
            Self::RabbitMq(consumer) => consumer.receive(limits).await,
        }
    }

    /// Everything up to and including `through` is consumed.
    pub async fn ack(&mut self, through: Position) -> Result<(), ConsumeError> {
        match self {
            Self::Embedded(consumer) => consumer.ack(through).await,
            Self::RabbitMq(consumer) => consumer.ack(through).await,
        }
    }
}
