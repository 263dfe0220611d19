//! A service's own view of all tenants, fed by registry's watch: what is needed to admit a request, without asking anyone.
//!
//! The view is as old as its last bookmark, not its connection. Up to [`FRESH`] old it is believed for what it knows. Older,
//! or for what it doesn't know, each tenant that is asked for is looked up at registry, once for all who ask at the same time, while the follower tries
//! another replica. When registry can't be reached the view serves for the grace, and then nothing is admitted.

mod follower;
mod lookup;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::context::Target;
use tenantry_core::tenant::{Admission, Caller, MethodKind, project_or_default};
use tenantry_core::{
    LimitPolicy, Permission, Refusal, RequestContext, TenantId, TenantRef, TenantStatus,
};
use tenantry_proto::methods;

pub use follower::Follower;
pub(crate) use follower::{MAX_SILENCE, RETRY_PAUSE, age};
pub use lookup::Lookup;
pub use view::View;

/// How old the view may be before single tenants are looked up instead.
pub const FRESH: Duration = Duration::from_secs(1);

/// What other services know of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantEntry {
    /// Its id.
    pub id: TenantId,
    /// Key of its project.
    pub project: Arc<str>,
    /// Its slug.
    pub slug: Arc<str>,
    /// Its status.
    pub status: TenantStatus,
    /// Key of its plan.
    pub plan: Arc<str>,
    /// Version of its plan.
    pub plan_version: i32,
    /// Its parent.
    pub parent: Option<TenantId>,
    /// Version of its row.
    pub version: i64,
    /// Verified custom domains; hardly any tenant has one.
    pub domains: Arc<[String]>,
    /// Whether a legal hold stands on it.
    pub held: bool,
    /// Its time zone (IANA), in which its days and months begin.
    pub timezone: Arc<str>,
    /// Limits that its create asked for beside its plan's; most tenants have none.
    pub requested_limits: Arc<[RequestedLimit]>,
}

/// A limit that the create of a tenant asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedLimit {
    /// What is counted.
    pub resource_type: String,
    /// Most of it.
    pub limit: i64,
    /// Whether an operator asked for it: then it holds, be it more or less than the plan's. Else it holds where it is lower.
    pub granted_by_operator: bool,
}

/// A limit of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanLimit {
    /// What is counted.
    pub resource_type: String,
    /// Most of it.
    pub limit: i64,
    /// Over which window: `month`, `day`, `hour`, `minute` or `never`.
    pub reset_period: String,
    /// How it is kept.
    pub policy: LimitPolicy,
}

/// Most ancestors that a walk visits.
pub const MAX_LEVELS: usize = 10;

/// All tenants, with the rule for how old what is known may be.
#[derive(Clone, Debug)]
pub struct Tenants {
    view: Arc<View>,
    lookup: Lookup,
    grace: Duration,
}

impl Tenants {
    /// Tenants by this view, with look-ups where it is old, for at most this grace.
    #[must_use]
    pub const fn new(view: Arc<View>, lookup: Lookup, grace: Duration) -> Self {
        Self {
            view,
            lookup,
            grace,
        }
    }

