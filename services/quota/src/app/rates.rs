//! Requests counted as they come: used once Redis has them. A replica, or Redis, that is lost counts for used what it was granted.

use tenantry_core::{Permissions, RequestContext, TenantId};
use tenantry_counter::How;
use tenantry_rpc::tenants::TenantEntry;

use super::bounds::Bound;
use super::spending::Trying;
use super::{App, Consumption, OWN};
use crate::domain::decision::{Standing, binding};
use crate::domain::period::ResetPeriod;
use crate::error::Error;

/// How a limit stands behind a request that was counted, or refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rated {
    /// Whether the request was counted.
    pub(crate) admitted: bool,
    /// None where nothing bounds it.
    pub(crate) standing: Option<(Standing, ResetPeriod)>,
}

impl App {
    /// The tenant of this id; none where there is none that is in use.
    pub(crate) async fn rated_tenant(&self, id: TenantId) -> Result<Option<TenantEntry>, Error> {
        Ok(self.tenants.get(id).await?)
    }

    /// Counts a request of this weight, where the limits of the tenant have it.
    pub(crate) async fn rate(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
        hits: i64,
    ) -> Result<Rated, Error> {
        let bounds = self.bounds(tenant, resource_type).await?;
        if bounds.iter().all(|bound| bound.limit.is_none()) {
            return Ok(Rated {
                admitted: true,
                standing: None,
            });
        }
        let gauge =
            |bound: &Bound| bound.limit.is_some() && bound.reset_period() == ResetPeriod::Never;
        if bounds.iter().any(gauge) {
            return self.rate_gauge(tenant, resource_type, hits).await;
        }
        let period = |standing: Standing| {
            let bound = bounds
                .iter()
                .find(|bound| bound.tenant.id == standing.tenant);
            Some((standing, bound?.reset_period()))
        };
        let what = (resource_type, hits);
        let trying = Trying::new();
        let decided = loop {
            let tried = self.spend(tenant, what, How::Fast).await?;
            if let Some(decided) = trying.decided(tried).await? {
                break decided;
            }
        };
        let spent = decided.map(|spending| {
            let parts = spending.parts();
            binding(parts.filter_map(|(open, counter)| Some(open.standing(counter?))))
        });
        Ok(match spent {
            Ok(standing) => Rated {
                admitted: true,
                standing: standing.and_then(period),
            },
            Err(standing) => Rated {
                admitted: false,
                standing: period(standing),
            },
        })
    }

    /// What never resets is counted in the ledger alone: each request is committed.
    async fn rate_gauge(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
        hits: i64,
    ) -> Result<Rated, Error> {
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        let consumption = Consumption {
            resource_type: resource_type.to_owned(),
            amount: hits,
            description: String::new(),
        };
        let (admitted, standing) = match self.consume(&ctx, None, tenant, &consumption).await {
            Ok(standing) => (true, standing),
            Err(Error::QuotaExceeded { standing, .. }) => (false, standing),
            Err(error) => return Err(error),
        };
        Ok(Rated {
            admitted,
            standing: Some((standing, ResetPeriod::Never)),
        })
    }
}
