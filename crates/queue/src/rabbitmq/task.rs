//! What goes on beside the consumer, and ends with it.

use super::session::BrokerError;
use tokio::task::JoinHandle;

/// A task that is aborted when dropped.
#[derive(Debug)]
pub(super) struct Task<T>(JoinHandle<Result<T, BrokerError>>);

impl<T: Send + 'static> Task<T> {
    #[expect(clippy::disallowed_methods, reason = "it ends with the consumer, which the lifecycle waits for")]
    pub(super) fn spawn(work: impl Future<Output = Result<T, BrokerError>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for it; only once. Nothing is lost if the future is dropped.
    pub(super) async fn result(&mut self) -> Result<T, BrokerError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(lapin::Error::from(std::io::Error::other(error)).into()),
            },
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
