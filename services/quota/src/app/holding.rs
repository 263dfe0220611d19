//! What other services keep, counted as it comes and goes: held before it is made, committed while it is there, released for good. What
//! is so of an item decides, so each step may be told however often, and late.

use std::collections::HashMap;

use futures::future::join_all;
use jiff::SignedDuration;
use tenantry_core::{Refusal, RequestContext, ReservationId, TenantId};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use super::committing::{Commission, Outcome};
use super::posting::{Posting, exceeded};
use super::reserving::Used;
use crate::domain::entry::{Amount, Kind, Posted};
use crate::domain::reservation::{NewReservation, Owned, Reservation, Reserving, Status};
use crate::error::Error;
use crate::store::holds;

/// How often an item is looked at that others change meanwhile: it goes three steps at most.
const TURNS: usize = 5;

/// Items of another service.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    /// The service that keeps them.
    pub(crate) owner: String,
    /// What each of them counts one of.
    pub(crate) resource_type: String,
    pub(crate) ids: Vec<ReservationId>,
}

impl App {
    /// Holds those that the limits have, which are returned; refused where they have none of them. What is known already is held, and
    /// counts as it did.
    pub(crate) async fn hold_items(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        items: &Items,
        ttl: SignedDuration,
    ) -> Result<Vec<ReservationId>, Error> {
        let tenant = self.tenants.get(tenant).await?;
        let tenant = tenant.ok_or(Error::TenantNotFound)?;
        let known = self.known_items(tenant.id, items, &items.ids).await?;
        let holds = items.ids.iter().map(|id| async {
            if known.contains_key(id) {
                return Ok(());
            }
            match self.hold_one(ctx, &tenant, items, (*id, ttl)).await {
                // Another request of the same item may have had the last one.
                Err(Error::QuotaExceeded { .. })
                    if !self.known_items(tenant.id, items, &[*id]).await?.is_empty() =>
                {
                    Ok(())
                }
                held => held,
            }
        });
        let mut held = Vec::with_capacity(items.ids.len());
        let mut refused = None;
        for (id, outcome) in items.ids.iter().zip(join_all(holds).await) {
            match outcome {
                Ok(()) => held.push(*id),
                Err(error @ Error::QuotaExceeded { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if held.is_empty() => Err(error),
            Some(_) | None => Ok(held),
        }
    }

    async fn hold_one(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        items: &Items,
        (id, ttl): (ReservationId, SignedDuration),
    ) -> Result<(), Error> {
        let mut posting = Posting::new(ctx, None, tenant, Kind::Reserved, "")
            .line(&items.resource_type, Amount::By(1));
        posting.entry.refers_to = Some(id.uuid());
        posting.reservation = Some(items.new_one(id, Status::Held, ttl));
        match self.post(&posting).await {
            Ok(Ok(_)) | Err(Error::ReservationNotHeld(Some(_))) => Ok(()),
            Ok(Err(refused)) => Err(exceeded(&posting, refused)),
            Err(error) => Err(error),
        }
    }

    /// Has items counted, whatever the limits are.
    pub(crate) async fn confirm_items(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        items: &Items,
    ) -> Result<(), Error> {
        self.make_sure(ctx, tenant, items, Status::Committed).await
    }

    /// Has items no longer counted, for good.
    pub(crate) async fn release_items(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        items: &Items,
    ) -> Result<(), Error> {
        self.make_sure(ctx, tenant, items, Status::Released).await
    }

    /// Makes items committed, those that aren't released, or released. Of a tenant that is gone nothing is counted any more.
    async fn make_sure(
        &self,
        ctx: &RequestContext,
        tenant: TenantId,
        items: &Items,
        status: Status,
    ) -> Result<(), Error> {
        let Some(tenant) = self.tenants.get(tenant).await? else {
            return Ok(());
        };
        let steps = items.ids.iter().map(|id| async {
            for _ in 0..TURNS {
                match self.step(ctx, &tenant, items, (*id, status)).await {
                    // Others were there meanwhile.
                    Err(Error::ReservationNotHeld(_)) => {}
                    Err(Error::Store(tenantry_store::Error::TenantClosed)) => return Ok(()),
                    stepped => return stepped,
                }
            }
            Err(Refusal::unavailable().into())
        });
        for stepped in join_all(steps).await {
            stepped?;
        }
        Ok(())
    }

    /// One item, as far as it isn't so already.
    async fn step(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        items: &Items,
        (id, status): (ReservationId, Status),
    ) -> Result<(), Error> {
        let mut known = self.known_items(tenant.id, items, &[id]).await?;
        let Some(before) = known.remove(&id) else {
            return match status {
                Status::Released => self.note_gone(ctx, tenant, items, id).await,
                _ => self.count_one(ctx, tenant, items, id).await,
            };
        };
        let (kind, lines) = match (before.status, status) {
            (Status::Held, Status::Committed) => (Kind::Committed, before.lines.clone()),
            (Status::Held | Status::Committed, Status::Released) => {
                (Kind::Released, Used::Nothing.of(&before)?)
            }
            _ => return Ok(()),
        };
        let posting = Posting::new(ctx, None, tenant, kind, "");
        self.end(posting, &before, status, lines).await?;
        Ok(())
    }

    /// Counts an item that nobody held a place for: it is there.
    async fn count_one(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        items: &Items,
        id: ReservationId,
    ) -> Result<(), Error> {
        let mut posting = Posting::new(ctx, None, tenant, Kind::Adjusted, "")
            .line(&items.resource_type, Amount::By(1));
        posting.entry.refers_to = Some(id.uuid());
        posting.reservation = Some(items.new_one(id, Status::Committed, SignedDuration::ZERO));
        self.post_all(&posting).await.map(drop)
    }

    /// Remembers that an item is gone that was never heard of: what comes late counts nothing.
    async fn note_gone(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        items: &Items,
        id: ReservationId,
    ) -> Result<(), Error> {
        let posting = Posting::new(ctx, None, tenant, Kind::Released, "");
        let new = items.new_one(id, Status::Released, SignedDuration::ZERO);
        let commission = Commission {
            entry: posting.entry,
            reserving: Some(Reserving::Make(new)),
        };
        let root = self.root(tenant).await?;
        match self.committer.commit(commission, root).await? {
            Outcome::NotHeld(status) => Err(Error::ReservationNotHeld(status)),
            Outcome::Posted(Posted::Ended) => Err(tenantry_store::Error::TenantClosed.into()),
            Outcome::Posted(_) | Outcome::Again(_) => Ok(()),
        }
    }

    async fn known_items(
        &self,
        tenant: TenantId,
        items: &Items,
        ids: &[ReservationId],
    ) -> Result<HashMap<ReservationId, Reservation>, Error> {
        let mut tx = self.store.read(tenant).await?;
        let known = holds::known(tx.conn(), tenant, &items.owner, ids).await?;
        Ok(known.into_iter().map(|one| (one.id, one)).collect())
    }
}

impl Items {
    fn new_one(&self, id: ReservationId, status: Status, ttl: SignedDuration) -> NewReservation {
        NewReservation {
            id,
            lines: Vec::new(),
            description: String::new(),
            ttl,
            owned: Some(Owned {
                owner: self.owner.clone(),
                status,
            }),
        }
    }
}
