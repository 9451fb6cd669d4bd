//! What is known of the connection to the broker: for errors, metrics, and whoever asks whether it is there.

use super::connection::Open;
use lapin::ConnectionStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all that publish over one connection.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    connects: AtomicU64,
    messages: AtomicU64,
    records: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
enum State {
    Away(Arc<str>),
    Up(ConnectionStatus),
}

/// What a publisher knows of its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Why nothing can be published now; `None` if it can.
    pub away: Option<String>,
    /// Connections made since the publisher was opened.
    pub connects: u64,
    /// Messages confirmed.
    pub messages: u64,
    /// Records in them.
    pub records: u64,
    /// Messages the broker refused or returned.
    pub refused: u64,
    /// Records waiting or on their way.
    pub in_flight_records: usize,
    /// Their payload bytes.
    pub in_flight_bytes: usize,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::Away("not connected yet".into())),
            connects: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            records: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn up(&self, connection: &Open) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        if let Some(status) = connection.status() {
            *self.lock() = State::Up(status.clone());
        }
    }

    pub(super) fn down(&self, reason: &str) {
        *self.lock() = State::Away(reason.into());
    }

    pub(super) fn confirmed(&self, records: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Why nothing can be published now.
    pub(super) fn away(&self) -> Option<Arc<str>> {
        match &*self.lock() {
            State::Away(reason) => Some(Arc::clone(reason)),
            State::Up(status) if status.blocked() => {
                Some("it blocks publishers: it is short of memory or disk".into())
            }
            State::Up(_) => None,
        }
    }

    pub(super) fn stats(&self, in_flight: (usize, usize)) -> BrokerStats {
        BrokerStats {
            away: self.away().map(|reason| reason.to_string()),
            connects: self.connects.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            in_flight_records: in_flight.0,
            in_flight_bytes: in_flight.1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
