//! Limits: where they are from, and that a change acts at once.

use std::time::Duration;

use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::internal::registry::v1::RequestedLimit;
use tenantry_proto::quota::v1::{
    ListQuotasRequest, OverrideLimitRequest, Quota, ResetLimitRequest,
};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::caller::{member, operator};
use tenantry_testkit::wait::until;

use crate::support::{World, reason, to, using};

/// What is promised between a changed limit and its effect.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

async fn quotas(world: &World, tenant: TenantId) -> Vec<Quota> {
    let mut limits = world.limits(&world.program(tenant));
    let listed = limits.list_quotas(ListQuotasRequest::default()).await;
    listed.unwrap().into_inner().quotas
}

pub(crate) async fn quota(world: &World, tenant: TenantId, resource_type: &str) -> Option<Quota> {
    let quotas = quotas(world, tenant).await;
    let mut quotas = quotas.into_iter();
    quotas.find(|quota| quota.resource_type == resource_type)
}

pub(crate) fn reset(tenant: TenantId, resource_type: &str) -> ResetLimitRequest {
    ResetLimitRequest {
        tenant: tenant.to_string(),
        resource_type: resource_type.to_owned(),
        ..Default::default()
    }
}

/// Someone who manages the tenant from above.
pub(crate) fn manager(tenant: TenantId) -> Claims {
    member(tenant, &[Permission::UsageRead, Permission::TenantsManage])
}

#[tokio::test]
async fn a_tenant_has_the_limits_of_its_plan_of_its_create_and_of_overrides() {
    let world = World::start().await;
    let tenant = world.tenant();
    let ask = |resource_type: &str, limit, granted_by_operator| RequestedLimit {
        resource_type: resource_type.to_owned(),
        limit,
        granted_by_operator,
    };
    world
        .registry
        .change(tenant, |tenant| {
            tenant.requested_limits = vec![
                ask("users", 3, false),
                ask("api_calls", 5_000, false),
                ask("classes", 7, true),
            ];
        })
        .unwrap();
    let told = until("the create's limits", AT_ONCE, async || {
        Ok(quota(&world, tenant, "classes").await)
    });
    assert_eq!(told.await.unwrap().limit, Some(7));
    world.set(tenant, "alerts", 20, "").await;
    let shown: Vec<_> = quotas(&world, tenant).await;
    let shown: Vec<_> = shown
        .iter()
        .map(|quota| {
            (
                quota.resource_type.as_str(),
                quota.limit,
                quota.reset_period.as_str(),
                quota.source.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("alerts", Some(20), "day", "override"),
            ("api_calls", Some(1_000), "month", "plan"),
            ("classes", Some(7), "never", "tenant"),
            ("users", Some(3), "never", "tenant"),
        ]
    );
    // Why, and by whom, is for those who may change it.
    let request = ListQuotasRequest {
        tenant: tenant.to_string(),
    };
    for (claims, reason, by) in [
        (manager(tenant), "agreed with sales", "ada@example.com"),
        (world.program(tenant), "", ""),
    ] {
        let mut limits = world.limits(&claims);
        let listed = limits
            .list_quotas(request.clone())
            .await
            .unwrap()
            .into_inner();
        let set = listed.quotas[0].r#override.clone().unwrap();
        assert_eq!((set.reason.as_str(), set.created_by.as_str()), (reason, by));
    }
    // Back to the plan's.
    let mut limits = world.limits(&operator());
    let back = limits.reset_limit(reset(tenant, "alerts")).await.unwrap();
    let back = back.into_inner();
    assert_eq!((back.limit, back.source.as_str()), (Some(10), "plan"));
    let none = limits.reset_limit(reset(tenant, "alerts")).await;
    assert_eq!(reason(&none.unwrap_err()), Reason::LimitOverrideNotFound);
}

#[tokio::test]
async fn a_raised_limit_admits_more_and_a_lowered_one_no_more_on_every_replica_at_once() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(3).await;
    let claims = world.program(tenant);
    let [mut one, mut two] = [world.quotas(&claims), other.quotas(&claims)];
    one.consume_quota(using("api_calls", 1)).await.unwrap();
    for quotas in [&mut one, &mut two] {
        quotas.consume_quota(using("api_calls", 1)).await.unwrap();
    }
    for quotas in [&mut one, &mut two] {
        let full = quotas.consume_quota(using("api_calls", 1)).await;
        assert_eq!(reason(&full.unwrap_err()), Reason::QuotaExceeded);
    }
    world.set(tenant, "api_calls", 100, "day").await;
    for quotas in [&mut one, &mut two] {
        let raised = until("raised limit", AT_ONCE, async || {
            Ok(quotas.consume_quota(using("api_calls", 1)).await.ok())
        });
        assert_eq!(raised.await.unwrap().into_inner().limit, Some(100));
    }
    // Lower than what is granted, and what is used: what was granted is void.
    let below = world.set_by(OverrideLimitRequest {
        reset_period: "day".to_owned(),
        ..to(tenant, "api_calls", 4)
    });
    assert_eq!(reason(&below.await.unwrap_err()), Reason::LimitBelowUsage);
    let forced = world.set_by(OverrideLimitRequest {
        reset_period: "day".to_owned(),
        force: true,
        ..to(tenant, "api_calls", 4)
    });
    let forced = forced.await.unwrap();
    assert_eq!((forced.usage, forced.remaining), (5, Some(0)));
    for quotas in [&mut two, &mut one] {
        let full = quotas.consume_quota(using("api_calls", 1)).await;
        assert_eq!(reason(&full.unwrap_err()), Reason::QuotaExceeded);
    }
}

