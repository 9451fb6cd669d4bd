//! What can go wrong, by who has to act on it.
//!
//! [`OpenError`] is for the operator at start; [`PublishError`] decides the answer a provider gets;
//! [`ConsumeError`] makes the consumer back off and try again.

use crate::rabbitmq::BrokerError;
use crate::rabbitmq::topology::TopologyError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another handle, in this process or another, has this side of the log open.
    #[error(
        "the log in {} already has a {role} ({}); stop it, or give this one a directory of its own",
        .dir.display(), holder_text(.holder_pid.as_ref())
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// `writer` or `reader`.
        role: &'static str,
        /// Process id of the holder, where it could be read.
        holder_pid: Option<u32>,
    },
    /// Settings that cannot work together.
    #[error("{setting} of the log in {} is {value}: it must be {requirement}", .dir.display())]
    Config {
        /// The log's directory.
        dir: PathBuf,
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        requirement: String,
    },
    /// A segment written by a later version of this program.
    #[error(
        "{} has format version {found}, and this program reads version 1; run the version that wrote it",
        .segment.display()
    )]
    UnknownVersion {
        /// The segment's file.
        segment: PathBuf,
        /// The version it states.
        found: u32,
    },
    /// The broker's queues are not as they must be.
    #[error(transparent)]
    Topology(TopologyError),
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The thread that writes the log could not be started.
    #[error("the log's writing thread cannot be started")]
    Thread(#[source] io::Error),
}

/// A record was not stored, or it is not known whether it was: the sender has to try again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The log has reached its configured size; it takes records again when enough is consumed.
    #[error("the log is full: it takes {bytes} of at most {bytes_max} bytes")]
    Full {
        /// Bytes the log takes on disk.
        bytes: u64,
        /// Bytes it may take.
        bytes_max: u64,
    },
    /// The disk refused. The log starts afresh with the next record, without a restart.
    #[error("the log cannot be written")]
    Storage(#[source] Arc<io::Error>),
    /// As much as may be is waiting to become durable already.
    #[error("too much is waiting to become durable: {records} records, {bytes} bytes")]
    Overloaded {
        /// Records waiting or being written.
        records: usize,
        /// Their payload bytes.
        bytes: usize,
    },
    /// Disk or broker do not answer. The record may be stored yet.
    #[error("no word within {} ms that it is durable", .within.as_millis())]
    TimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// The record is larger than the queue takes.
    #[error("a record of {bytes} bytes is larger than the {bytes_max} the queue takes")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Bytes a payload may have.
        bytes_max: usize,
    },
    /// There is no connection to the broker, or it takes nothing. The record may be stored yet, if the connection ended
    /// meanwhile.
    #[error("the broker is away: {reason}")]
    BrokerAway {
        /// What the last attempt ended with.
        reason: Arc<str>,
    },
    /// The broker refused the message.
    #[error("the broker refused the message: it could not be stored by enough nodes, or its queue is full")]
    Nacked,
    /// There is no such queue: somebody deleted it. It is declared again.
    #[error("the broker has no queue `{queue}`; it is declared again")]
    Unroutable {
        /// The queue's name.
        queue: Arc<str>,
    },
    /// The publisher was closed, or what works for it is gone.
    #[error("the queue is closed")]
    Closed,
}

impl PublishError {
    /// Whether the record may be stored all the same. One that came back as unroutable may be: it may have been published
    /// before, on a connection that ended.
    pub fn may_be_stored(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Overloaded { .. } | Self::TooLarge { .. } => false,
            Self::Storage(_)
            | Self::TimedOut { .. }
            | Self::BrokerAway { .. }
            | Self::Nacked
            | Self::Unroutable { .. }
            | Self::Closed => true,
        }
    }

    /// Whether the disk is out of space (or over quota), as opposed to failing.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Storage(source) => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Full { .. }
            | Self::Overloaded { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::BrokerAway { .. }
            | Self::Nacked
            | Self::Unroutable { .. }
            | Self::Closed => false,
        }
    }
}

/// Nothing was received or acknowledged; the same call may be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A segment written by a later version of this program.
    #[error(
        "{} has format version {found}, and this program reads version 1; run the version that wrote it",
        .segment.display()
    )]
    UnknownVersion {
        /// The segment's file.
        segment: PathBuf,
        /// The version it states.
        found: u32,
    },
    /// There is no connection to the broker; it is made anew.
    #[error("the broker is away")]
    Broker(#[source] BrokerError),
    /// The position was never received, so it cannot be acknowledged.
    #[error("position {position} cannot be acknowledged: only {received} was received so far")]
    NotReceived {
        /// The position given.
        position: u64,
        /// The last position received.
        received: u64,
    },
    /// The runtime is shutting down.
    #[error("the consumer is closed")]
    Closed,
}

/// A file operation that failed, with what was being done and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", .path.display())]
pub struct StorageError {
    /// What was being done: `read`, `list`, …
    pub action: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl StorageError {
    /// For `map_err`: names the action and the path of a failed file operation.
    pub(crate) fn at(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }
}

fn holder_text(pid: Option<&u32>) -> String {
    pid.map_or_else(|| "of an unknown process".to_owned(), |pid| format!("process {pid}"))
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
