//! PlanService, and the tenants that are on plans.

use serde_json::json;

use super::{Attempt, Class, absent, attempt, uncontrolled};
use crate::support::unique;
use crate::support::world::Party;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.registry.v1.PlanService/CreatePlan",
        Class::Operator,
    ),
    ("/tenantry.registry.v1.PlanService/GetPlan", Class::Common),
    (
        "/tenantry.registry.v1.PlanService/ListPlanVersions",
        Class::Common,
    ),
    ("/tenantry.registry.v1.PlanService/ListPlans", Class::Common),
    (
        "/tenantry.registry.v1.PlanService/UpdatePlan",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.SubscriptionService/ChangePlan",
        Class::Tenant,
    ),
    (
        "/tenantry.registry.v1.SubscriptionService/PreviewPlanChange",
        Class::Tenant,
    ),
];

/// The attempts of one RPC, where it is of this noun.
pub(super) fn attempts(method: &str, b: &Party) -> Option<Vec<Attempt>> {
    let to = |tenant: &str| json!({"tenant": tenant, "plan": "pro"});
    Some(match method {
        // A tenant's own people don't choose its plan; those above it do.
        "ChangePlan" => vec![
            uncontrolled("id", to(&b.id), to(&absent())),
            uncontrolled("slug", to(&b.slug), to(&unique("absent"))),
            attempt("child", to(&b.child), to(&absent())),
        ],
        "PreviewPlanChange" => vec![
            attempt("id", to(&b.id), to(&absent())),
            attempt("slug", to(&b.slug), to(&unique("absent"))),
            attempt("child", to(&b.child), to(&absent())),
        ],
        _ => return None,
    })
}
