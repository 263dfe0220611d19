//! Step 4: how many requests one process handles at once. Whoever comes through the gateway has a share of the places, so
//! that no tenant's burst takes those of the others. What the fleet itself asks has places of its own: the gateway's question,
//! health, and other services are never refused for what callers do.

use futures::future::Either;
use tenantry_core::{PrincipalKind, Refusal, RequestContext, TenantId};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::places::{Full, Place, Places};

/// Most requests of callers at once; each open stream counts only until it begins.
pub(super) const MOST: usize = 1024;
/// Most of them of one tenant, of one principal who acts in none, or of one address without a credential.
pub(super) const MOST_OF_ONE: usize = MOST / 4;
/// Most requests of the fleet itself at once: several times the callers', each of whose begins with a question of the gateway's.
const MOST_OF_FLEET: usize = 4096;

/// For whom a place is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Tenant(TenantId),
    Principal(Uuid),
    Address(String),
}

impl Holder {
    fn of(ctx: &RequestContext) -> Self {
        match (ctx.tenant_id(), ctx.principal.kind) {
            (Some(tenant), _) => Self::Tenant(tenant),
            (None, PrincipalKind::Anonymous) => Self::Address(ctx.origin.ip.clone()),
            (None, _) => Self::Principal(ctx.principal.id),
        }
    }
}

/// The places of one process.
#[derive(Debug)]
pub(super) struct Load {
    callers: Places<Holder>,
    fleet: Semaphore,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            callers: Places::new(MOST, MOST_OF_ONE),
            fleet: Semaphore::new(MOST_OF_FLEET),
        }
    }

    /// A place for a request of this caller, or of the fleet itself; free again once it is dropped.
    pub(super) fn take(
        &self,
        caller: Option<&RequestContext>,
    ) -> Result<Either<Place<Holder>, SemaphorePermit<'_>>, Refusal> {
        let Some(caller) = caller else {
            let place = self.fleet.try_acquire();
            return place.map(Either::Right).map_err(|_| of_all());
        };
        let place = self.callers.take(Holder::of(caller));
        place.map(Either::Left).map_err(|full| match full {
            Full::ForAll => of_all(),
            Full::ForOne(most) => Refusal::overloaded(format!(
                "{most} requests of this tenant or caller are under way here, as many as one may have. Wait for answers before you send more.",
            )),
        })
    }
}

fn of_all() -> Refusal {
    Refusal::overloaded(
        "This service is at its bound of concurrent requests. Try again in a second.",
    )
}
