//! Suspending a tenant with all below it, and resuming what that suspended.
//!
//! It is one transaction: all or nothing, so that a repeated request finds either, and nobody who was resumed for himself
//! meanwhile is suspended again by a retry. That bounds how many tenants one cascade takes.

use tenantry_core::TenantId;
use tenantry_core::clock;
use tenantry_core::event::Event;
use tenantry_store::AcrossTx;

use super::App;
use super::tenants::{Change, tenant_event};
use crate::domain::tenant::{Along, Around, Step, Tenant};
use crate::error::Error;
use crate::store::{tenants, tree};

/// Most tenants below the one that a cascade begins at. Their rows and events are in memory at once.
const MAX_DESCENDANTS: i64 = 1_000;

impl App {
    /// Takes a step with a tenant and all below it.
    pub(crate) async fn cascade(&self, change: Change<'_>, step: &Step) -> Result<Tenant, Error> {
        let mut tx = self.store.across(change.id).await?;
        if let Some(replay) = tx.claim::<Tenant>(change.key).await? {
            let tenant = tenants::find(tx.conn(), change.id)
                .await?
                .ok_or(Error::TenantNotFound)?;
            tenant.admit(change.ctx.permissions)?;
            return Ok(replay.answer);
        }
        let affected = lock(&mut tx, change.id).await?;
        let mut root = affected
            .iter()
            .find(|tenant| tenant.id == change.id)
            .cloned()
            .ok_or(Error::TenantNotFound)?;
        root.admit(change.ctx.permissions)?;
        root.compare(change.etag)?;
        let along = along(step, change.id);
        let (around, now) = (Around::default(), clock::now());
        let (mut changed, mut events): (Vec<Tenant>, Vec<(TenantId, Event)>) =
            (Vec::new(), Vec::new());
        for before in affected {
            let after = if before.id == change.id {
                before.step(step, &around, now)?
            } else {
                match &along {
                    Some(along) => before.go_along(along, now)?,
                    None => None,
                }
            };
            let Some(after) = after else { continue };
            let event = tenant_event(change.ctx, after.action, &before, &after.tenant)?;
            events.push((before.id, event));
            if before.id == change.id {
                root = after.tenant.clone();
            }
            changed.push(after.tenant);
        }
        tenants::update_statuses(tx.conn(), &changed).await?;
        tx.record_all(&events).await?;
        tx.finish(change.key, &root).await?;
        Ok(root)
    }
}

/// What the step means for the tenants below.
fn along(step: &Step, above: TenantId) -> Option<Along> {
    match step {
        Step::Suspend { reason } => Some(Along::Suspend {
            above,
            reason: reason.clone(),
        }),
        Step::Resume => Some(Along::Resume { above }),
        Step::Archive | Step::Delete | Step::Undelete => None,
    }
}

/// The tenant and all below it, locked in the order of their ids. Nobody joins or leaves them until the transaction ends.
async fn lock(tx: &mut AcrossTx, root: TenantId) -> Result<Vec<Tenant>, Error> {
    let tenant = tenants::find(tx.conn(), root)
        .await?
        .ok_or(Error::TenantNotFound)?;
    tree::hold_project(tx.conn(), &tenant.project, true).await?;
    let ids = tree::subtree(tx.conn(), root, MAX_DESCENDANTS + 2).await?;
    if i64::try_from(ids.len()).unwrap_or(i64::MAX) > MAX_DESCENDANTS + 1 {
        return Err(Error::CascadeTooLarge(MAX_DESCENDANTS));
    }
    Ok(tenants::find_all_for_update(tx.conn(), &ids).await?)
}
