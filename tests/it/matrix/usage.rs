//! UsageService and HealthService: what was used, and how tenants are doing.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list};
use crate::support::unique;
use crate::support::world::Party;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.quota.v1.HealthService/GetPlatformMetrics",
        Class::Operator,
    ),
    (
        "/tenantry.quota.v1.HealthService/GetTenantHealth",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.HealthService/GetTenantMetrics",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.HealthService/ListTenantHealth",
        Class::Operator,
    ),
    ("/tenantry.quota.v1.UsageService/ExportUsage", Class::Tenant),
    (
        "/tenantry.quota.v1.UsageService/ForecastUsage",
        Class::Tenant,
    ),
    ("/tenantry.quota.v1.UsageService/GetUsage", Class::Tenant),
    (
        "/tenantry.quota.v1.UsageService/GetUsageSeries",
        Class::Tenant,
    ),
    (
        "/tenantry.quota.v1.UsageService/ListUsageLogs",
        Class::Tenant,
    ),
];

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
    Ok(Some(match method {
        "GetTenantHealth" | "GetTenantMetrics" | "GetUsage" | "ExportUsage" => {
            everywhere(&super::tenant)
        }
        "ForecastUsage" | "GetUsageSeries" => {
            everywhere(&|tenant| json!({"tenant": tenant, "resource_type": "alerts"}))
        }
        "ListUsageLogs" => {
            let path = format!("/api/v1/tenants/{}/usage/increment", b.id);
            for _ in 0..2 {
                let used = json!({"resource_type": "alerts"});
                b.rest(fleet)?.post(&path, used).await?.ok()?;
            }
            of_list(fleet, a, b, "usage-logs").await?
        }
        _ => return Ok(None),
    }))
}
