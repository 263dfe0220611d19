//! Requests counted as they come: used once Redis has them. A replica, or Redis, that is lost counts for used what it was granted.

use tenantry_core::{Permissions, RequestContext, TenantId};
use tenantry_counter::How;
use tenantry_rpc::tenants::TenantEntry;
use tokio::time::Instant;

use super::bounds::Bound;
use super::consuming::Mode;
use super::posting::tightest;
use super::spending::{Demand, Trying};
use super::{App, Consumption, OWN};
use crate::domain::decision::{Standing, binding};
use crate::error::Error;

/// How a limit stands behind a request that was counted, or refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rated {
    /// Whether the request was counted.
    pub(crate) admitted: bool,
    /// None where nothing bounds it.
    pub(crate) standing: Option<Standing>,
}

impl App {
    /// Counts a request of this weight, where the limits of the tenant have it; none where there is no such tenant.
    pub(crate) async fn rate(
        &self,
        tenant: TenantId,
        resource_type: &str,
        hits: i64,
    ) -> Result<Option<Rated>, Error> {
        if let Some(standing) = self.leases.admit(tenant, resource_type, hits).await {
            return Ok(Some(Rated {
                admitted: true,
                standing: Some(standing),
            }));
        }
        // A leased one needs no place for it.
        Box::pin(self.rate_in_redis(tenant, resource_type, hits)).await
    }

    async fn rate_in_redis(
        &self,
        tenant: TenantId,
        resource_type: &str,
        hits: i64,
    ) -> Result<Option<Rated>, Error> {
        let Some(tenant) = self.tenants.get(tenant).await? else {
            return Ok(None);
        };
        let trying = Trying::new();
        let decided = loop {
            let bounds = self.bounds(&tenant, resource_type).await?;
            if bounds.iter().all(|bound| bound.limit.is_none()) {
                break Ok(None);
            }
            if bounds.iter().any(Bound::is_gauge) {
                let rated = Box::pin(self.rate_gauge(&tenant, resource_type, hits));
                return Ok(Some(rated.await?));
            }
            let demands = [Demand {
                resource_type,
                amount: hits,
                bounds,
            }];
            let sent = Instant::now();
            let tried = self.spend(&demands, How::Fast).await?;
            if let Some(decided) = trying.decided(tried).await? {
                break decided.map(|spending| {
                    self.tally.add(tenant.id, resource_type, hits);
                    let opens = spending.opens.iter().map(|(_, open)| open);
                    self.leases.note(tenant.id, resource_type, opens);
                    let left = self.leases.left_in(sent, tenant.id, resource_type);
                    let parts = spending.parts(0);
                    let standing =
                        binding(parts.filter_map(|(open, counter)| Some(open.standing(counter?))));
                    standing.map(|standing| standing.without(left))
                });
            }
        };
        Ok(Some(Rated {
            admitted: decided.is_ok(),
            standing: decided.unwrap_or_else(|refused| Some(refused.standing)),
        }))
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
            amounts: vec![(resource_type.to_owned(), hits)],
            mode: Mode::Normal,
            description: String::new(),
        };
        let (admitted, standing) = match self.consume(&ctx, None, tenant, &consumption).await {
            Ok(consumed) => (true, tightest(&consumed.counted).map(|line| line.standing)),
            Err(Error::QuotaExceeded { standing, .. }) => (false, Some(standing)),
            Err(error) => return Err(error),
        };
        Ok(Rated { admitted, standing })
    }
}
