//! Changing one tenant.

use jiff::Timestamp;
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, TenantRef, TenantStatus};
use tenantry_store::TenantTx;

use super::App;
use crate::domain::tenant::{Patch, Tenant, Transition};
use crate::error::Error;
use crate::store::{slugs, tenants, tree};

type Outcome = Result<Option<Transition>, Error>;

/// One change of one tenant, asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) key: Option<&'a RequestKey>,
    pub(crate) id: TenantId,
    /// What the change was decided on; empty for whatever there is.
    pub(crate) etag: &'a str,
}

impl App {
    pub(crate) async fn update(
        &self,
        change: Change<'_>,
        mut patch: Patch,
    ) -> Result<Tenant, Error> {
        if let Some(plan) = &patch.plan {
            patch.plan = Some(self.plan(plan)?.key.clone());
        }
        self.change(change, |tenant, now| tenant.update(&patch, now))
            .await
    }

    pub(crate) async fn suspend(&self, change: Change<'_>, reason: &str) -> Result<Tenant, Error> {
        self.change(change, |tenant, now| tenant.suspend(reason, now))
            .await
    }

    pub(crate) async fn resume(&self, change: Change<'_>) -> Result<Tenant, Error> {
        self.change(change, Tenant::resume).await
    }

    /// Brings a tenant back whose parent isn't deleted; it can't be meanwhile.
    pub(crate) async fn undelete(&self, change: Change<'_>) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        let parent = tenants::find(tx.conn(), change.id)
            .await?
            .and_then(|tenant| tenant.parent_id);
        let mut orphan = false;
        if let Some(parent) = parent {
            tree::hold(tx.conn(), parent, false).await?;
            let parent = self.resolve("", &TenantRef::Id(parent)).await?;
            orphan = parent.status == TenantStatus::Deleted;
        }
        self.transit(tx, change, |tenant, now| {
            if orphan && tenant.status == TenantStatus::Deleted {
                return Err(Error::StatusForbids(
                    "Its parent tenant is deleted. Undelete that first.",
                ));
            }
            tenant.undelete(now)
        })
        .await
    }

    /// Deletes a tenant without living children; none can appear meanwhile.
    pub(crate) async fn delete(&self, change: Change<'_>) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        tree::hold(tx.conn(), change.id, true).await?;
        let mut platform = self.store.platform().await?;
        let children = tree::children(platform.conn(), change.id).await?;
        drop(platform);
        self.transit(tx, change, |tenant, now| {
            if children > 0 && tenant.status != TenantStatus::Deleted {
                return Err(Error::HasChildren);
            }
            tenant.delete(now)
        })
        .await
    }

    async fn change(
        &self,
        change: Change<'_>,
        decide: impl FnOnce(&Tenant, Timestamp) -> Outcome,
    ) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        self.transit(tx, change, decide).await
    }

    /// Loads, compares, decides, writes. A decision for no change is answered, and recorded, with the present state.
    async fn transit(
        &self,
        mut tx: TenantTx,
        change: Change<'_>,
        decide: impl FnOnce(&Tenant, Timestamp) -> Outcome,
    ) -> Result<Tenant, Error> {
        let before = tenants::find_for_update(tx.conn(), change.id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        before.admit(change.ctx.permissions)?;
        before.compare(change.etag)?;
        let Some(Transition { tenant, action }) = decide(&before, super::now())? else {
            tx.finish(change.key, &before).await?;
            return Ok(before);
        };
        if tenant.slug != before.slug {
            if !slugs::take(tx.conn(), tenant.id, &tenant.project, &tenant.slug).await? {
                return Err(Error::SlugTaken);
            }
            slugs::free(tx.conn(), tenant.id, &before.project, &before.slug).await?;
        }
        tenants::update(tx.conn(), &tenant).await?;
        let json =
            |tenant: &Tenant| serde_json::to_value(tenant).map_err(tenantry_store::Error::from);
        let event = Event::of(
            change.ctx,
            action,
            "tenant",
            tenant.id.uuid(),
            json(&before)?,
            json(&tenant)?,
        );
        tx.record(&event).await?;
        tx.finish(change.key, &tenant).await?;
        Ok(tenant)
    }
}

/// The first answer to a request that comes again, while the tenant still admits its caller.
async fn replay(tx: &mut TenantTx, change: Change<'_>) -> Result<Option<Tenant>, Error> {
    let Some(replay) = tx.claim::<Tenant>(change.key).await? else {
        return Ok(None);
    };
    let tenant = tenants::find(tx.conn(), change.id)
        .await?
        .ok_or(Error::TenantNotFound)?;
    tenant.admit(change.ctx.permissions)?;
    Ok(Some(replay.answer))
}
