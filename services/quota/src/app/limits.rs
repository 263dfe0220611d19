//! Limits: how they stand, and setting them apart from the plan. A changed limit ends what was granted under the old one, in the
//! same transaction: it acts at once.

use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::refusal::Violations;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{
    LimitOverrideId, LimitPolicy, Permission, Refusal, RequestContext, TenantId, clock,
};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::bounds::Bound;
use crate::domain::decision::Standing;
use crate::domain::limit::{Limit, LimitOverride, Source, unbounded_period};
use crate::domain::period::ResetPeriod;
use crate::error::Error;
use crate::store::{accounts, overrides};

/// What the log calls an override that was set.
pub(super) const OVERRIDDEN: &str = "limit.overridden";
/// And one that was taken away.
pub(super) const RESET: &str = "limit.reset";
/// And one whose time has passed.
pub(super) const EXPIRED: &str = "limit.expired";

/// A limit and what is used of it, as it is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Quota {
    pub(crate) resource_type: String,
    pub(crate) reset_period: ResetPeriod,
    pub(crate) standing: Standing,
    pub(crate) source: Option<String>,
    pub(crate) shared: bool,
    #[serde(default)]
    pub(crate) policy: LimitPolicy,
    pub(crate) set: Option<LimitOverride>,
}

/// An override that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewOverride {
    pub(crate) resource_type: String,
    pub(crate) limit: i64,
    /// That of the plan where none is given.
    pub(crate) reset_period: Option<ResetPeriod>,
    pub(crate) shared: bool,
    /// That of the plan where none is given.
    pub(crate) policy: Option<LimitPolicy>,
    pub(crate) reason: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) force: bool,
}

/// What becomes of a tenant's limit on one resource type.
struct Change<'a> {
    tenant: &'a TenantEntry,
    resource_type: &'a str,
    /// The limit that held until now.
    former: Option<Limit>,
    /// The limit that holds from now on.
    limit: Option<Limit>,
    set: Option<LimitOverride>,
    /// Whether it may be less than what is used.
    force: bool,
}

impl App {
    /// Each limit of a tenant, and what is used of it.
    pub(crate) async fn quotas(&self, tenant: &TenantEntry) -> Result<Vec<Quota>, Error> {
        self.quotas_of(tenant, &[]).await
    }

    /// The same, and what is used of these resource types where nothing bounds them.
    pub(super) async fn quotas_of(
        &self,
        tenant: &TenantEntry,
        more: &[&str],
    ) -> Result<Vec<Quota>, Error> {
        let mut names: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
        if let Some(limits) = self.tenants.plan_limits(tenant) {
            names.extend(limits.iter().map(|limit| limit.resource_type.clone()));
        }
        let requested = tenant.requested_limits.iter();
        names.extend(requested.map(|limit| limit.resource_type.clone()));
        let mut tx = self.store.read(tenant.id).await?;
        let set = overrides::of(tx.conn(), tenant.id).await?;
        let newest = accounts::newest(tx.conn(), tenant.id).await?;
        let now = accounts::now(tx.conn()).await?;
        drop(tx);
        names.extend(set.iter().map(|set| set.resource_type.clone()));
        names.sort();
        names.dedup();
        let mut quotas = Vec::with_capacity(names.len());
        for name in names {
            let set = set.iter().find(|set| set.resource_type == name);
            let limit = self.holds(tenant, &name, set)?;
            let bound = self.own(tenant, &name, limit);
            let account = newest.iter().find(|account| {
                account.id.resource_type == name && account.id.reset_period == bound.reset_period()
            });
            let standing = self.standing(&bound, account.cloned(), now).await?;
            quotas.push(quota(&name, &bound, standing, set.cloned()));
        }
        Ok(quotas)
    }

