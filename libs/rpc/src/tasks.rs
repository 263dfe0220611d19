//! The one seam for spawning: every background task is known, is told when to end, and is waited for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The background tasks of a process.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    /// Name of the first worker that ended before it was told to.
    lost: Arc<OnceLock<&'static str>>,
}

impl Tasks {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a worker, which lives until [`Self::cancelled`] and ends soon after. If it panics or ends before, the process
    /// ends in order, so that whoever supervises it begins it anew: none says that it serves and leaves its work undone.
    /// What it takes up one by one it does [`contained`], since the next replica would take up the same.
    #[allow(clippy::disallowed_methods)]
    pub fn keep(&self, name: &'static str, worker: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tracker.spawn(worker);
        let tasks = self.clone();
        self.tracker.spawn(async move {
            let ended = handle.await;
            if !tasks.cancel.is_cancelled() {
                let why =
                    ended.map_or_else(|error| error.to_string(), |()| "it returned".to_owned());
                tracing::error!(task = name, why, "a worker ended, and so does the process");
                let _ = tasks.lost.set(name);
                tasks.cancel();
            }
        });
    }

    /// The worker that ended before it was told to, if one did.
    #[must_use]
    pub fn lost(&self) -> Option<&'static str> {
        self.lost.get().copied()
    }

    /// Runs a task of one request or stream. It must end soon after [`Self::cancelled`]; if it panics, that is logged and
    /// the rest goes on.
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

/// Does one item of a worker's work. If that panics, it is logged and gives nothing: the item waits until it is due again, on
/// whichever replica, and the others go on.
pub async fn contained<T>(task: &'static str, item: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(item).catch_unwind().await;
    if done.is_err() {
        tracing::error!(task, "an item of this task panicked, and has to wait");
    }
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_or_returns_ends_the_process_and_a_request_doesn_t() {
        let worker: [(&str, fn()); 2] = [("panics", || panic!("a fault")), ("returns", || ())];
        for (name, work) in worker {
            let tasks = Tasks::new();
            tasks.keep("other", tasks.token().cancelled_owned());
            tasks.spawn("request", async { panic!("a fault") });
            tasks.keep(name, async move { work() });
            tasks.cancelled().await;
            assert_eq!(tasks.lost(), Some(name));
        }
    }

    #[tokio::test]
    async fn an_item_that_panics_gives_nothing_and_the_worker_goes_on() {
        let tasks = Tasks::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let stop = tasks.token();
        tasks.keep("worker", async move {
            let mut all = Vec::new();
            for item in [0_u8, 1, 2] {
                let work = async { u8::MAX.checked_div(item).expect("a fault") };
                all.push(contained("worker", work).await);
            }
            done.send(all).unwrap();
            stop.cancelled().await;
        });
        assert_eq!(ended.await.unwrap(), [None, Some(255), Some(127)]);
        assert_eq!(tasks.lost(), None);
    }

    #[tokio::test]
    async fn a_worker_that_ends_when_told_is_not_lost() {
        let tasks = Tasks::new();
        tasks.keep("worker", tasks.token().cancelled_owned());
        tasks.spawn("request", async { panic!("a fault") });
        tasks.end(Duration::from_secs(10)).await;
        assert_eq!(tasks.lost(), None);
    }
}
