//! Settles accounts whose window is over: what their counters were spent fast is only then known to the ledger for good. And removes
//! what has had its time. Every replica looks; whichever locks an account first settles it.

use std::sync::Arc;
use std::time::Duration;

use tenantry_rpc::contained;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::domain::account::AccountId;
use crate::error::Error;
use crate::store::{accounts, reservations, series, usage};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many looks lie between two sweeps, and how many rows one of them removes at once.
const SWEEP_EACH: u32 = 900;
const SWEEP_ROWS: i64 = 5_000;
/// Most accounts that one look settles before it looks again.
const AT_ONCE: i64 = 500;

impl App {
    /// Settles until told to stop. What it is just doing is either done or not; another replica goes on.
    pub(crate) async fn settle_accounts(self: Arc<Self>, stop: CancellationToken) {
        let mut looks: u32 = 0;
        loop {
            if let Err(error) = self.settle_some().await {
                tracing::warn!(error = %error, "accounts can't be settled; trying again");
            }
            if looks.is_multiple_of(SWEEP_EACH)
                && let Err(error) = self.sweep().await
            {
                tracing::warn!(error = %error, "old usage was not swept");
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn settle_some(&self) -> Result<(), Error> {
        let mut platform = self.store.platform().await?;
        let over = accounts::over(platform.conn(), AT_ONCE).await?;
        drop(platform);
        for id in over {
            let settled = contained("settling of accounts", self.settle(&id)).await;
            if let Some(Err(error)) = settled {
                tracing::warn!(tenant.id = %id.tenant, error = %error, "an account can't be settled; trying again");
            }
        }
        Ok(())
    }

    /// Removes what has had its time, in transactions of a bounded size.
    async fn sweep(&self) -> Result<(), Error> {
        loop {
            let mut tx = self.store.platform().await?;
            let records = usage::sweep(tx.conn(), SWEEP_ROWS).await?;
            let accounts = accounts::sweep(tx.conn(), SWEEP_ROWS).await?;
            let spans = series::sweep(tx.conn(), SWEEP_ROWS).await?;
            let reservations = reservations::sweep(tx.conn(), SWEEP_ROWS).await?;
            tx.commit().await?;
            let most = records.max(accounts).max(spans).max(reservations);
            if most < SWEEP_ROWS.unsigned_abs() {
                return Ok(());
            }
        }
    }

    async fn settle(&self, id: &AccountId) -> Result<(), Error> {
        let mut tx = self.store.begin(id.tenant).await?;
        for mut account in accounts::lock(tx.conn(), [id]).await? {
            self.ledger.end(&mut account).await?;
            accounts::save(tx.conn(), &account).await?;
        }
        tx.still_open().await?;
        Ok(tx.commit().await?)
    }
}
