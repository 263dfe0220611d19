//! Step 4: how many requests one process handles at once, in parts that can't take one another's places: of those who signed
//! in, of strangers, of the gateway that asks about requests, and of other services. Among those who signed in each tenant and
//! each principal has a share, among strangers each network, so that a burst takes its own share and no more. Health is asked
//! seldom and costs nothing: it is always answered.

use tenantry_core::{PrincipalKind, Refusal, RequestContext, TenantId, network};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::identity::{self, HEALTH};
use crate::places::{Full, Place, Places};

/// Most requests at once of those who signed in; each open stream counts only until it begins.
pub(super) const MOST: usize = 1024;
/// Most of them in one tenant, and of one principal in whichever tenants.
pub(super) const MOST_OF_ONE: usize = MOST / 8;
/// Most requests at once of those who have no credential, as to sign in; and of one network.
pub(super) const MOST_OF_STRANGERS: usize = MOST / 4;
pub(super) const MOST_OF_NETWORK: usize = MOST_OF_STRANGERS / 8;
/// Most questions of the gateway at once: several times the requests that they are about.
pub(super) const MOST_QUESTIONS: usize = 4096;
/// Most requests of other services at once.
const MOST_OF_SERVICES: usize = 4096;

/// The places of one process.
#[derive(Debug)]
pub(super) struct Load {
    of_tenants: Places<TenantId>,
    of_principals: Places<String>,
    of_networks: Places<String>,
    questions: Semaphore,
    of_services: Semaphore,
}

/// What one request takes; free again once it is dropped.
#[derive(Debug)]
pub(super) enum Taken<'a> {
    Nothing,
    OfFleet(#[allow(dead_code)] SemaphorePermit<'a>),
    OfStranger(#[allow(dead_code)] Place<String>),
    OfPrincipal {
        _principal: Place<String>,
        _tenant: Option<Place<TenantId>>,
    },
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            of_tenants: Places::new(MOST, MOST_OF_ONE),
            of_principals: Places::new(MOST, MOST_OF_ONE),
            of_networks: Places::new(MOST_OF_STRANGERS, MOST_OF_NETWORK),
            questions: Semaphore::new(MOST_QUESTIONS),
            of_services: Semaphore::new(MOST_OF_SERVICES),
        }
    }

    /// A place for a request for this path, of this caller where the method wants to know one.
    pub(super) fn take(
        &self,
        path: &str,
        caller: Option<&RequestContext>,
    ) -> Result<Taken<'_>, Refusal> {
        let Some(caller) = caller else {
            if path.starts_with(HEALTH) {
                return Ok(Taken::Nothing);
            }
            let place = self.questions.try_acquire();
            return place.map(Taken::OfFleet).map_err(|_| of_all());
        };
        if identity::is_internal(path) {
            let place = self.of_services.try_acquire();
            return place.map(Taken::OfFleet).map_err(|_| of_all());
        }
        if caller.principal.kind == PrincipalKind::Anonymous {
            let place = self.of_networks.take(network(&caller.origin.ip));
            return place
                .map(Taken::OfStranger)
                .map_err(|full| full.refusal("requests", "from your network"));
        }
        let tenant = caller.tenant_id().map(|id| self.of_tenants.take(id));
        let tenant = tenant.transpose();
        let principal = self.of_principals.take(caller.principal.key());
        Ok(Taken::OfPrincipal {
            _tenant: tenant.map_err(|full| full.refusal("requests", "of this tenant"))?,
            _principal: principal.map_err(|full| full.refusal("requests", "of yours"))?,
        })
    }
}

fn of_all() -> Refusal {
    Full::ForAll.refusal("requests", "")
}
