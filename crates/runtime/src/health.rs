//! Readiness: each part says for itself whether it can do its work, and `/ready` tells them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The parts of this process and whether each is ready.
#[derive(Clone, Debug, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Readiness>>>,
}

/// Ready, perhaps with something to know; or why it is not.
pub type Readiness = Result<Option<String>, String>;

/// One part's way to say so.
#[derive(Clone, Debug)]
pub struct HealthHandle {
    health: Health,
    part: &'static str,
}

impl Health {
    /// Adds a part, not ready until it says so.
    pub fn register(&self, part: &'static str) -> HealthHandle {
        let handle = HealthHandle { health: self.clone(), part };
        handle.not_ready("starting");
        handle
    }

    /// Every part with its state.
    pub fn parts(&self) -> BTreeMap<&'static str, Readiness> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there are parts and every one is ready.
    pub fn is_ready(&self) -> bool {
        let parts = self.parts();
        !parts.is_empty() && parts.values().all(Result::is_ok)
    }

    fn set(&self, part: &'static str, state: Readiness) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }
}

impl HealthHandle {
    /// This part can do its work.
    pub fn ready(&self) {
        self.health.set(self.part, Ok(None));
    }

    /// This part can do its work, and whoever asks should know this.
    pub fn ready_but(&self, note: impl Into<String>) {
        self.health.set(self.part, Ok(Some(note.into())));
    }

    /// This part has nothing to say any more.
    pub fn remove(self) {
        self.health.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(self.part);
    }

    /// This part cannot, and why.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.health.set(self.part, Err(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_not_ready_makes_the_whole_not_ready() {
        let health = Health::default();
        assert!(!health.is_ready(), "nothing has started yet");
        let (queue, store) = (health.register("queue"), health.register("store"));
        queue.ready();
        assert!(!health.is_ready());
        store.ready();
        assert!(health.is_ready());
        store.not_ready("ClickHouse does not answer");
        assert_eq!(health.parts()["store"], Err("ClickHouse does not answer".to_owned()));
        store.remove();
        assert!(health.is_ready());
    }
}
