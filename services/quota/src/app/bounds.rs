//! What bounds a tenant's use of a resource type: its own limit, and the pools that tenants above it share.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use tenantry_core::refusal::Refusal;
use tenantry_core::{Rate, Reason, TenantId};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use crate::domain::limit::{
    Cap, Known, Limit, LimitOverride, OfPlan, RESOURCE_TYPES, Requested, unbounded_period,
};
use crate::domain::period::ResetPeriod;
use crate::error::Error;

/// One limit that a use counts against.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// Whose it is.
    pub(crate) tenant: TenantEntry,
    /// The limit; none where nothing bounds the tenant itself, whose use is counted all the same.
    pub(crate) limit: Option<Limit>,
    /// Over which window it is counted where there is no limit.
    pub(crate) unbounded_period: ResetPeriod,
    /// The tenant at the top of the tree.
    pub(crate) root: TenantId,
    /// Whether it is a pool that the tenant shares with others.
    pub(crate) pool: bool,
}

impl Bound {
    /// Over which window it is counted.
    pub(crate) fn reset_period(&self) -> ResetPeriod {
        self.period_of(self.limit)
    }

    /// How much it admits.
    pub(crate) fn cap(&self) -> Option<Cap> {
        self.limit.map(|limit| limit.cap())
    }

    /// How fast it may be used up.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.limit.and_then(|limit| limit.policy.kept_rate())
    }

    fn period_of(&self, limit: Option<Limit>) -> ResetPeriod {
        limit.map_or(self.unbounded_period, |limit| limit.reset_period)
    }

    /// Whether it bounds what there is, and nothing that begins anew.
    pub(crate) fn is_gauge(&self) -> bool {
        self.limit.is_some() && self.reset_period() == ResetPeriod::Never
    }

    /// Whether this limit in its place would count in the same account.
    pub(crate) fn is_of_same_kind(&self, limit: Option<Limit>) -> bool {
        let shared = limit.is_some_and(|limit| limit.shared);
        self.period_of(limit) == self.reset_period() && (shared || !self.pool)
    }
}

impl App {
    /// What bounds the tenant on this resource type: its own limit first, then the pools above it, the nearest first.
    pub(super) async fn bounds(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
    ) -> Result<Vec<Bound>, Error> {
        if self.overrides.age() > self.grace {
            tracing::warn!(
                age_ms = self.overrides.age().as_millis(),
                "overrides are too old to decide by"
            );
            return Err(Refusal::unavailable().into());
        }
        let ancestors = self.tenants.ancestors(tenant).await?;
        let root = ancestors.last().map_or(tenant.id, |top| top.id);
        let set = self.overrides.get(tenant.id, resource_type);
        let own = Bound {
            tenant: tenant.clone(),
            limit: self.holds(tenant, resource_type, set.as_deref())?,
            unbounded_period: unbounded_period(resource_type),
            root,
            pool: false,
        };
        let mut bounds = vec![own];
        for above in ancestors {
            // Of a tenant above, only an override makes a pool.
            let set = self.overrides.get(above.id, resource_type);
            let Some(set) = set.filter(|set| set.shared) else {
                continue;
            };
            let limit = self.holds(&above, resource_type, Some(&set))?;
            if limit.is_some_and(|limit| limit.shared) {
                bounds.push(Bound {
                    limit,
                    tenant: above,
                    unbounded_period: unbounded_period(resource_type),
                    root,
                    pool: true,
                });
            }
        }
        let bounded = bounds.iter().any(|bound| bound.limit.is_some());
        if !bounded && !self.is_known(tenant, resource_type) {
            return Err(self.unknown_resource_type(tenant).into());
        }
        Ok(bounds)
    }

    /// The limit of a tenant itself that holds with this override, or without one.
    pub(super) fn holds(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
        set: Option<&LimitOverride>,
    ) -> Result<Option<Limit>, Error> {
        if let Some(set) = set.filter(|set| set.by_operator) {
            return Ok(Some(set.limit()));
        }
        let base = self.known(tenant, resource_type)?.holds();
        // Those above gave no more than the plan of that time: on a smaller one that holds no longer.
        let set = set.map(LimitOverride::limit);
        let set = set.filter(|set| base.is_some_and(|base| set.is_within(&base)));
        Ok(set.or(base))
    }

    /// What is known of the tenant's limit apart from overrides. A plan that isn't known yet is none without limits.
    fn known(&self, tenant: &TenantEntry, resource_type: &str) -> Result<Known, Error> {
        let limits = self.tenants.plan_limits(tenant);
        let limits = limits.ok_or_else(|| {
            tracing::warn!(tenant.id = %tenant.id, plan = %tenant.plan, version = tenant.plan_version, "a plan isn't known yet");
            Refusal::unavailable()
        })?;
        let of_type = limits
            .iter()
            .find(|limit| limit.resource_type == resource_type);
        let plan = of_type.map(|limit| OfPlan {
            limit: limit.limit,
            // A word of a newer fleet bounds as what resets least.
            reset_period: limit.reset_period.parse().unwrap_or(ResetPeriod::Never),
            policy: limit.policy,
        });
        let requested = tenant
            .requested_limits
            .iter()
            .find(|limit| limit.resource_type == resource_type)
            .map(|limit| Requested {
                limit: limit.limit,
                granted_by_operator: limit.granted_by_operator,
            });
        Ok(Known { plan, requested })
    }

    /// Whether there is such a resource type in the tenant's project: every project has some, and each plan may name more.
    fn is_known(&self, tenant: &TenantEntry, resource_type: &str) -> bool {
        RESOURCE_TYPES.contains(&resource_type)
            || self
                .tenants
                .has_resource_type(&tenant.project, resource_type)
    }

    fn unknown_resource_type(&self, tenant: &TenantEntry) -> Refusal {
        let mut names: Vec<_> = self.tenants.resource_types(&tenant.project);
        names.extend(RESOURCE_TYPES.map(str::to_owned));
        names.sort();
        names.dedup();
        let names = names.join(", ");
        Refusal::field(
            "resource_type",
            format!(
                "is none of this project, which has: {names}. A limit of a plan, or an override of a tenant's limit, makes a new one"
            ),
        )
    }
}

/// The time zone that a tenant's days and months begin in.
pub(super) fn zone(tenant: &TenantEntry) -> Result<TimeZone, Error> {
    // One that a registry of before doesn't tell.
    if tenant.timezone.is_empty() {
        return Ok(TimeZone::UTC);
    }
    // Those that came with the build, as registry does: each replica knows the same, whatever its machine has.
    let zone = TimeZoneDatabase::bundled().get(&tenant.timezone);
    zone.map_err(|error| {
        tracing::error!(tenant.id = %tenant.id, timezone = %tenant.timezone, error = %error, "a time zone isn't known");
        Refusal::new(
            Reason::Internal,
            "The tenant's time zone isn't known here, so its days and months have no beginning. Report it.",
        )
        .into()
    })
}
