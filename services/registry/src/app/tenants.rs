//! Changing one tenant.

use jiff::Timestamp;
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, TenantRef, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use crate::domain::tenant::{Around, Outcome, Patch, Step, Tenant, Transition};
use crate::error::Error;
use crate::store::{holds, slugs, tenants, tree};

/// One change of one tenant, asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) key: Option<&'a RequestKey>,
    pub(crate) id: TenantId,
    /// What the change was decided on; empty for whatever there is.
    pub(crate) etag: &'a str,
}

impl<'a> Change<'a> {
    pub(crate) fn new(
        ctx: &'a RequestContext,
        key: &'a Option<RequestKey>,
        id: TenantId,
        etag: &'a str,
    ) -> Self {
        let key = key.as_ref();
        Self { ctx, key, id, etag }
    }
}

impl App {
    pub(crate) async fn update(&self, change: Change<'_>, patch: &Patch) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        let plan = match &patch.plan {
            Some(name) => Some(self.plan_for(&mut tx, change, name).await?),
            None => None,
        };
        self.transit(tx, change, |tenant, now| {
            tenant.update(patch, plan.as_ref(), now)
        })
        .await
    }

    /// Moves a tenant along in its life.
    pub(crate) async fn step(&self, change: Change<'_>, step: &Step) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        let mut around = self.around(&mut tx, change.id, step).await?;
        let before = lock(&mut tx, change).await?;
        if matches!(step, Step::Delete) {
            around.holders = holds::holders(tx.conn(), change.id).await?;
        }
        let after = before.step(step, &around, clock::now())?;
        write(tx, change, before, after).await
    }

    /// What stands around a tenant that a step depends on, held so that it stays so: no child appears below a tenant that
    /// is just going out of use, and no parent goes while its child comes back.
    async fn around(&self, tx: &mut TenantTx, id: TenantId, step: &Step) -> Result<Around, Error> {
        let mut around = Around::default();
        match step {
            Step::Suspend { .. } | Step::Archive => tree::hold(tx.conn(), id, true).await?,
            Step::Delete => {
                tree::hold(tx.conn(), id, true).await?;
                let mut platform = self.store.platform().await?;
                around.living_children = tree::children(platform.conn(), id).await?;
            }
            Step::Undelete => {
                let tenant = tenants::find(tx.conn(), id).await?;
                let tenant = tenant.ok_or(Error::TenantNotFound)?;
                tree::hold_project(tx.conn(), &tenant.project, false).await?;
                if let Some(parent) = tenant.parent_id {
                    tree::hold(tx.conn(), parent, false).await?;
                    let parent = self.resolve("", &TenantRef::Id(parent)).await?;
                    around.parent = Some((parent.id, parent.status));
                }
            }
            Step::Resume => {}
        }
        Ok(around)
    }

    /// Loads, compares, decides, writes, commits.
    pub(super) async fn transit(
        &self,
        mut tx: TenantTx,
        change: Change<'_>,
        decide: impl FnOnce(&Tenant, Timestamp) -> Outcome,
    ) -> Result<Tenant, Error> {
        let before = lock(&mut tx, change).await?;
        let after = decide(&before, clock::now())?;
        write(tx, change, before, after).await
    }
}

/// The tenant as it is, locked; refused where it doesn't admit the caller, or isn't what the caller decided on.
pub(super) async fn lock(tx: &mut TenantTx, change: Change<'_>) -> Result<Tenant, Error> {
    let before = tenants::find_for_update(tx.conn(), change.id)
        .await?
        .ok_or(Error::TenantNotFound)?;
    before.admit(change.ctx.permissions)?;
    before.compare(change.etag)?;
    Ok(before)
}

/// Writes what was decided, and commits. A decision for no change is answered, and recorded, with the present state.
pub(super) async fn write(
    mut tx: TenantTx,
    change: Change<'_>,
    before: Tenant,
    after: Option<Transition>,
) -> Result<Tenant, Error> {
    let Some(Transition { tenant, action }) = after else {
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
    let event = tenant_event(change.ctx, action, &before, &tenant)?;
    tx.record(&event).await?;
    tx.finish(change.key, &tenant).await?;
    Ok(tenant)
}

/// The event of a tenant's change.
pub(super) fn tenant_event(
    ctx: &RequestContext,
    action: &str,
    before: &Tenant,
    after: &Tenant,
) -> Result<Event, Error> {
    let kind = ("tenant", after.id.uuid());
    event(ctx, action, kind, Some(before), Some(after))
}

/// The first answer to a request that comes again, while the tenant still admits its caller.
pub(super) async fn replay(tx: &mut TenantTx, change: Change<'_>) -> Result<Option<Tenant>, Error> {
    let Some(replay) = tx.claim::<Tenant>(change.key).await? else {
        return Ok(None);
    };
    let tenant = tenants::find(tx.conn(), change.id)
        .await?
        .ok_or(Error::TenantNotFound)?;
    tenant.admit(change.ctx.permissions)?;
    Ok(Some(replay.answer))
}
