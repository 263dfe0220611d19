//! Ends overrides at their time. Every replica looks; whichever locks an override first ends it, once.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::{Permissions, RequestContext, TenantId};
use tenantry_rpc::contained;
use tokio_util::sync::CancellationToken;

use super::limits::{EXPIRED, event};
use super::{App, OWN};
use crate::error::Error;
use crate::store::{accounts, overrides};

/// How often it is looked: an override ends that much late at most.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Most overrides that one look ends before it looks again.
const AT_ONCE: i64 = 100;

impl App {
    /// Ends overrides until told to stop. What it is just doing is either done or not; another replica goes on.
    pub(crate) async fn end_overrides(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.end_expired().await {
                tracing::warn!(error = %error, "overrides can't be ended; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn end_expired(&self) -> Result<(), Error> {
        let mut platform = self.store.platform().await?;
        let due = overrides::expired(platform.conn(), AT_ONCE).await?;
        drop(platform);
        for (tenant, resource_type) in due {
            let ended = contained("ends of overrides", self.expire(tenant, &resource_type)).await;
            if let Some(Err(error)) = ended {
                tracing::warn!(tenant.id = %tenant, error = %error, "an override can't be ended; trying again");
            }
        }
        Ok(())
    }

    async fn expire(&self, id: TenantId, resource_type: &str) -> Result<(), Error> {
        let Some(tenant) = self.tenants.get(id).await? else {
            return Ok(());
        };
        let mut tx = self.store.begin(id).await?;
        let before = overrides::lock(tx.conn(), id, resource_type).await?;
        let now = accounts::now(tx.conn()).await?;
        let ended = before.filter(|set| set.expires_at.is_some_and(|at| at <= now));
        let Some(before) = ended else { return Ok(()) };
        self.without(&mut tx, &tenant, &before, true).await?;
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        tx.record(&event(&ctx, EXPIRED, before.id, Some(&before), None)?)
            .await?;
        tx.commit().await?;
        self.ledger.forget(id, resource_type);
        self.overrides.remove(id, &before);
        Ok(())
    }
}
