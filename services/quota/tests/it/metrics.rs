//! What a tenant's month came to, and what all tenants come to.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};
use tenantry_core::{Permission, Permissions, Reason, TenantId, clock};
use tenantry_proto::quota::v1::{
    GetPlatformMetricsRequest, GetTenantMetricsRequest, OverrideLimitRequest, PlatformMetrics,
    TenantMetrics,
};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::caller::operator;
use tonic::Status;
use uuid::Uuid;

use crate::support::{Logged, World, log, reason, to, used, using};

async fn month(world: &World, tenant: TenantId, period: &str) -> Result<TenantMetrics, Status> {
    let mut healths = world.healths(&world.program(tenant));
    let request = GetTenantMetricsRequest {
        tenant: tenant.to_string(),
        period: period.to_owned(),
    };
    let month = healths.get_tenant_metrics(request).await;
    month.map(tonic::Response::into_inner)
}

async fn totals(world: &World, claims: &Claims) -> Result<PlatformMetrics, Status> {
    let mut healths = world.healths(claims);
    let totals = healths
        .get_platform_metrics(GetPlatformMetricsRequest {})
        .await;
    totals.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_month_has_what_was_used_in_it_and_what_was_stored_at_its_end() {
    let world = World::start().await;
    let tenant = world.tenant();
    let now = clock::now();
    let first = TimeZone::UTC.to_datetime(now).date().first_of_month();
    let start = first.to_zoned(TimeZone::UTC).unwrap().timestamp();
    let (before, second) = (
        start - SignedDuration::from_secs(1),
        SignedDuration::from_secs(1),
    );
    let by = |user: u128, at| Logged {
        principal: format!("user:{}", Uuid::from_u128(user)),
        ..used("api_calls", 10, at)
    };
    let mut quotas = world.quotas(&world.program(tenant));
    quotas
        .consume_quota(using("storage_bytes", 5_000_000_000))
        .await
        .unwrap();
    log(
        &world,
        tenant,
        &[by(1, before), by(2, start), by(2, now), by(3, now - second)],
    )
    .await;
    let label = |date: jiff::civil::Date| date.strftime("%Y-%m").to_string();
    let present = month(&world, tenant, "").await.unwrap();
    let same = month(&world, tenant, &label(first)).await.unwrap();
    assert_eq!(present, same);
    assert_eq!(present.period, label(first));
    assert_eq!(
        present.start_time.map(|at| at.seconds),
        Some(start.as_second())
    );
    let early = now - second < start;
    assert_eq!(present.api_requests, if early { 20 } else { 30 });
    // The one who used the storage too.
    assert_eq!(present.active_users, Some(if early { 2 } else { 3 }));
    assert!((present.storage_used_gb - 5.0).abs() < 1e-9, "{present:?}");
    // What isn't known is absent, and not nothing.
    assert_eq!((present.login_events, present.feature_usage), (None, None));
    let last = month(&world, tenant, &label(first - 1.month()))
        .await
        .unwrap();
    assert_eq!(last.api_requests, if early { 20 } else { 10 });
    assert!(last.storage_used_gb.abs() < 1e-9, "stored since: {last:?}");
    let old = month(&world, tenant, &label(first - 3.months()))
        .await
        .unwrap();
    assert_eq!((old.active_users, old.api_requests), (None, 0));
    for period in [
        &label(first + 1.month()),
        &label(first - 15.months()),
        "2026",
        "2026-13",
        "2026-1-",
        "now",
    ] {
        let refused = month(&world, tenant, period).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument, "{period}");
    }
}

#[tokio::test]
async fn all_tenants_add_up_and_what_shares_a_pool_counts_once() {
    let world = World::start().await;
    let parent = world.tenant();
    let child = world.registry.add("child", "basic", Some(parent));
    let other = world.tenant();
    for resource_type in ["api_calls", "storage_bytes"] {
        let period = if resource_type == "api_calls" {
            "month"
        } else {
            "never"
        };
        let pool = OverrideLimitRequest {
            shared: true,
            reset_period: period.to_owned(),
            ..to(parent, resource_type, 10_000_000_000)
        };
        world.set_by(pool).await.unwrap();
    }
    for (tenant, calls, stored) in [
        (parent, 1, 1_000_000_000),
        (child, 20, 3_000_000_000),
        (other, 300, 0),
    ] {
        let mut quotas = world.quotas(&world.program(tenant));
        for (resource_type, amount) in [("api_calls", calls), ("storage_bytes", stored)] {
            quotas
                .consume_quota(using(resource_type, amount))
                .await
                .unwrap();
        }
    }
    let manager = Claims {
        perms: Permissions::of(&[Permission::PlatformTenantsManage]),
        ..operator()
    };
    let all = totals(&world, &manager).await.unwrap();
    assert_eq!(
        (all.tenants, all.active_tenants, all.api_requests),
        (3, 3, 321)
    );
    assert!((all.storage_used_gb - 4.0).abs() < 1e-9, "{all:?}");
    assert_eq!(
        (all.active_users, all.login_events, all.feature_usage),
        (None, None, None)
    );
    let reader = Claims {
        perms: Permissions::of(&[Permission::PlatformContentAccess]),
        ..operator()
    };
    for claims in [world.program(other), reader] {
        let refused = totals(&world, &claims).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::PermissionDenied);
    }
}
