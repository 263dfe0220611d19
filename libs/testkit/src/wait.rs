//! Waiting for what nobody tells of: it is looked for again and again, for a bounded time. What can be awaited, as an item of
//! a stream or the end of a process, is awaited instead.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is something, and returns it.
///
/// # Errors
/// What a look fails with; or that there is nothing after this long, with what was waited for.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "no {what} within {within:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
