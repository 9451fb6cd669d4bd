//! Stored values that this build cannot read: left out, counted and logged, so that one of them stops nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use tracing::error;

/// Counts them. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Unreadable(Arc<AtomicU64>);

impl Unreadable {
    /// Reads JSON that an earlier tick, perhaps of an earlier build, wrote.
    pub(super) fn read<T: DeserializeOwned>(&self, json: &str, what: &'static str, of: &str) -> Option<T> {
        match serde_json::from_str(json) {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.fetch_add(1, Ordering::Relaxed);
                error!(what, of, %error, "the alerting state holds a value that cannot be read: it is left out");
                None
            }
        }
    }

    /// The count since this was last asked.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
