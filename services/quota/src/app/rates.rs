//! Requests counted as they come: used once Redis has them. A replica, or Redis, that is lost counts for used what it was granted.

use std::time::Duration;

use tenantry_core::{OnFailure, Permissions, RequestContext, TenantId};
use tenantry_counter::How;
use tenantry_rpc::tenants::TenantEntry;
use tokio::time::Instant;

use super::bounds::Bound;
use super::consuming::Mode;
use super::leases::Leasing;
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

/// Longest that a request waits until its limits' policy holds: the gateway waits a little longer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_500);

/// What becomes of a request that these limits bound, while they can't be looked at: what the one says that admits least.
fn on_failure(bounds: &[Bound]) -> OnFailure {
    let limits = bounds.iter().filter_map(|bound| bound.limit);
    let policies = limits.map(|limit| limit.policy.on_failure);
    policies.min().unwrap_or_default()
}

impl Leasing {
    /// How these limits may be leased.
    fn of(bounds: &[Bound]) -> Self {
        if bounds.iter().any(|bound| bound.rate().is_some()) {
            return Self::Never;
        }
        match on_failure(bounds) {
            OnFailure::Lease => Self::Lasting,
            OnFailure::Closed | OnFailure::Gateway | OnFailure::Open => Self::Short,
        }
    }
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
        let bounds = self.bounds(&tenant, resource_type).await?;
        let on_failure = on_failure(&bounds);
        let rating = self.rate_by(&tenant, (resource_type, hits), bounds);
        if on_failure == OnFailure::Gateway {
            return rating.await;
        }
        match tokio::time::timeout(ANSWERED_WITHIN, rating).await {
            Ok(Ok(rated)) => Ok(rated),
            Ok(Err(error)) if !error.is_unanswered() => Err(error),
            Ok(Err(_)) | Err(_) => {
                let of = (tenant.id, resource_type, hits);
                Ok(Some(self.rate_unanswered(of, on_failure).await))
            }
        }
    }

    /// The same, with what bounds it already known.
    async fn rate_by(
        &self,
        tenant: &TenantEntry,
        (resource_type, hits): (&str, i64),
        mut bounds: Vec<Bound>,
    ) -> Result<Option<Rated>, Error> {
        let trying = Trying::new();
        let decided = loop {
            if bounds.iter().all(|bound| bound.limit.is_none()) {
                break Ok(None);
            }
            if bounds.iter().any(Bound::is_gauge) {
                let rated = Box::pin(self.rate_gauge(tenant, resource_type, hits));
                return Ok(Some(rated.await?));
            }
            let leasing = Leasing::of(&bounds);
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
                    self.leases.note(tenant.id, resource_type, opens, leasing);
                    let left = self.leases.left_in(sent, tenant.id, resource_type);
                    let parts = spending.parts(0);
                    let standing =
                        binding(parts.filter_map(|(open, counter)| Some(open.standing(counter?))));
                    standing.map(|standing| standing.without(left))
                });
            }
            bounds = self.bounds(tenant, resource_type).await?;
        };
        Ok(Some(Rated {
            admitted: decided.is_ok(),
            standing: decided.unwrap_or_else(|refused| Some(refused.standing)),
        }))
    }

    /// What becomes of a request while its limits can't be looked at.
    async fn rate_unanswered(
        &self,
        (tenant, resource_type, hits): (TenantId, &str, i64),
        on_failure: OnFailure,
    ) -> Rated {
        let leased = match on_failure {
            OnFailure::Lease => self.leases.admit(tenant, resource_type, hits).await,
            OnFailure::Closed | OnFailure::Gateway | OnFailure::Open => None,
        };
        let admitted = leased.is_some() || on_failure == OnFailure::Open;
        let policy = on_failure.word();
        metrics::counter!("tenantry_quota_unanswered_total", "policy" => policy, "admitted" => admitted.to_string()).increment(1);
        Rated {
            admitted,
            standing: leased,
        }
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
            Err(Error::QuotaExceeded { standing, .. }) => (false, Some(*standing)),
            Err(error) => return Err(error),
        };
        Ok(Rated { admitted, standing })
    }
}
