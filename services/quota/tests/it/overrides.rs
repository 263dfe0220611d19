//! Overrides: who sets and resets them, that each change is done once, and that they end at their time.

use std::time::Duration;

use tenantry_core::{Reason, clock};
use tenantry_proto::quota::v1::OverrideLimitRequest;
use tenantry_rpc::convert::timestamp;
use tenantry_testkit::caller::operator;
use tenantry_testkit::wait::until;

use crate::limits::{AT_ONCE, manager, quota, reset};
use crate::support::{World, reason, to, using};

#[tokio::test]
async fn an_override_ends_at_its_time_with_an_event() {
    let world = World::start().await;
    let tenant = world.tenant();
    let expires_at = clock::now() + Duration::from_millis(1_200);
    let set = world.set_by(OverrideLimitRequest {
        expires_at: Some(timestamp(expires_at)),
        ..to(tenant, "api_calls", 2_000)
    });
    assert_eq!(set.await.unwrap().limit, Some(2_000));
    let claims = world.program(tenant);
    let mut quotas = world.quotas(&claims);
    quotas
        .consume_quota(using("api_calls", 1_500))
        .await
        .unwrap();
    let ended = until("end of the override", Duration::from_secs(10), async || {
        let now = quota(&world, tenant, "api_calls").await;
        Ok(now.filter(|quota| quota.source == "plan"))
    });
    let ended = ended.await.unwrap();
    assert!(clock::now() >= expires_at);
    assert_eq!(
        (ended.limit, ended.usage, ended.remaining),
        (Some(1_000), 1_500, Some(0))
    );
    let full = quotas.consume_quota(using("api_calls", 1)).await;
    assert_eq!(reason(&full.unwrap_err()), Reason::QuotaExceeded);
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM outbox WHERE tenant_id = $1 AND action LIKE 'limit.%' ORDER BY n",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(actions, ["limit.overridden", "limit.expired"]);
}

#[tokio::test]
async fn those_above_give_no_more_than_the_plan_and_undo_nothing_of_an_operator() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut above = world.limits(&manager(tenant));
    let mut own = world.limits(&world.program(tenant));
    let refused = own.override_limit(to(tenant, "api_calls", 10)).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    above
        .override_limit(to(tenant, "api_calls", 999))
        .await
        .unwrap();
    let day = OverrideLimitRequest {
        reset_period: "day".to_owned(),
        ..to(tenant, "api_calls", 10)
    };
    for more in [
        to(tenant, "api_calls", 1_001),
        day,
        to(tenant, "storage_bytes", 1),
    ] {
        let more = OverrideLimitRequest {
            reset_period: if more.reset_period.is_empty() && more.resource_type != "api_calls" {
                "never".to_owned()
            } else {
                more.reset_period.clone()
            },
            ..more
        };
        let refused = above.override_limit(more).await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
    }
    above.reset_limit(reset(tenant, "api_calls")).await.unwrap();
    world.set(tenant, "api_calls", 10, "month").await;
    let loosened = above.override_limit(to(tenant, "api_calls", 500)).await;
    assert_eq!(reason(&loosened.unwrap_err()), Reason::PermissionDenied);
    let undone = above.reset_limit(reset(tenant, "api_calls")).await;
    assert_eq!(reason(&undone.unwrap_err()), Reason::PermissionDenied);
}

#[tokio::test]
async fn a_limit_change_is_done_once_for_its_request_id() {
    let world = World::start().await;
    let tenant = world.tenant();
    let request = OverrideLimitRequest {
        request_id: "raise".to_owned(),
        ..to(tenant, "api_calls", 1_234)
    };
    let mut limits = world.limits(&operator());
    let first = limits
        .override_limit(request.clone())
        .await
        .unwrap()
        .into_inner();
    limits
        .override_limit(to(tenant, "api_calls", 77))
        .await
        .unwrap();
    let again = limits
        .override_limit(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, first);
    assert_eq!(
        quota(&world, tenant, "api_calls").await.unwrap().limit,
        Some(77)
    );
    let other = limits.override_limit(OverrideLimitRequest {
        limit: Some(1),
        ..request
    });
    assert_eq!(reason(&other.await.unwrap_err()), Reason::RequestIdReused);
}

#[tokio::test]
async fn what_those_above_set_holds_no_longer_on_a_smaller_plan() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut above = world.limits(&manager(tenant));
    above
        .override_limit(to(tenant, "api_calls", 900))
        .await
        .unwrap();
    world
        .registry
        .change(tenant, |tenant| tenant.plan = "small".to_owned())
        .unwrap();
    let small = until("the smaller plan", AT_ONCE, async || {
        let now = quota(&world, tenant, "api_calls").await;
        Ok(now.filter(|quota| quota.limit == Some(100) && quota.source == "plan"))
    });
    small.await.unwrap();
    let refused = world.consume(tenant, 101).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
    // What an operator gives stays.
    world.set(tenant, "api_calls", 900, "").await;
    assert_eq!(world.consume(tenant, 101).await.unwrap().limit, Some(900));
}
