//! The tenant and its transitions: each takes the old state and a command and returns the new state with the action that
//! its event is called by, or a refusal. `None` means that the tenant is already as asked.

mod limits;
mod patch;
mod place;
mod status;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::refusal::Violations;
use tenantry_core::tenant::Admission;
use tenantry_core::{Permissions, Refusal, TenantId, TenantStatus, contact};

use super::plan::PlanVersion;
use super::{etag, field, slug};
use crate::error::Error;

pub(crate) use limits::{AskedLimits, BYTES_PER_GB, RequestedLimit};
pub(crate) use patch::Patch;
pub(crate) use place::{MAX_CHILDREN, Place};
pub(crate) use status::{Along, Around, Step};

/// How long a deleted tenant can be undeleted.
pub(crate) const UNDELETE_DAYS: i64 = 30;
/// Levels of a tree, its top included.
pub(crate) const MAX_LEVELS: usize = 10;
/// Longest trial.
const MAX_TRIAL_DAYS: i32 = 365;
const HOURS_PER_DAY: i64 = 24;

/// A tenant as it stands in its row, in its events and in recorded answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) status: TenantStatus,
    pub(crate) suspended_from: Option<TenantStatus>,
    /// The tenant above whose cascade suspended it; none where it was itself asked to be.
    #[serde(default)]
    pub(crate) suspended_by: Option<TenantId>,
    #[serde(default)]
    pub(crate) archived_from: Option<TenantStatus>,
    pub(crate) deleted_from: Option<TenantStatus>,
    pub(crate) plan: String,
    /// Version of the plan; what was written before plans had versions is on the first.
    #[serde(default = "first_version")]
    pub(crate) plan_version: i32,
    pub(crate) parent_id: Option<TenantId>,
    pub(crate) external_id: Option<String>,
    pub(crate) email: String,
    pub(crate) billing_email: String,
    pub(crate) contact_phone: String,
    pub(crate) timezone: String,
    pub(crate) locale: String,
    pub(crate) region: String,
    pub(crate) trial_ends_at: Option<Timestamp>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: Value,
    pub(crate) suspend_reason: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    #[serde(default)]
    pub(crate) archived_at: Option<Timestamp>,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) purge_at: Option<Timestamp>,
    /// Verified custom domains, by name.
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    /// Whether a legal hold stands on it: for who keeps something of it elsewhere.
    #[serde(default)]
    pub(crate) held: bool,
    /// Limits that its create asked for, for quota, which enforces limits.
    #[serde(default)]
    pub(crate) requested_limits: Vec<RequestedLimit>,
    /// When its purge started, which nothing takes back.
    pub(crate) purge_started_at: Option<Timestamp>,
    pub(crate) version: i64,
}

/// What a new tenant is to be, as the caller said it; the project and parent are known to exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewTenant {
    /// Empty where none is named.
    pub(crate) project: String,
    pub(crate) name: String,
    /// Empty to have one made from the name.
    pub(crate) slug: String,
    /// Key or alias; empty for the default plan.
    pub(crate) plan: String,
    pub(crate) parent_id: Option<TenantId>,
    pub(crate) external_id: String,
    pub(crate) email: String,
    pub(crate) billing_email: String,
    pub(crate) contact_phone: String,
    pub(crate) timezone: String,
    pub(crate) locale: String,
    pub(crate) region: String,
    pub(crate) trial_days: i32,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: Value,
    #[serde(default)]
    pub(crate) limits: AskedLimits,
}

impl NewTenant {
    /// Checks every field, and tells all that is wrong at once.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let mut wrong = Violations::new();
        wrong.take("name", field::name(&self.name));
        wrong.take("email", field::email(&self.email));
        wrong.take("billing_email", field::email(&self.billing_email));
        wrong.take("contact_phone", field::phone(&self.contact_phone));
        wrong.take("timezone", contact::timezone(&self.timezone));
        wrong.take("locale", contact::locale(&self.locale));
        wrong.take("region", field::text(&self.region));
        wrong.take("external_id", field::text(&self.external_id));
        wrong.take("labels", field::labels(&self.labels));
        wrong.take("metadata", field::metadata(&self.metadata));
        if !(0..=MAX_TRIAL_DAYS).contains(&self.trial_days) {
            wrong.add("trial_days", format!("must be 0 to {MAX_TRIAL_DAYS}"));
        }
        self.limits.check(&mut wrong);
        wrong.check_with(if self.slug.is_empty() {
            Ok(())
        } else {
            slug::check(&self.slug)
        })
    }

    /// The tenant, under this id and slug and on this plan; its limits granted where an operator asks for them.
    pub(crate) fn create(
        self,
        id: TenantId,
        slug: String,
        plan: PlanVersion,
        limits_granted: bool,
        now: Timestamp,
    ) -> Tenant {
        let trial = self.trial_days > 0;
        Tenant {
            id,
            project: self.project,
            name: self.name,
            slug,
            status: if trial {
                TenantStatus::Trial
            } else {
                TenantStatus::Active
            },
            suspended_from: None,
            suspended_by: None,
            archived_from: None,
            deleted_from: None,
            plan: plan.key,
            plan_version: plan.version,
            parent_id: self.parent_id,
            external_id: Some(self.external_id).filter(|id| !id.is_empty()),
            email: self.email,
            billing_email: self.billing_email,
            contact_phone: self.contact_phone,
            timezone: self.timezone,
            locale: self.locale,
            region: self.region,
            trial_ends_at: trial.then(|| days_after(now, self.trial_days.into())),
            labels: self.labels,
            metadata: self.metadata,
            suspend_reason: String::new(),
            created_at: now,
            updated_at: now,
            archived_at: None,
            deleted_at: None,
            purge_at: None,
            domains: Vec::new(),
            held: false,
            requested_limits: self.limits.requested(limits_granted),
            purge_started_at: None,
            version: 1,
        }
    }
}

