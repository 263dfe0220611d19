//! Plans: what tenants get. A version of a plan never changes, so every rule here makes or compares whole definitions.

mod catalogue;
mod difference;
mod patch;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use iso_currency::Currency;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::refusal::Violations;
use tenantry_core::{LimitPolicy, PlanId, TenantStatus};

use super::{etag, field, slug};
use crate::error::Error;

pub(crate) use catalogue::Catalogue;
pub(crate) use difference::{Difference, LimitChange};
pub(crate) use patch::Patch;

/// Most plans of a project, so that their list always comes whole.
pub(crate) const MAX_PLANS: i64 = 100;
const MAX_ALIASES: usize = 8;
const MAX_LIMITS: usize = 64;
const MAX_FEATURES: usize = 256;
const MAX_RESOURCE_TYPE_CHARS: usize = 63;

const RESET_PERIODS: &[&str] = &["month", "day", "hour", "minute", "never"];
const SECURITY_LEVELS: &[&str] = &["basic", "standard", "advanced", "enterprise"];
/// The classes that audit events are kept in.
const RETENTION_DAYS: &[i32] = &[30, 60, 90, 365, 730];

/// What a version of a plan says: as it stands in its row, in events, in recorded answers and in the catalogue file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    pub(crate) name: String,
    pub(crate) limits: Vec<Limit>,
    pub(crate) default_features: Vec<String>,
    pub(crate) available_features: Vec<String>,
    pub(crate) retention_days: i32,
    pub(crate) security_level: String,
    pub(crate) price_minor: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) after_trial: AfterTrial,
}

/// A bound on one resource type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) resource_type: String,
    pub(crate) limit: i64,
    pub(crate) reset_period: String,
    #[serde(default, skip_serializing_if = "is_plain")]
    pub(crate) policy: LimitPolicy,
}

fn is_plain(policy: &LimitPolicy) -> bool {
    *policy == LimitPolicy::default()
}

/// What becomes of a tenant whose trial of this version ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AfterTrial {
    /// Its status from then on, which is active or suspended.
    pub(crate) status: TenantStatus,
    /// Key of its plan from then on, at that plan's newest version; empty where it stays on this one.
    pub(crate) plan: String,
}

impl Default for AfterTrial {
    fn default() -> Self {
        Self {
            status: TenantStatus::Active,
            plan: String::new(),
        }
    }
}

/// A version of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: PlanId,
    pub(crate) project: String,
    /// Counted from 1; an update makes the next.
    pub(crate) version: i32,
    pub(crate) created_at: Timestamp,
    #[serde(flatten)]
    pub(crate) definition: Definition,
}

/// The version of a plan that a tenant is on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlanVersion {
    pub(crate) key: String,
    pub(crate) version: i32,
}

impl Definition {
    /// Notes everything that is wrong with it; `features` are all there are. Whether `after_trial` names a plan of the
    /// project is for those to know who have them.
    pub(crate) fn check(&self, features: &[String], wrong: &mut Violations) {
        self.check_names(wrong);
        self.check_limits(wrong);
        self.check_features(features, wrong);
        if !RETENTION_DAYS.contains(&self.retention_days) {
            wrong.add(
                "retention_days",
                format!("must be one of {RETENTION_DAYS:?}"),
            );
        }
        if !SECURITY_LEVELS.contains(&self.security_level.as_str()) {
            wrong.add("security_level", one_of(SECURITY_LEVELS));
        }
        if self.price_minor < 0 {
            wrong.add("price_minor", "must not be negative");
        }
        if Currency::from_code(&self.currency).is_none() {
            wrong.add("currency", "must be an ISO 4217 code, as USD");
        }
        if !matches!(
            self.after_trial.status,
            TenantStatus::Active | TenantStatus::Suspended
        ) {
            wrong.add("after_trial.status", "must be active or suspended");
        }
    }