    /// The tenant of this name, or `None` where there is none. One that the view doesn't know is asked for at registry: it
    /// may be younger than the view, and whoever made it goes on with it at once.
    ///
    /// # Errors
    /// UNAVAILABLE where registry can't be asked and the view doesn't know it, or is older than the grace.
    pub async fn find(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<TenantEntry>, Refusal> {
        if let Some(entry) = self.known(project, name) {
            return Ok(Some(entry));
        }
        // Seldom needed, and large: whoever waits for this has no place for it.
        match Box::pin(self.ask(project, name)).await {
            Ok(found) => Ok(found),
            Err(refusal) => self
                .remembered(project, name)
                .map_or(Err(refusal), |entry| Ok(Some(entry))),
        }
    }

    /// The tenant of this name as the view knows it, while the view is fresh.
    #[must_use]
    pub fn known(&self, project: &str, name: &TenantRef) -> Option<TenantEntry> {
        if self.view.age() > FRESH {
            return None;
        }
        self.view.find(project, name)
    }

    /// The tenant of this name as the view knows it, within the grace: for when registry can't be asked.
    #[must_use]
    pub fn remembered(&self, project: &str, name: &TenantRef) -> Option<TenantEntry> {
        if self.view.age() > self.grace {
            return None;
        }
        self.view.find(project, name)
    }

    /// The tenant that a verified custom domain names, within the grace. Which domain is whose is public: the DNS tells.
    #[must_use]
    pub fn of_domain(&self, domain: &str) -> Option<TenantEntry> {
        if self.view.age() > self.grace {
            return None;
        }
        self.view.of_domain(domain)
    }

    /// The tenant of this name as registry knows it now; while the view is old and everyone asks, as it knew it a moment ago.
    ///
    /// # Errors
    /// UNAVAILABLE where registry can't be asked: then nobody can say that there is no such tenant.
    pub async fn ask(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<TenantEntry>, Refusal> {
        let told = if self.view.age() > FRESH {
            self.lookup.recent(project, name).await
        } else {
            self.lookup.now(project, name).await
        };
        told.map_err(|status| {
            let age_ms = self.view.age().as_millis();
            tracing::warn!(age_ms, error = %status, "registry can't be asked about a tenant");
            Refusal::unavailable()
        })
    }

    /// The tenant that a request acts on, whose caller has this permission there and whom its status admits.
    ///
    /// # Errors
    /// As [`RequestContext::target`] and [`Self::find`]; PERMISSION_DENIED; TENANT_NOT_FOUND; or what the status says.
    pub async fn authorise(
        &self,
        ctx: &RequestContext,
        named: &str,
        permission: Permission,
    ) -> Result<TenantEntry, Refusal> {
        let target = ctx.target(named)?;
        ctx.require(permission)?;
        let entry = match target {
            Target::Chosen(id) => self.get(id).await?,
            Target::Named(name) => self.find(project_or_default(&ctx.project), &name).await?,
        };
        let entry = entry.ok_or_else(Refusal::tenant_not_found)?;
        admit(ctx, &entry)?;
        Ok(entry)
    }

    /// The tenant of this id.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn get(&self, id: TenantId) -> Result<Option<TenantEntry>, Refusal> {
        self.find("", &TenantRef::Id(id)).await
    }

    /// The ancestors of a tenant, nearest first, at most [`MAX_LEVELS`].
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn ancestors(&self, of: &TenantEntry) -> Result<Vec<TenantEntry>, Refusal> {
        if self.may_serve_view()
            && let Some(ancestors) = self.view.ancestors(of)
        {
            return Ok(ancestors);
        }
        let mut ancestors = Vec::new();
        let mut parent = of.parent;
        while let Some(id) = parent
            && ancestors.len() < MAX_LEVELS
        {
            let Some(entry) = self.get(id).await? else {
                break;
            };
            parent = entry.parent;
            ancestors.push(entry);
        }
        Ok(ancestors)
    }

    /// For how many days the plan of a tenant that is known keeps events; `None` where the tenant or its plan isn't known.
    #[must_use]
    pub fn retention_days(&self, id: TenantId) -> Option<i32> {
        let entry = self.view.find("", &TenantRef::Id(id))?;
        self.view.retention_days(&entry)
    }

    /// The limits of the plan of a tenant; `None` where the plan isn't known.
    #[must_use]
    pub fn plan_limits(&self, of: &TenantEntry) -> Option<Arc<[PlanLimit]>> {
        self.view.plan_limits(of)
    }

    /// Whether a plan of the project bounds this resource type.
    #[must_use]
    pub fn has_resource_type(&self, project: &str, name: &str) -> bool {
        self.view.has_resource_type(project, name)
    }

    /// The resource types that plans of the project bound.
    #[must_use]
    pub fn resource_types(&self, project: &str) -> Vec<String> {
        self.view.resource_types(project)
    }

    /// The first so many tenants of a project that are asked for, by id, behind this one. It looks at all that are known: for operators.
    ///
    /// # Errors
    /// UNAVAILABLE where the view is older than the grace.
    pub fn list(
        &self,
        project: &str,
        from: (Option<TenantId>, usize),
        wanted: impl Fn(&TenantEntry) -> bool,
    ) -> Result<Vec<TenantEntry>, Refusal> {
        self.require_ready()?;
        Ok(self.view.list(project, from, wanted))
    }

    /// How many tenants that are asked for there are.
    ///
    /// # Errors
    /// UNAVAILABLE where the view is older than the grace.
    pub fn count(&self, wanted: impl Fn(&TenantEntry) -> bool) -> Result<usize, Refusal> {
        self.require_ready()?;
        Ok(self.view.count(wanted))
    }

    fn require_ready(&self) -> Result<(), Refusal> {
        if self.is_ready() {
            return Ok(());
        }
        let age_ms = self.view.age().as_millis();
        tracing::warn!(age_ms, "what is known of tenants is too old to list them");
        Err(Refusal::unavailable())
    }

    /// Whether a legal hold stands on a tenant, as the view knows it.
    #[must_use]
    pub fn is_held(&self, id: TenantId) -> bool {
        let entry = self.view.find("", &TenantRef::Id(id));
        entry.is_some_and(|entry| entry.held)
    }

    /// Whether a tenant lies below another as the view knows it, within the grace; `None` where it doesn't know. Registry isn't
    /// asked.
    #[must_use]
    pub fn known_below(&self, id: TenantId, above: TenantId) -> Option<bool> {
        let entry = self.remembered("", &TenantRef::Id(id))?;
        let ancestors = self.view.ancestors(&entry)?;
        Some(ancestors.iter().any(|ancestor| ancestor.id == above))
    }

    /// Whether the view is fresh, or the best there is for now: a walk must not wait for registry at each step.
    fn may_serve_view(&self) -> bool {
        let age = self.view.age();
        age <= FRESH || (age <= self.grace && self.lookup.is_out_of_reach())
    }

    /// Whether everything that existed at the start is known and fresh enough to serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.view.age() <= self.grace
    }

    /// How old what is known is.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.view.age()
    }
}

/// Refuses where the tenant's status doesn't admit the caller.
fn admit(ctx: &RequestContext, entry: &TenantEntry) -> Result<(), Refusal> {
    let method = if methods::is_read_only(&ctx.method) {
        MethodKind::Read
    } else {
        MethodKind::Change
    };
    let caller = Caller::of(ctx.principal.kind, ctx.permissions);
    match entry.status.admits(caller, method) {
        Admission::Admitted => Ok(()),
        Admission::Stopped(stop) => Err(Refusal::tenant_stopped(stop)),
        Admission::Kept => Err(Refusal::tenant_kept(entry.status)),
        Admission::Absent => Err(Refusal::tenant_not_found()),
    }
}
