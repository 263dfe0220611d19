//! How tenants are doing, between the contract's messages and the use cases.

use tenantry_core::tenant::project_or_default;
use tenantry_core::{Refusal, TenantId, page};
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::timestamp;

use crate::app::{HealthPage, Month, OfTenant, PlatformTotals};
use crate::domain::health::Status;

const BYTES_PER_GB: f64 = 1e9;

/// The page that a request asks for.
pub(crate) fn page(message: wire::ListTenantHealthRequest) -> Result<HealthPage, Refusal> {
    let status = match message.status.as_str() {
        "" => None,
        word => {
            let status = Status::ALL.into_iter().find(|status| status.word() == word);
            let why = || Refusal::field("status", "must be healthy, warning or critical");
            Some(status.ok_or_else(why)?)
        }
    };
    Ok(HealthPage {
        project: project_or_default(&message.project).to_owned(),
        status,
        size: page::size(message.page_size)?,
        page_token: message.page_token,
    })
}

pub(crate) fn health(of: OfTenant) -> wire::TenantHealth {
    let health = of.health;
    let checks = health.checks;
    wire::TenantHealth {
        tenant_id: of.tenant.to_string(),
        health_score: health.score,
        status: health.status.word().to_owned(),
        checks: Some(wire::TenantHealthChecks {
            connectivity: checks.connectivity.word().to_owned(),
            storage_quota: checks.storage_quota.word().to_owned(),
            api_rate_limits: checks.api_rate_limits.word().to_owned(),
            feature_compliance: checks.feature_compliance.word().to_owned(),
        }),
        recommendations: health.recommendations,
    }
}

pub(crate) fn month(tenant: TenantId, month: Month) -> wire::TenantMetrics {
    wire::TenantMetrics {
        tenant_id: tenant.to_string(),
        period: month.period,
        start_time: Some(timestamp(month.start)),
        end_time: Some(timestamp(month.end)),
        active_users: month.active_users.map(count),
        api_requests: month.api_calls,
        storage_used_gb: month.storage_bytes as f64 / BYTES_PER_GB,
        // Identity knows who signed in, and settings which features are used.
        login_events: None,
        feature_usage: None,
    }
}

pub(crate) fn totals(totals: PlatformTotals) -> wire::PlatformMetrics {
    wire::PlatformMetrics {
        period: "current".to_owned(),
        tenants: i32::try_from(totals.tenants).unwrap_or(i32::MAX),
        active_tenants: count(totals.used.tenants),
        active_users: None,
        login_events: None,
        api_requests: totals.used.api_calls,
        storage_used_gb: totals.used.storage_bytes as f64 / BYTES_PER_GB,
        feature_usage: None,
    }
}

fn count(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
