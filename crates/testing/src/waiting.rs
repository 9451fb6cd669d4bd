//! Waiting for a condition, never for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks again and again until `condition` holds; panics at the [`DEADLINE`].
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, condition).await;
}

/// The same with a deadline of its own, for what takes its time by nature.
pub async fn eventually_within(within: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// What comes of `future`, which must be there by the [`DEADLINE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
