//! Step 5: how many requests one process handles at once, in parts that can't take one another's places: of those who signed
//! in, of strangers, of the gateway that asks about requests, and of other services. Among those who signed in each tenant and
//! each principal has a share, among strangers each network and each site, so that a burst takes its own share and no more.
//! Strangers who sign in take no place of those who go on with their session, nor of who asks how the fleet is. Health is
//! asked seldom and costs nothing: it is always answered.

use tenantry_core::{PrincipalKind, Refusal, RequestContext, TenantId, network, site};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::identity::{self, HEALTH};
use crate::places::{Full, Place, Places};

/// Most requests at once of those who signed in; each open stream counts only until it begins.
pub(super) const MOST: usize = 1024;
/// Most of them in one tenant, and of one principal in whichever tenants.
pub(super) const MOST_OF_ONE: usize = MOST / 8;
/// Most requests at once of those who have no credential, as to sign in; of one site, and of one network in it.
pub(super) const MOST_OF_STRANGERS: usize = MOST / 4;
pub(super) const MOST_OF_SITE: usize = MOST_OF_STRANGERS / 4;
pub(super) const MOST_OF_NETWORK: usize = MOST_OF_STRANGERS / 8;
/// Most questions of the gateway at once: several times the requests that they are about.
pub(super) const MOST_QUESTIONS: usize = 4096;
/// Most requests of other services at once.
const MOST_OF_SERVICES: usize = 4096;

/// What those call who have a session, and show no other credential.
pub(super) const REFRESH: &str = "/tenantry.identity.v1.AuthService/Refresh";
/// What machines ask that watch the fleet or trust it: as good as nothing to answer.
pub(super) const GLANCES: &[&str] = &[
    "/tenantry.identity.v1.AuthService/GetJwks",
    "/tenantry.identity.v1.ReadinessService/GetReadiness",
];

/// The places of one process.
#[derive(Debug)]
pub(super) struct Load {
    of_tenants: Places<Holder>,
    of_principals: Places<Holder>,
    sign_ins: Strangers,
    refreshes: Strangers,
    glances: Strangers,
    questions: Semaphore,
    of_services: Semaphore,
}

/// Places for one thing that strangers do.
#[derive(Debug)]
struct Strangers {
    of_networks: Places<Holder>,
    of_sites: Places<Holder>,
}

/// Whose a place is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Tenant(TenantId),
    Principal(String),
    Network(String),
    Site(String),
}

/// What one request takes; free again once it is dropped.
pub(super) type Taken<'a> = (
    Option<SemaphorePermit<'a>>,
    Option<Place<Holder>>,
    Option<Place<Holder>>,
);

impl Load {
    pub(super) fn new() -> Self {
        Self {
            of_tenants: Places::new(MOST, MOST_OF_ONE),
            of_principals: Places::new(MOST, MOST_OF_ONE),
            sign_ins: Strangers::new(),
            refreshes: Strangers::new(),
            glances: Strangers::new(),
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
                return Ok((None, None, None));
            }
            return of_fleet(&self.questions);
        };
        if identity::is_internal(path) {
            return of_fleet(&self.of_services);
        }
        if caller.principal.kind == PrincipalKind::Anonymous {
            let (network, site) = self.strangers(path).take(&caller.origin.ip)?;
            return Ok((None, Some(network), Some(site)));
        }
        let tenant = caller.tenant_id().map(Holder::Tenant);
        let tenant = tenant.map(|tenant| take(&self.of_tenants, tenant));
        let principal = Holder::Principal(caller.principal.key());
        let principal = take(&self.of_principals, principal)?;
        Ok((None, tenant.transpose()?, Some(principal)))
    }

    fn strangers(&self, path: &str) -> &Strangers {
        match path {
            REFRESH => &self.refreshes,
            path if GLANCES.contains(&path) => &self.glances,
            _ => &self.sign_ins,
        }
    }
}

impl Strangers {
    fn new() -> Self {
        Self {
            of_networks: Places::new(MOST_OF_STRANGERS, MOST_OF_NETWORK),
            of_sites: Places::new(MOST_OF_STRANGERS, MOST_OF_SITE),
        }
    }

    fn take(&self, ip: &str) -> Result<(Place<Holder>, Place<Holder>), Refusal> {
        let network = take(&self.of_networks, Holder::Network(network(ip)))?;
        let site = take(&self.of_sites, Holder::Site(site(ip)))?;
        Ok((network, site))
    }
}

fn of_fleet(places: &Semaphore) -> Result<Taken<'_>, Refusal> {
    let place = places.try_acquire();
    let place = place.map_err(|_| Full::ForAll.refusal("requests", ""))?;
    Ok((Some(place), None, None))
}

fn take(places: &Places<Holder>, holder: Holder) -> Result<Place<Holder>, Refusal> {
    let whose = match holder {
        Holder::Tenant(_) => "of this tenant",
        Holder::Principal(_) => "of yours",
        Holder::Network(_) | Holder::Site(_) => "from your network",
    };
    let place = places.take(holder);
    place.map_err(|full| full.refusal("requests", whose))
}
