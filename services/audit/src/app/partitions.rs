//! Keeps partitions ready for the events of the weeks to come.

use std::time::Duration;

use jiff::SignedDuration;
use tenantry_core::clock;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::error::Error;
use crate::store::partitions;

/// How often they are looked after.
const EVERY: Duration = Duration::from_secs(3_600);
/// For how many weeks ahead they are made: longer than anything keeps this worker from its next look.
const WEEKS_AHEAD: i64 = 5;
const HOURS_PER_WEEK: i64 = 24 * 7;

impl App {
    /// Makes the partitions of the present and of the time to come.
    pub(crate) async fn ensure_partitions(&self) -> Result<(), Error> {
        let now = clock::now();
        let mut tx = self.store.platform().await?;
        for week in 0..=WEEKS_AHEAD {
            let ahead = SignedDuration::from_hours(week * HOURS_PER_WEEK);
            partitions::ensure(tx.conn(), now.saturating_add(ahead).unwrap_or(now)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Does so from time to time, until it is cancelled.
    pub(crate) async fn look_after_partitions(
        self: std::sync::Arc<Self>,
        cancel: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.ensure_partitions().await {
                tracing::error!(error = %error, "partitions for the events to come can't be made; it is tried again");
            }
        }
    }
}
