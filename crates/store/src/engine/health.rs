//! What is known of an engine process, and waiting for it.

use std::time::Duration;

use tokio::sync::watch;

/// The engine's state, as the supervisor sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// It answers queries.
    pub ready: bool,
    /// How often it had to be started again.
    pub restarts: u32,
    /// Why it is not ready, once something went wrong.
    pub trouble: Option<String>,
    /// It would never become ready and is not started again.
    pub given_up: bool,
}

/// Why the engine is not there.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It cannot start, and trying again would not help.
    #[error("the embedded engine cannot start: {trouble}")]
    GivenUp {
        /// What it said.
        trouble: String,
    },
    /// It did not become ready in time.
    #[error("the embedded engine did not become ready in {} s{}", waited.as_secs(), trouble_suffix(trouble.as_deref()))]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// What went wrong last.
        trouble: Option<String>,
    },
}

fn trouble_suffix(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| format!(": {trouble}"))
}

/// Waits until the engine is ready, or gives up after `wait_max` with what is known.
pub async fn wait_ready(
    mut health: watch::Receiver<Health>,
    wait_max: Duration,
) -> Result<(), SupervisorError> {
    let is_decided = health.wait_for(|health| health.ready || health.given_up);
    // Copied out: a borrow must not live on.
    let decided = tokio::time::timeout(wait_max, is_decided).await.is_ok_and(|decided| decided.is_ok());
    let Health { ready, trouble, given_up, .. } = health.borrow().clone();
    match (decided && ready, given_up) {
        (true, _) => Ok(()),
        (false, true) => Err(SupervisorError::GivenUp { trouble: trouble.unwrap_or_default() }),
        (false, false) => Err(SupervisorError::NotReady { waited: wait_max, trouble }),
    }
}
