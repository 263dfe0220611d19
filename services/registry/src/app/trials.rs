//! Ending trials at their time. Every replica looks; whichever locks a tenant's row first ends its trial, once.

use std::time::Duration;

use tenantry_core::{Permissions, RequestContext, TenantId, clock};
use tokio_util::sync::CancellationToken;

use super::subscriptions::newest;
use super::tenants::tenant_event;
use super::{App, contained};
use crate::domain::OWN;
use crate::domain::tenant::Transition;
use crate::error::Error;
use crate::store::{plans, tenants, trials};

/// Most trials that one look ends before it looks again.
const AT_ONCE: i64 = 100;
/// Longest wait for the next look: a trial that another replica starts or shortens meanwhile ends that much late at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Wait after a look that failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl App {
    /// Ends trials until told to stop. What it is just doing is either done or not; another replica, or the next start,
    /// goes on.
    pub(crate) async fn end_trials(self, stop: CancellationToken) {
        loop {
            let wait = match self.end_due_trials().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(error = %error, "trials can't be ended; trying again");
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends trials whose time has passed, and says how long to wait for the next.
    async fn end_due_trials(&self) -> Result<Duration, Error> {
        let mut platform = self.store.platform().await?;
        let due = trials::ended(platform.conn(), AT_ONCE).await?;
        let next = trials::next_end(platform.conn()).await?;
        drop(platform);
        let full = i64::try_from(due.len()).unwrap_or(i64::MAX) == AT_ONCE;
        let mut failed = None;
        for tenant in due {
            // One that can't be ended must not keep the others waiting.
            if let Err(error) = contained("ends of trials", self.end_trial(tenant)).await {
                tracing::warn!(tenant.id = %tenant, error = %error, "the trial can't be ended; trying again");
                failed = Some(RETRY_AFTER);
            }
        }
        Ok(match (failed, full, next) {
            (Some(wait), _, _) => wait,
            (None, true, _) => Duration::ZERO,
            (None, false, None) => LOOK_EVERY,
            (None, false, Some(left_ms)) => {
                Duration::from_millis(left_ms.max(1).unsigned_abs()).min(LOOK_EVERY)
            }
        })
    }

    async fn end_trial(&self, id: TenantId) -> Result<(), Error> {
        let mut tx = self.store.begin(id).await?;
        let Some(before) = trials::lock_ended(tx.conn(), id).await? else {
            return Ok(());
        };
        let (project, version) = (&before.project, Some(before.plan_version));
        let plan = plans::find(tx.conn(), project, &before.plan, version).await?;
        let then = plan.ok_or(Error::PlanNotFound)?.definition.after_trial;
        let plan = if then.plan.is_empty() {
            None
        } else {
            Some(newest(&mut tx, project, &then.plan).await?)
        };
        let ended = before.end_trial(then.status, plan.as_ref(), clock::now())?;
        let Some(Transition { tenant, action }) = ended else {
            return Ok(());
        };
        tenants::update(tx.conn(), &tenant).await?;
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        tx.record(&tenant_event(&ctx, action, &before, &tenant)?)
            .await?;
        Ok(tx.commit().await?)
    }
}
