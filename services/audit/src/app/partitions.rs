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
/// How far ahead they are made: longer than anything keeps this worker from its next look.
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 31);

impl App {
    /// Makes the partitions of the present and of the time to come.
    pub(crate) async fn ensure_partitions(&self) -> Result<(), Error> {
        let now = clock::now();
        let mut tx = self.store.platform().await?;
        for ahead in [SignedDuration::ZERO, AHEAD / 4, AHEAD / 2, AHEAD] {
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