    fn check_names(&self, wrong: &mut Violations) {
        let form = "must be 3 to 63 characters: lower-case letters, digits and inner dashes";
        if !slug::well_formed(&self.key) {
            wrong.add("key", form);
        }
        if self.aliases.len() > MAX_ALIASES {
            wrong.add("aliases", format!("must be at most {MAX_ALIASES}"));
        }
        if self.aliases.iter().any(|alias| !slug::well_formed(alias)) {
            wrong.add("aliases", format!("each {form}"));
        }
        let names: BTreeSet<_> = self.names().collect();
        if names.len() <= self.aliases.len() {
            wrong.add("aliases", "must differ from each other and from the key");
        }
        wrong.take("name", field::name(&self.name));
    }

    fn check_limits(&self, wrong: &mut Violations) {
        if self.limits.len() > MAX_LIMITS {
            wrong.add("limits", format!("must be at most {MAX_LIMITS}"));
            return;
        }
        let mut seen = BTreeSet::new();
        for (i, limit) in self.limits.iter().enumerate() {
            let kind = &limit.resource_type;
            let of_form = (1..=MAX_RESOURCE_TYPE_CHARS).contains(&kind.len())
                && kind
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !of_form {
                wrong.add(
                    format!("limits[{i}].resource_type"),
                    format!("must be 1 to {MAX_RESOURCE_TYPE_CHARS} lower-case letters, digits and underscores"),
                );
            } else if !seen.insert(kind) {
                wrong.add(format!("limits[{i}].resource_type"), "comes twice");
            }
            if limit.limit < 0 {
                wrong.add(format!("limits[{i}].limit"), "must not be negative");
            }
            if !RESET_PERIODS.contains(&limit.reset_period.as_str()) {
                wrong.add(format!("limits[{i}].reset_period"), one_of(RESET_PERIODS));
            }
            let never_resets = limit.reset_period == "never";
            let at = format!("limits[{i}].policy");
            limit.policy.check(&at, never_resets, wrong);
        }
    }

    fn check_features(&self, known: &[String], wrong: &mut Violations) {
        for (name, features) in [
            ("default_features", &self.default_features),
            ("available_features", &self.available_features),
        ] {
            let distinct: BTreeSet<_> = features.iter().collect();
            if distinct.len() < features.len() || features.len() > MAX_FEATURES {
                wrong.add(name, format!("must be at most {MAX_FEATURES}, each once"));
            } else if features.iter().any(|feature| !known.contains(feature)) {
                wrong.add(name, one_of(known));
            }
        }
        if self
            .default_features
            .iter()
            .any(|feature| !self.available_features.contains(feature))
        {
            wrong.add(
                "default_features",
                "must all stand among available_features",
            );
        }
    }

    /// All that it is called by.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.key).chain(&self.aliases)
    }

    /// The limit on a resource type.
    pub(crate) fn limit(&self, resource_type: &str) -> Option<&Limit> {
        self.limits
            .iter()
            .find(|limit| limit.resource_type == resource_type)
    }
}

fn one_of(words: &[impl AsRef<str>]) -> String {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    format!("must be one of {}", words.join(", "))
}

impl Plan {
    /// The first version of a new plan.
    pub(crate) fn create(project: &str, definition: Definition, now: Timestamp) -> Self {
        Self {
            id: PlanId::new(),
            project: project.to_owned(),
            version: 1,
            created_at: now,
            definition,
        }
    }

    /// The next version, or none where it would say the same.
    pub(crate) fn next(&self, definition: Definition, now: Timestamp) -> Option<Self> {
        (definition != self.definition).then(|| Self {
            version: self.version + 1,
            created_at: now.max(self.created_at),
            definition,
            ..self.clone()
        })
    }

    /// The etag of this version.
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Refuses a change that was decided on another version; an empty etag was decided on none.
    pub(crate) fn compare(&self, etag: &str) -> Result<(), Error> {
        etag::compare(etag, &self.etag(), "plan")
    }

    /// What a tenant of this version is on.
    pub(crate) fn version_of_tenants(&self) -> PlanVersion {
        PlanVersion {
            key: self.definition.key.clone(),
            version: self.version,
        }
    }
}
