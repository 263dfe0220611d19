//! LimitService, QuotaService and ReservationService: limits, and what is used and held of them.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;

use super::{Attempt, Class, absent, attempt, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    ("/tenantry.quota.v1.LimitService/ListQuotas", Class::Tenant),
    (
        "/tenantry.quota.v1.LimitService/OverrideLimit",
        Class::Tenant,
    ),
    ("/tenantry.quota.v1.LimitService/ResetLimit", Class::Tenant),
    (
        "/tenantry.quota.v1.QuotaService/BatchConsumeQuota",
        Class::Tenant,
    ),
    ("/tenantry.quota.v1.QuotaService/CheckQuota", Class::Tenant),
    (
        "/tenantry.quota.v1.QuotaService/ConsumeQuota",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.QuotaService/ReleaseQuota",
        Class::Tenant,
    ),
    ("/tenantry.quota.v1.QuotaService/SetGauge", Class::Tenant),
    (
        "/tenantry.quota.v1.ReservationService/CancelReservation",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.ReservationService/CommitReservation",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.ReservationService/CreateReservation",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.ReservationService/GetReservation",
        Class::Tenant,
    ),
];

/// Something that B holds.
async fn reserve(fleet: &Fleet, b: &Party) -> Result<String> {
    let body = json!({"resource_type": "alerts"});
    let path = format!("/api/v1/tenants/{}/reservations", b.id);
    let made = b.rest(fleet)?.post(&path, body).await?.ok()?;
    Ok(text(&made, "id"))
}

/// Sets a limit of B's tree apart from the plan, so that there is one to take away.
async fn set(rest: &Rest, tenant: &str) -> Result<()> {
    let limit = json!({"resource_type": "users", "limit": "4", "reason": "Isolation"});
    let path = format!("/api/v1/tenants/{tenant}/limits");
    rest.patch(&path, limit).await?.ok()?;
    Ok(())
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    let everywhere = |request: &dyn Fn(&str) -> Value| {
        vec![
            attempt("id", request(&b.id), request(&absent())),
            attempt("slug", request(&b.slug), request(&unique("absent"))),
            attempt("child", request(&b.child), request(&absent())),
        ]
    };
    // A tenant's own people don't choose its limits; those above it do.
    let below = |request: &dyn Fn(&str) -> Value| {
        vec![
            uncontrolled("id", request(&b.id), request(&absent())),
            uncontrolled("slug", request(&b.slug), request(&unique("absent"))),
            attempt("child", request(&b.child), request(&absent())),
        ]
    };
    Ok(Some(match method {
        "ListQuotas" => everywhere(&super::tenant),
        "CheckQuota" => everywhere(
            &|tenant| json!({"tenant": tenant, "resource_type": "alerts", "amount": "2"}),
        ),
        "ConsumeQuota" => everywhere(
            &|tenant| json!({"tenant": tenant, "resource_type": "alerts", "amount": "2", "description": "Isolation"}),
        ),
        "BatchConsumeQuota" => everywhere(
            &|tenant| json!({"tenant": tenant, "uses": [{"resource_type": "alerts", "amount": "2"}]}),
        ),
        "ReleaseQuota" => {
            // So that there is something to give back.
            let path = format!("/api/v1/tenants/{}/gauges/devices", b.id);
            let there = json!({"value": "3"});
            b.rest(fleet)?.put(&path, there).await?.ok()?;
            let request = &|tenant: &str| json!({"tenant": tenant, "resource_type": "devices", "amount": "1"});
            vec![
                attempt("id", request(&b.id), request(&absent())),
                attempt("slug", request(&b.slug), request(&unique("absent"))),
                uncontrolled("child", request(&b.child), request(&absent())),
            ]
        }
        "SetGauge" => everywhere(
            &|tenant| json!({"tenant": tenant, "resource_type": "devices", "value": "2"}),
        ),
        "CreateReservation" => everywhere(
            &|tenant| json!({"tenant": tenant, "resource_type": "alerts", "amount": "2"}),
        ),
        "GetReservation" | "CommitReservation" | "CancelReservation" => {
            let held = reserve(fleet, b).await?;
            let request = |tenant: &str, id: &str| json!({"tenant": tenant, "reservation": id});
            vec![
                attempt("tenant", request(&b.id, &held), request(&absent(), &held)),
                uncontrolled(
                    "reservation",
                    request(&a.id, &held),
                    request(&a.id, &absent()),
                ),
            ]
        }
        "OverrideLimit" => below(
            &|tenant| json!({"tenant": tenant, "resource_type": "users", "limit": "3", "reason": "Isolation"}),
        ),
        "ResetLimit" => {
            set(&fleet.operator_rest()?, &b.id).await?;
            // What an operator sets, B couldn't take away.
            set(&b.rest(fleet)?, &b.child).await?;
            below(&|tenant| json!({"tenant": tenant, "resource_type": "users"}))
        }
        _ => return Ok(None),
    }))
}
