//! Placing and releasing legal holds. Each locks the tenant's row, so that a hold and a deletion never pass each other, and
//! is a change of the tenant too: whoever follows the feed must know what may not be removed.

use tenantry_core::{LegalHoldId, TenantId, clock};

use super::App;
use super::event::event;
use super::tenants::Change;
use crate::domain::hold::{LegalHold, MAX_HOLDS};
use crate::error::Error;
use crate::store::{holds, tenants};

impl App {
    /// Places a hold on a tenant whose purge hasn't begun, deleted ones included: those can still be kept from it.
    pub(crate) async fn place_hold(
        &self,
        change: Change<'_>,
        holder: &str,
        reason: &str,
    ) -> Result<LegalHold, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(replay) = tx.claim::<LegalHold>(change.key).await? {
            return Ok(replay.answer);
        }
        let tenant = tenants::find_for_update(tx.conn(), change.id).await?;
        let tenant = tenant.ok_or(Error::TenantNotFound)?;
        // What a purge has begun to remove, no hold keeps: to say otherwise would promise what is gone.
        tenant.not_being_purged()?;
        if holds::list(tx.conn(), change.id).await?.len() >= MAX_HOLDS {
            return Err(Error::TooManyHolds);
        }
        let hold = LegalHold {
            id: LegalHoldId::new(),
            tenant_id: change.id,
            holder: holder.to_owned(),
            reason: reason.to_owned(),
            placed_by: change.ctx.principal.clone(),
            placed_at: clock::now(),
        };
        holds::insert(tx.conn(), &hold).await?;
        holds::mark(tx.conn(), &tenant.held(true, clock::now())).await?;
        let kind = ("legal_hold", hold.id.uuid());
        let event = event(change.ctx, "legal_hold.placed", kind, None, Some(&hold))?;
        tx.record(&event).await?;
        tx.finish(change.key, &hold).await?;
        Ok(hold)
    }

    /// Ends a hold.
    pub(crate) async fn release_hold(
        &self,
        change: Change<'_>,
        id: LegalHoldId,
    ) -> Result<LegalHold, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(replay) = tx.claim::<LegalHold>(change.key).await? {
            return Ok(replay.answer);
        }
        let tenant = tenants::find_for_update(tx.conn(), change.id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        let mut standing = holds::list(tx.conn(), change.id).await?;
        let place = standing.iter().position(|hold| hold.id == id);
        let hold = standing.remove(place.ok_or(Error::LegalHoldNotFound)?);
        holds::remove(tx.conn(), change.id, id).await?;
        let still_held = !standing.is_empty();
        holds::mark(tx.conn(), &tenant.held(still_held, clock::now())).await?;
        let kind = ("legal_hold", id.uuid());
        let event = event(change.ctx, "legal_hold.released", kind, Some(&hold), None)?;
        tx.record(&event).await?;
        tx.finish(change.key, &hold).await?;
        Ok(hold)
    }

    /// The holds that stand on a tenant.
    pub(crate) async fn holds(&self, id: TenantId) -> Result<Vec<LegalHold>, Error> {
        let mut tx = self.store.read(id).await?;
        tenants::find(tx.conn(), id)
            .await?
            .ok_or(Error::TenantNotFound)?;
        Ok(holds::list(tx.conn(), id).await?)
    }
}