    /// Sets a tenant's limit apart from its plan.
    pub(crate) async fn override_limit(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        new: NewOverride,
    ) -> Result<Quota, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim::<Quota>(key).await? {
            return Ok(replay.answer);
        }
        let before = overrides::lock(tx.conn(), tenant.id, &new.resource_type).await?;
        let now = accounts::now(tx.conn()).await?;
        if new.expires_at.is_some_and(|at| at <= now) {
            let why = "has passed; give an instant to come, or none where it doesn't end by itself";
            return Err(Refusal::field("expires_at", why).into());
        }
        let base = self.holds(tenant, &new.resource_type, None)?;
        let period = new.reset_period.or(base.map(|base| base.reset_period));
        let period = period.ok_or_else(|| {
            Refusal::field(
                "reset_period",
                "must be given where the plan has no limit on the resource type: month, day, hour, minute or never",
            )
        })?;
        // A limit that never resets has no rate to take over.
        let of_plan = base.map(|base| LimitPolicy {
            rate: base.policy.rate.filter(|_| !period.is_never()),
            ..base.policy
        });
        let policy = new.policy.or(of_plan).unwrap_or_default();
        let mut wrong = Violations::new();
        policy.check("policy", period.is_never(), &mut wrong);
        wrong.check()?;
        let set = LimitOverride {
            id: LimitOverrideId::new(),
            resource_type: new.resource_type,
            limit: new.limit,
            reset_period: period,
            shared: new.shared,
            policy,
            reason: new.reason,
            expires_at: new.expires_at.map(clock::as_stored),
            created_at: after(now, before.as_ref()),
            created_by: ctx.principal.clone(),
            by_operator: ctx.allows(Permission::PlatformTenantsManage),
        };
        let within_plan = base.is_some_and(|base| set.limit().is_within(&base));
        may_change(ctx, before.as_ref(), within_plan)?;
        overrides::put(tx.conn(), tenant.id, &set).await?;
        let change = Change {
            tenant,
            resource_type: &set.resource_type,
            former: self.holds(tenant, &set.resource_type, before.as_ref())?,
            limit: self.holds(tenant, &set.resource_type, Some(&set))?,
            set: Some(set.clone()),
            force: new.force,
        };
        let quota = self.apply(&mut tx, change).await?;
        let event = event(ctx, OVERRIDDEN, set.id, before.as_ref(), Some(&set))?;
        tx.record(&event).await?;
        tx.finish(key, &quota).await?;
        self.ledger.forget(tenant.id, &set.resource_type);
        self.overrides.put(tenant.id, set);
        Ok(quota)
    }

    /// Ends an override.
    pub(crate) async fn reset_limit(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        (resource_type, force): (&str, bool),
    ) -> Result<Quota, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        if let Some(replay) = tx.claim::<Quota>(key).await? {
            return Ok(replay.answer);
        }
        let before = overrides::lock(tx.conn(), tenant.id, resource_type).await?;
        let before = before.ok_or(Error::LimitOverrideNotFound)?;
        may_change(ctx, Some(&before), true)?;
        let quota = self.without(&mut tx, tenant, &before, force).await?;
        tx.record(&event(ctx, RESET, before.id, Some(&before), None)?)
            .await?;
        tx.finish(key, &quota).await?;
        self.ledger.forget(tenant.id, resource_type);
        self.overrides.remove(tenant.id, &before);
        Ok(quota)
    }

    /// Takes an override away.
    pub(super) async fn without(
        &self,
        tx: &mut TenantTx,
        tenant: &TenantEntry,
        set: &LimitOverride,
        force: bool,
    ) -> Result<Quota, Error> {
        overrides::remove(tx.conn(), tenant.id, &set.resource_type).await?;
        let change = Change {
            tenant,
            resource_type: &set.resource_type,
            former: self.holds(tenant, &set.resource_type, Some(set))?,
            limit: self.holds(tenant, &set.resource_type, None)?,
            set: None,
            force,
        };
        self.apply(tx, change).await
    }

    /// Has a limit hold from now on: what was granted under the former one ends. Whoever just grants meets it at the account of one
    /// of them.
    async fn apply(&self, tx: &mut TenantTx, change: Change<'_>) -> Result<Quota, Error> {
        let bound = self.own(change.tenant, change.resource_type, change.limit);
        let period = bound.reset_period();
        let now = accounts::now(tx.conn()).await?;
        // In the order in which uses lock them.
        let former = self.own(change.tenant, change.resource_type, change.former);
        let former = former.reset_period();
        let mut periods = [period, former];
        periods.sort_by_key(|period| period.word());
        let both = if period == former { 1 } else { 2 };
        let mut held = Vec::with_capacity(both);
        for period in &periods[..both] {
            let of = (
                change.tenant,
                change.resource_type,
                self.root(change.tenant).await?,
            );
            held.push(self.ledger.account(tx, of, *period, now).await?);
        }
        let current = held
            .iter()
            .find(|account| account.id.reset_period == period);
        let standing = self.standing(&bound, current.cloned(), now).await?;
        if !change.force && standing.is_exceeded() {
            return Err(Error::LimitBelowUsage {
                resource_type: change.resource_type.to_owned(),
                standing: Box::new(standing),
            });
        }
        let mut current = None;
        for mut account in held {
            self.ledger.end(&mut account).await?;
            account.superseded = account.id.reset_period != period;
            if !account.superseded {
                account.set_cap(bound.cap());
                current = Some(account.clone());
            }
            accounts::save(tx.conn(), &account).await?;
        }
        let standing = self.standing(&bound, current, now).await?;
        Ok(quota(change.resource_type, &bound, standing, change.set))
    }

    /// The tenant at the top of a tenant's tree.
    pub(super) async fn root(&self, tenant: &TenantEntry) -> Result<TenantId, Error> {
        let ancestors = self.tenants.ancestors(tenant).await?;
        Ok(ancestors.last().map_or(tenant.id, |top| top.id))
    }

    /// A tenant's own limit, as what its use counts against.
    pub(super) fn own(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
        limit: Option<Limit>,
    ) -> Bound {
        Bound {
            tenant: tenant.clone(),
            limit,
            unbounded_period: unbounded_period(resource_type),
            root: tenant.id,
            pool: false,
        }
    }
}