#[tokio::test]
async fn another_plan_bounds_otherwise_at_once_in_the_middle_of_a_window() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    let claims = world.program(tenant);
    let [mut one, mut two] = [world.quotas(&claims), other.quotas(&claims)];
    one.consume_quota(using("api_calls", 60)).await.unwrap();
    two.consume_quota(using("api_calls", 30)).await.unwrap();
    world
        .registry
        .change(tenant, |tenant| tenant.plan = "small".to_owned())
        .unwrap();
    for quotas in [&mut one, &mut two] {
        let limited = until("smaller plan", AT_ONCE, async || {
            let answer = quotas.consume_quota(using("api_calls", 0)).await;
            Ok(answer
                .ok()
                .filter(|answer| answer.get_ref().limit == Some(100)))
        });
        assert_eq!(limited.await.unwrap().into_inner().usage, 90);
    }
    one.consume_quota(using("api_calls", 6)).await.unwrap();
    two.consume_quota(using("api_calls", 4)).await.unwrap();
    for quotas in [&mut one, &mut two] {
        let full = quotas.consume_quota(using("api_calls", 1)).await;
        assert_eq!(reason(&full.unwrap_err()), Reason::QuotaExceeded);
    }
    world
        .registry
        .change(tenant, |tenant| tenant.plan = "free_of_limits".to_owned())
        .unwrap();
    for quotas in [&mut one, &mut two] {
        let free = until("plan without a limit", AT_ONCE, async || {
            Ok(quotas.consume_quota(using("api_calls", 500)).await.ok())
        });
        assert_eq!(free.await.unwrap().into_inner().limit, None);
    }
    let spent = quota(&world, tenant, "api_calls").await;
    assert_eq!(spent, None, "what nothing bounds is no limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_limit_binds_at_once_also_those_who_just_spend() {
    let world = World::start().await;
    let other = world.replica().await;
    for _ in 0..5 {
        let tenant = world.limited(1_000_000).await;
        let claims = world.program(tenant);
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let spenders: Vec<_> = (0..8)
            .map(|n| {
                let mut quotas = if n % 2 == 0 {
                    world.quotas(&claims)
                } else {
                    other.quotas(&claims)
                };
                let stop = std::sync::Arc::clone(&stop);
                tokio::spawn(async move {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let _ = quotas.consume_quota(using("api_calls", 1)).await;
                    }
                })
            })
            .collect();
        let at_work = until("uses", Duration::from_secs(20), async || {
            Ok((crate::exactness::usage(&world, tenant).await >= 20).then_some(()))
        });
        at_work.await.unwrap();
        let lowered = world.set_by(OverrideLimitRequest {
            reset_period: "day".to_owned(),
            force: true,
            ..to(tenant, "api_calls", 10)
        });
        let lowered = lowered.await.unwrap();
        // It was acknowledged: from here on nothing passes that isn't within it.
        let used = crate::exactness::usage(&world, tenant).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for spender in spenders {
            spender.await.unwrap();
        }
        let most = lowered.usage.max(10);
        assert!(used <= most, "{used} are used, {lowered:?}");
        assert!(crate::exactness::used(&world, tenant).await <= most);
    }
}

