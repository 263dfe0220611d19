//! How tenants are doing.

use std::time::Duration;

use tenantry_core::{Permission, Permissions, Reason, TenantId};
use tenantry_proto::quota::v1::{
    GetTenantHealthRequest, ListTenantHealthRequest, ListTenantHealthResponse, TenantHealth,
};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::caller::operator;
use tenantry_testkit::wait::until;
use tonic::Status;

use crate::support::{World, reason, using};

/// Longest time until a replica knows of a tenant's status.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

async fn health(world: &World, tenant: TenantId) -> TenantHealth {
    let mut healths = world.healths(&world.program(tenant));
    let request = GetTenantHealthRequest {
        tenant: tenant.to_string(),
    };
    healths
        .get_tenant_health(request)
        .await
        .unwrap()
        .into_inner()
}

/// The checks in their order.
fn checks(health: &TenantHealth) -> [&str; 4] {
    let checks = health.checks.as_ref().unwrap();
    [
        &checks.connectivity,
        &checks.storage_quota,
        &checks.api_rate_limits,
        &checks.feature_compliance,
    ]
}

async fn list(
    world: &World,
    claims: &Claims,
    request: ListTenantHealthRequest,
) -> Result<ListTenantHealthResponse, Status> {
    let mut healths = world.healths(claims);
    let listed = healths.list_tenant_health(request).await;
    listed.map(tonic::Response::into_inner)
}

/// Every page of a list.
async fn all(world: &World, mut request: ListTenantHealthRequest) -> Vec<TenantHealth> {
    let mut all = Vec::new();
    loop {
        let page = list(world, &operator(), request.clone()).await.unwrap();
        all.extend(page.tenants);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn the_score_and_what_to_do_follow_from_what_is_used_of_the_limits() {
    let world = World::start().await;
    let tenant = world.tenant();
    let fine = health(&world, tenant).await;
    assert_eq!((fine.health_score, fine.status.as_str()), (100, "healthy"));
    assert_eq!(checks(&fine), ["pass"; 4]);
    assert!(fine.recommendations.is_empty());
    world.set(tenant, "storage_bytes", 100, "never").await;
    let mut quotas = world.quotas(&world.program(tenant));
    for (resource_type, amount) in [("storage_bytes", 85), ("api_calls", 970), ("users", 5)] {
        quotas
            .consume_quota(using(resource_type, amount))
            .await
            .unwrap();
    }
    let full = health(&world, tenant).await;
    assert_eq!(
        (full.health_score, full.status.as_str()),
        (20 + 15 + 10, "critical")
    );
    assert_eq!(checks(&full), ["pass", "warning", "fail", "warning"]);
    let begin = [
        "users: 100 % used (5 of 5)",
        "api_calls: 97 % used (970 of 1000)",
        "storage_bytes: 85 % used (85 of 100)",
    ];
    assert_eq!(full.recommendations.len(), begin.len());
    for (shown, begin) in full.recommendations.iter().zip(begin) {
        assert!(shown.starts_with(begin), "{shown}");
    }
}

#[tokio::test]
async fn without_its_counters_a_tenant_is_critical_and_its_limits_are_told_by_the_ledger() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut quotas = world.quotas(&world.program(tenant));
    quotas.consume_quota(using("api_calls", 850)).await.unwrap();
    world.redis.redis().unit().kill_9().await.unwrap();
    let lost = health(&world, tenant).await;
    assert_eq!(checks(&lost), ["fail", "pass", "warning", "pass"]);
    assert_eq!((lost.health_score, lost.status.as_str()), (65, "critical"));
    assert!(
        lost.recommendations[0].contains("counters"),
        "{:?}",
        lost.recommendations
    );
}

#[tokio::test]
async fn operators_list_every_tenant_once_and_by_status_those_that_have_it() {
    let world = World::start().await;
    let mut tenants: Vec<_> = (0..7).map(|_| world.tenant()).collect();
    for (tenant, users) in [(tenants[1], 5), (tenants[4], 5), (tenants[5], 4)] {
        let mut quotas = world.quotas(&world.program(tenant));
        quotas.consume_quota(using("users", users)).await.unwrap();
    }
    let mut full = vec![tenants[1], tenants[4]];
    let gone = tenants.remove(6);
    world
        .registry
        .change(gone, |tenant| tenant.status = "deleted".to_owned())
        .unwrap();
    tenants.sort();
    full.sort();
    let ids = |listed: &[TenantHealth]| {
        let ids = listed
            .iter()
            .map(|health| health.tenant_id.parse::<TenantId>().unwrap());
        ids.collect::<Vec<_>>()
    };
    let known = async || {
        let listed = all(&world, ListTenantHealthRequest::default()).await;
        Ok((listed.len() == tenants.len()).then_some(()))
    };
    until("the tenants", KNOWN_WITHIN, known).await.unwrap();
    for page_size in [0, 1, 2, 6] {
        let request = ListTenantHealthRequest {
            page_size,
            ..Default::default()
        };
        assert_eq!(
            ids(&all(&world, request.clone()).await),
            tenants,
            "{page_size}"
        );
        let status = |status: &str| ListTenantHealthRequest {
            status: status.to_owned(),
            ..request.clone()
        };
        let warned = all(&world, status("warning")).await;
        assert_eq!(ids(&warned), full, "{page_size}");
        assert!(
            warned
                .iter()
                .all(|of| of.health_score == 90 && !of.recommendations.is_empty())
        );
        assert_eq!(all(&world, status("healthy")).await.len(), 4, "{page_size}");
        assert!(all(&world, status("critical")).await.is_empty());
    }
    let other = ListTenantHealthRequest {
        project: "other".to_owned(),
        ..Default::default()
    };
    assert!(all(&world, other).await.is_empty());
    // That was read in the platform's name, and its log says so.
    let told: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT action FROM outbox WHERE tenant_id = $1")
            .bind(TenantId::PLATFORM.uuid())
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    assert_eq!(told, ["tenant.content_accessed"]);
}

#[tokio::test]
async fn the_list_is_for_operators_who_may_read_what_tenants_have() {
    let world = World::start().await;
    let tenant = world.tenant();
    let request = ListTenantHealthRequest {
        page_size: 1,
        ..Default::default()
    };
    let manager = Claims {
        perms: Permissions::of(&[Permission::PlatformTenantsManage]),
        ..operator()
    };
    for claims in [world.program(tenant), manager] {
        let refused = list(&world, &claims, request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::PermissionDenied);
    }
    world.tenant();
    let two = async || {
        let page = list(&world, &operator(), request.clone()).await?;
        Ok(Some(page.next_page_token).filter(|token| !token.is_empty()))
    };
    let token = until("two tenants", KNOWN_WITHIN, two).await.unwrap();
    let elsewhere = ListTenantHealthRequest {
        page_token: token,
        status: "healthy".to_owned(),
        ..request.clone()
    };
    let refused = list(&world, &operator(), elsewhere).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidPageToken);
    let unknown = ListTenantHealthRequest {
        status: "ill".to_owned(),
        ..request
    };
    let refused = list(&world, &operator(), unknown).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidArgument);
}