fn quota(
    resource_type: &str,
    bound: &Bound,
    standing: Standing,
    set: Option<LimitOverride>,
) -> Quota {
    Quota {
        resource_type: resource_type.to_owned(),
        reset_period: bound.reset_period(),
        standing,
        source: bound.limit.map(|limit| limit.source.word().to_owned()),
        shared: bound.limit.is_some_and(|limit| limit.shared),
        policy: bound.limit.map(|limit| limit.policy).unwrap_or_default(),
        set: set.filter(|_| {
            bound
                .limit
                .is_some_and(|limit| limit.source == Source::Override)
        }),
    }
}

/// The present instant, behind that of an earlier override: of two the later one is the newer.
fn after(now: Timestamp, before: Option<&LimitOverride>) -> Timestamp {
    let next = before.and_then(|before| before.created_at.checked_add(1.microsecond()).ok());
    next.map_or(now, |next| now.max(next))
}

/// Refuses a caller who may not change a limit so: more than the plan has is for operators to give, and what one of them set is
/// for operators to change.
fn may_change(
    ctx: &RequestContext,
    before: Option<&LimitOverride>,
    within_plan: bool,
) -> Result<(), Error> {
    let operators = Permission::PlatformTenantsManage;
    if ctx.allows(operators) {
        return Ok(());
    }
    let why = if before.is_some_and(|before| before.by_operator) {
        "An operator set this limit"
    } else if !within_plan {
        "That allows more than the plan does"
    } else {
        return Ok(());
    };
    let refusal = Refusal::new(
        tenantry_core::Reason::PermissionDenied,
        format!(
            "{why}: to change it needs the permission {operators}. Ask an operator, or choose a larger plan."
        ),
    );
    Err(refusal.with("permission", operators.name()).into())
}

/// The event of a changed limit.
pub(super) fn event(
    ctx: &RequestContext,
    action: &str,
    id: LimitOverrideId,
    before: Option<&LimitOverride>,
    after: Option<&LimitOverride>,
) -> Result<Event, Error> {
    let json = |state: Option<&LimitOverride>| -> Result<Value, Error> {
        Ok(serde_json::to_value(state).map_err(tenantry_store::Error::from)?)
    };
    let (before, after) = (json(before)?, json(after)?);
    Ok(Event::of(ctx, action, "limit", id.uuid(), before, after))
}
