//! LimitService, QuotaService and ReservationService: limits, and what is used and held of them.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
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
        "/tenantry.quota.v1.QuotaService/StreamConsumeQuota",
        Class::Tenant,
    ),
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
    (
        "/tenantry.quota.v1.UsageEventService/CorrectUsage",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.UsageEventService/RecordCloudEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.UsageEventService/RecordUsageEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.UsageEventService/StreamUsageEvents",
        Class::Tenant,
    ),
];

/// A CloudEvent of something that was used.
const CLOUD_EVENTS: &str = r#"[{"specversion": "1.0", "id": "one", "source": "meter", "type": "used", "data": {"resource_type": "alerts"}}]"#;

/// The id of a use of a tenant of B's tree.
async fn use_one(fleet: &Fleet, tenant: &str) -> Result<String> {
    let path = format!("/api/v1/tenants/{tenant}/usage/increment");
    let body = json!({"resource_type": "alerts"});
    fleet.operator_rest()?.post(&path, body).await?.ok()?;
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let latest = "SELECT usage_id::text FROM quota.usage_log WHERE tenant_id = $1::uuid ORDER BY recorded_at DESC LIMIT 1";
    let latest = sqlx::query_scalar(latest).bind(tenant);
    Ok(latest.fetch_one(&mut connection).await?)
}

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
        "StreamConsumeQuota" => everywhere(
            &|tenant| json!({"tenant": tenant, "use": {"resource_type": "alerts", "amount": "2"}}),
        ),
        "RecordUsageEvents" | "StreamUsageEvents" => everywhere(
            &|tenant| json!({"tenant": tenant, "events": [{"id": "one", "resource_type": "alerts"}]}),
        ),
        "RecordCloudEvents" => everywhere(&|tenant| {
            let body = json!({"contentType": "application/cloudevents-batch+json", "data": BASE64.encode(CLOUD_EVENTS)});
            json!({"tenant": tenant, "body": body})
        }),
        "CorrectUsage" => {
            let (own, child) = (
                use_one(fleet, &b.id).await?,
                use_one(fleet, &b.child).await?,
            );
            let request = |tenant: &str, id: &str| json!({"tenant": tenant, "usage": id, "resource_type": "alerts", "amount": "0", "reason": "Isolation"});
            vec![
                uncontrolled("tenant", request(&b.id, &own), request(&absent(), &own)),
                attempt(
                    "child",
                    request(&b.child, &child),
                    request(&absent(), &child),
                ),
                uncontrolled(
                    "usage",
                    request(&a.child, &child),
                    request(&a.child, &absent()),
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
