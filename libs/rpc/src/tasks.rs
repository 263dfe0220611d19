//! The one seam for spawning: every background task is known, is told when to end, and is waited for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The background tasks of a process.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task. It must end soon after [`Self::cancelled`]; if it panics, that is logged and the rest goes on.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tracker.spawn(task);
        self.tracker.spawn(async move {
            if let Err(error) = handle.await {
                tracing::error!(task = name, error = %error, "a background task failed");
            }
        });
    }

    /// The token that tells tasks to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Resolves once the process is to end.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Tells every task to end.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Tells every task to end and waits for them, at most this long.
    pub async fn end(&self, within: Duration) {
        self.cancel.cancel();
        self.tracker.close();
        if tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("background tasks did not end in time");
        }
    }
}