const fn first_version() -> i32 {
    1
}

fn days_after(at: Timestamp, days: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_hours(days * HOURS_PER_DAY))
        .unwrap_or(Timestamp::MAX)
}

/// A change of a tenant that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transition {
    pub(crate) tenant: Tenant,
    pub(crate) action: &'static str,
}

/// What a transition gives.
pub(crate) type Outcome = Result<Option<Transition>, Error>;

impl Tenant {
    /// The etag of this state.
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Refuses a change that was decided on another state; an empty etag was decided on none.
    pub(crate) fn compare(&self, etag: &str) -> Result<(), Error> {
        etag::compare(etag, &self.etag(), "tenant")
    }

    /// Refuses the tenant's own people and programs where the status doesn't admit them; those who manage it from above
    /// pass.
    pub(crate) fn admit(&self, permissions: Permissions) -> Result<(), Error> {
        match self.status.admission_of(permissions) {
            Admission::Admitted => Ok(()),
            Admission::Stopped(stop) => Err(Error::Stopped(stop)),
            Admission::Kept => Err(Error::Kept(self.status)),
            Admission::Absent => Err(Error::TenantNotFound),
        }
    }

    /// Deletes a tenant for good, whatever its status. One with children of any status is refused, for they would have no
    /// parent to come back under, and so is one under legal hold.
    pub(crate) fn purge(&self, has_children: bool, holders: &[String], now: Timestamp) -> Outcome {
        if self.purge_started_at.is_some() {
            return Ok(None);
        }
        if has_children {
            return Err(Error::HasChildrenToPurge);
        }
        status::not_held(holders)?;
        self.changed("tenant.purge_started", now, |tenant| {
            if self.status != TenantStatus::Deleted {
                tenant.deleted_from = Some(self.status);
                tenant.status = TenantStatus::Deleted;
                tenant.deleted_at = Some(now);
            }
            tenant.purge_at = Some(now);
            tenant.purge_started_at = Some(now.max(self.updated_at));
        })
    }

    /// What is told of it once it is purged: its names for machines, and nothing of what its people wrote.
    pub(crate) fn tombstone(&self) -> Self {
        Self {
            name: String::new(),
            external_id: None,
            email: String::new(),
            billing_email: String::new(),
            contact_phone: String::new(),
            timezone: String::new(),
            locale: String::new(),
            region: String::new(),
            labels: BTreeMap::new(),
            metadata: Value::Object(serde_json::Map::new()),
            suspend_reason: String::new(),
            domains: Vec::new(),
            requested_limits: Vec::new(),
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// Applies a checked patch; `plan` is the one that it names, at its newest version. The plan that the tenant has changes
    /// nothing: whoever sends a tenant back as it was read moves no version.
    pub(crate) fn update(
        &self,
        patch: &Patch,
        plan: Option<&PlanVersion>,
        now: Timestamp,
    ) -> Outcome {
        self.changeable()?;
        if let Some(end) = patch.trial_ends_at {
            self.may_end_trial(end, now)?;
        }
        let mut next = self.clone();
        patch.apply(&mut next);
        if let Some(plan) = plan.filter(|plan| plan.key != self.plan) {
            next.put_on(plan);
        }
        if next == *self {
            return Ok(None);
        }
        self.changed("tenant.updated", now, |tenant| *tenant = next)
    }

    /// Puts the tenant on a version of a plan.
    pub(crate) fn move_to(&self, plan: &PlanVersion, now: Timestamp) -> Outcome {
        self.changeable()?;
        if (&self.plan, self.plan_version) == (&plan.key, plan.version) {
            return Ok(None);
        }
        self.changed("tenant.plan_changed", now, |tenant| tenant.put_on(plan))
    }

    fn put_on(&mut self, plan: &PlanVersion) {
        self.plan.clone_from(&plan.key);
        self.plan_version = plan.version;
    }

    /// The tenant, named by these domains from now on.
    pub(crate) fn named_by(
        &self,
        domains: Vec<String>,
        action: &'static str,
        now: Timestamp,
    ) -> Transition {
        let mut tenant = self.clone();
        tenant.domains = domains;
        tenant.version += 1;
        tenant.updated_at = now.max(self.updated_at);
        Transition { tenant, action }
    }

    /// The tenant with a hold placed on it or released, whether or not others stand.
    pub(crate) fn held(&self, held: bool, now: Timestamp) -> Self {
        Self {
            held,
            version: self.version + 1,
            updated_at: now.max(self.updated_at),
            ..self.clone()
        }
    }

    fn changed(
        &self,
        action: &'static str,
        now: Timestamp,
        change: impl FnOnce(&mut Self),
    ) -> Outcome {
        let mut tenant = self.clone();
        change(&mut tenant);
        tenant.version += 1;
        tenant.updated_at = now.max(self.updated_at);
        Ok(Some(Transition { tenant, action }))
    }
}
