//! Limits: how much of a resource type a tenant may use, and where that is from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::{LimitOverrideId, LimitPolicy, Principal};

use super::period::ResetPeriod;

/// Longest name of a resource type, in characters.
const MAX_RESOURCE_TYPE_CHARS: usize = 63;
/// Largest amount, and largest limit that an override sets: JSON's numbers, and Redis's, hold it exactly.
pub(crate) const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// Resource types that every project has.
pub(crate) const RESOURCE_TYPES: [&str; 10] = [
    "users",
    "api_keys",
    "devices",
    "classes",
    "storage_bytes",
    "api_calls",
    "alerts",
    "bandwidth_bytes",
    "database_bytes",
    "asset_bytes",
];

/// Those of them that there are, and that nothing uses up: gauges.
const GAUGES: [&str; 7] = [
    "users",
    "api_keys",
    "devices",
    "classes",
    "storage_bytes",
    "database_bytes",
    "asset_bytes",
];

/// Those that services of the fleet count themselves, item by item.
const COUNTED_BY_FLEET: [&str; 2] = ["users", "api_keys"];

/// Whether a service of the fleet counts it: nobody else says how many there are, or that some are gone.
pub(crate) fn is_counted_by_fleet(resource_type: &str) -> bool {
    COUNTED_BY_FLEET.contains(&resource_type)
}

/// Over which window a resource type is counted that nothing bounds.
pub(crate) fn unbounded_period(resource_type: &str) -> ResetPeriod {
    if GAUGES.contains(&resource_type) {
        ResetPeriod::Never
    } else {
        ResetPeriod::Month
    }
}

/// What bounds a tenant's use of a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Most of it in a window.
    pub(crate) limit: i64,
    pub(crate) reset_period: ResetPeriod,
    pub(crate) source: Source,
    /// Whether what the tenants below use counts too.
    pub(crate) shared: bool,
    /// How it is kept.
    pub(crate) policy: LimitPolicy,
}

/// How much a limit admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    /// The limit.
    pub(crate) limit: i64,
    /// How much beyond it is admitted.
    pub(crate) beyond: i64,
}

impl Cap {
    /// A hard limit.
    #[cfg(test)]
    pub(crate) const fn hard(limit: i64) -> Self {
        Self { limit, beyond: 0 }
    }

    /// Most that is admitted.
    pub(crate) const fn most(self) -> i64 {
        self.limit.saturating_add(self.beyond)
    }
}

impl Limit {
    /// How much it admits.
    pub(crate) fn cap(&self) -> Cap {
        Cap {
            limit: self.limit,
            beyond: self.policy.beyond(),
        }
    }

    /// Whether it allows nothing that another one doesn't: it is of the same window, and no more.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.reset_period == other.reset_period
            && self.limit <= other.limit
            && self.policy.is_within(&other.policy)
    }
}

/// Where a limit is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Plan,
    /// The tenant was created with it.
    Tenant,
    Override,
}

impl Source {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Tenant => "tenant",
            Self::Override => "override",
        }
    }
}

/// A limit of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfPlan {
    pub(crate) limit: i64,
    pub(crate) reset_period: ResetPeriod,
    pub(crate) policy: LimitPolicy,
}

/// A limit that the tenant was created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) limit: i64,
    pub(crate) granted_by_operator: bool,
}

/// A limit that stands apart from the plan's: as it stands in its row, in events and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitOverride {
    pub(crate) id: LimitOverrideId,
    pub(crate) resource_type: String,
    pub(crate) limit: i64,
    pub(crate) reset_period: ResetPeriod,
    pub(crate) shared: bool,
    /// One that was recorded before limits had policies is a plain one.
    #[serde(default)]
    pub(crate) policy: LimitPolicy,
    pub(crate) reason: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: Principal,
    /// Whether an operator set it: then only operators take it away.
    pub(crate) by_operator: bool,
}

impl LimitOverride {
    /// The limit that it sets.
    pub(crate) const fn limit(&self) -> Limit {
        Limit {
            limit: self.limit,
            reset_period: self.reset_period,
            source: Source::Override,
            shared: self.shared,
            policy: self.policy,
        }
    }
}

/// What is known of a tenant's limit on one resource type, apart from an override.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) plan: Option<OfPlan>,
    pub(crate) requested: Option<Requested>,
}

impl Known {
    /// The limit that holds: the one that the tenant was created with, else the plan's. One that no operator granted holds only
    /// where it is lower than the plan's, so that nobody keeps a large plan's limit on a small one.
    pub(crate) fn holds(&self) -> Option<Limit> {
        let plan = self.plan.map(|plan| Limit {
            limit: plan.limit,
            reset_period: plan.reset_period,
            source: Source::Plan,
            shared: false,
            policy: plan.policy,
        });
        let requested = self.requested.map(|requested| Limit {
            limit: requested.limit,
            // What a create asks for doesn't reset: users, classes, storage.
            reset_period: plan.map_or(ResetPeriod::Never, |plan| plan.reset_period),
            source: Source::Tenant,
            shared: false,
            policy: plan.map_or_else(LimitPolicy::default, |plan| plan.policy),
        });
        let granted = self
            .requested
            .is_some_and(|requested| requested.granted_by_operator);
        match (plan, requested) {
            (Some(plan), Some(requested)) if !granted && plan.limit <= requested.limit => {
                Some(plan)
            }
            (plan, requested) => requested.or(plan),
        }
    }
}

/// The name of a resource type, if it is of the form that one has.
pub(crate) fn resource_type(text: &str) -> Result<(), String> {
    let of_form = (1..=MAX_RESOURCE_TYPE_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if of_form {
        return Ok(());
    }
    Err(format!(
        "must be 1 to {MAX_RESOURCE_TYPE_CHARS} lower-case letters, digits and underscores, as api_calls"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: OfPlan = OfPlan {
        limit: 10,
        reset_period: ResetPeriod::Month,
        policy: LimitPolicy {
            enforcement: tenantry_core::Enforcement::Hard,
            overage: None,
            on_failure: tenantry_core::OnFailure::Gateway,
            rate: None,
        },
    };

    fn requested(limit: i64, granted_by_operator: bool) -> Option<Requested> {
        Some(Requested {
            limit,
            granted_by_operator,
        })
    }

    #[test]
    fn what_a_create_asked_for_holds_where_it_is_lower_or_an_operator_granted_it() {
        let cases = [
            (Some(PLAN), None, Some((10, Source::Plan))),
            (Some(PLAN), requested(7, false), Some((7, Source::Tenant))),
            (Some(PLAN), requested(10, false), Some((10, Source::Plan))),
            (Some(PLAN), requested(12, false), Some((10, Source::Plan))),
            (Some(PLAN), requested(12, true), Some((12, Source::Tenant))),
            (Some(PLAN), requested(7, true), Some((7, Source::Tenant))),
            (None, requested(7, false), Some((7, Source::Tenant))),
            (None, None, None),
        ];
        for (plan, requested, expected) in cases {
            let known = Known { plan, requested };
            let holds = known.holds().map(|limit| (limit.limit, limit.source));
            assert_eq!(holds, expected, "{plan:?} {requested:?}");
        }
    }

    #[test]
    fn names_of_resource_types_have_one_form() {
        for good in ["a", "api_calls", "gpu_seconds_2", &"x".repeat(63)] {
            assert_eq!(resource_type(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "Api",
            "api-calls",
            "api calls",
            "ä",
            "a\0",
            &"x".repeat(64),
        ];
        for bad in bad {
            assert!(resource_type(bad).is_err(), "{bad:?}");
        }
    }
}
