//! What goes by itself once its time is past.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_rpc::Tasks;

use super::App;
use crate::error::Error;
use crate::store;

/// How often it is looked for, and most rows of one transaction.
const EVERY: Duration = Duration::from_secs(300);
const ROWS: i64 = 10_000;
/// How long a link that was used tells of the network that used it.
const LINK_DAYS: i32 = 30;

impl App {
    /// Removes what is past its time, from time to time. A sweep that fails is tried again at its next time; it ends by
    /// cancellation only.
    pub(crate) async fn sweep(self: Arc<Self>, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            match self.sweep_once().await {
                Ok(gone) => tracing::debug!(gone, "swept"),
                Err(error) => tracing::warn!(error = %error, "not swept"),
            }
        }
    }

    /// Goes on until nothing is left, in transactions of a bounded size.
    async fn sweep_once(&self) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let mut tx = self.store.begin(TenantId::PLATFORM).await?;
            let batches = [
                store::sessions::sweep(tx.conn(), ROWS).await?,
                store::external_sign_ins::sweep(tx.conn(), ROWS).await?,
                store::attempts::sweep(tx.conn(), ROWS).await?,
                store::sign_ups::sweep(tx.conn(), ROWS).await?,
                store::password_resets::sweep(tx.conn(), LINK_DAYS, ROWS).await?,
            ];
            tx.commit().await?;
            all += batches.iter().sum::<u64>();
            if batches.iter().all(|gone| *gone < ROWS.unsigned_abs()) {
                return Ok(all);
            }
        }
    }
}