#[tokio::test]
async fn a_limit_that_is_counted_over_another_period_lets_nothing_pass_by_the_former() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    world.set(tenant, "api_calls", 5, "never").await;
    let claims = world.program(tenant);
    let mut stale = other.quotas(&claims);
    let known = until("the gauge", AT_ONCE, async || {
        let answer = stale
            .consume_quota(using("api_calls", 1))
            .await?
            .into_inner();
        Ok((answer.limit == Some(5)).then_some(answer))
    });
    known.await.unwrap();
    world.set(tenant, "api_calls", 5, "month").await;
    // It may not know yet: then it finds out.
    let refused = stale
        .consume_quota(using("api_calls", 6))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
    let admitted = stale.consume_quota(using("api_calls", 5)).await.unwrap();
    assert!(admitted.get_ref().reset_at.is_some());
}

#[tokio::test]
async fn a_plan_that_is_not_known_yet_is_none_without_limits() {
    let world = World::start().await;
    let tenant = world.registry.add("new", "not_told_yet", None);
    let mut quotas = world.quotas(&world.program(tenant));
    let refused = quotas
        .consume_quota(using("api_calls", 1))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::Unavailable);
    let mut rates = world.rates();
    let refused = rates.should_rate_limit(crate::rates::one_of(tenant)).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::Unavailable);
}

#[tokio::test]
async fn what_nothing_bounds_begins_anew_each_month() {
    let world = World::start().await;
    let tenant = world.registry.add("free", "free_of_limits", None);
    assert_eq!(world.consume(tenant, 7).await.unwrap().usage, 7);
    sqlx::query("UPDATE accounts SET window_end = clock_timestamp(), window_start = window_start - interval '1 day' WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(world.consume(tenant, 2).await.unwrap().usage, 2);
}

#[tokio::test]
async fn a_refused_limit_ends_nothing_that_was_granted() {
    let world = World::start().await;
    // Too small to lease any of it: what is used is told exactly.
    let tenant = world.limited(500).await;
    let mut rates = world.rates();
    for n in 1..=20 {
        rates
            .should_rate_limit(crate::rates::one_of(tenant))
            .await
            .unwrap();
        let refused = world.set_by(OverrideLimitRequest {
            reset_period: "day".to_owned(),
            ..to(tenant, "api_calls", 0)
        });
        assert_eq!(reason(&refused.await.unwrap_err()), Reason::LimitBelowUsage);
        assert_eq!(crate::exactness::usage(&world, tenant).await, n);
    }
}

#[tokio::test]
async fn an_operators_look_is_in_the_tenants_log() {
    let world = World::start().await;
    let tenant = world.tenant();
    let request = ListQuotasRequest {
        tenant: tenant.to_string(),
    };
    let claims = tenantry_rpc::assertion::Claims {
        perms: operator()
            .perms
            .union(tenantry_core::Permissions::of(&[Permission::UsageRead])),
        ..operator()
    };
    let mut limits = world.limits(&claims);
    limits.list_quotas(request).await.unwrap();
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM outbox WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(actions, ["tenant.content_accessed"]);
}

#[tokio::test]
async fn a_suspended_tenants_people_use_nothing_within_a_second_on_each_replica() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(100).await;
    let claims = world.program(tenant);
    let mut clients = [world.quotas(&claims), other.quotas(&claims)];
    for quotas in &mut clients {
        quotas.consume_quota(using("api_calls", 1)).await.unwrap();
    }
    let stop = |tenant: &mut tenantry_proto::internal::registry::v1::TenantEntry| {
        tenant.status = "suspended".to_owned();
    };
    world.registry.change(tenant, stop).unwrap();
    for quotas in &mut clients {
        let stopped = until("suspension", AT_ONCE, async || {
            let refused = quotas.consume_quota(using("api_calls", 1)).await.err();
            Ok(refused.filter(|refused| reason(refused) == Reason::TenantSuspended))
        });
        stopped.await.unwrap();
    }
}
