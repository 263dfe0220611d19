//! Suspending a tenant with all below it: all or none, each once, and back exactly those.

use std::collections::BTreeMap;

use futures::future::join_all;
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateTenantRequest, ResumeTenantRequest, SuspendTenantRequest, Tenant,
};

use super::{events, now};
use crate::support::{World, member, named, operator, why};

fn suspend_all(tenant: &Tenant, request_id: &str) -> SuspendTenantRequest {
    SuspendTenantRequest {
        tenant: tenant.id.clone(),
        reason: "unpaid".to_owned(),
        cascade: true,
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

fn suspend(tenant: &Tenant) -> SuspendTenantRequest {
    SuspendTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

fn resume(tenant: &Tenant, cascade: bool) -> ResumeTenantRequest {
    ResumeTenantRequest {
        tenant: tenant.id.clone(),
        cascade,
        ..Default::default()
    }
}

async fn statuses<const N: usize>(world: &World, tenants: [&Tenant; N]) -> [String; N] {
    let now = join_all(tenants.map(|tenant| now(world, tenant))).await;
    let statuses: Vec<String> = now.into_iter().map(|tenant| tenant.status).collect();
    statuses.try_into().unwrap()
}

#[tokio::test]
async fn a_cascade_suspends_all_below_once_and_brings_back_exactly_those() {
    let world = World::start().await;
    let top = world.tenant("Top").await;
    let one = world.child("One", &top).await;
    let deep = world.child("Deep", &one).await;
    let alone = world.child("Alone", &top).await;
    let beside = world.tenant("Beside").await;
    let mut above = world.tenants(&operator());
    above.suspend_tenant(suspend(&alone)).await.unwrap();
    let answer = above.suspend_tenant(suspend_all(&top, "first")).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(
        (answer.id.as_str(), answer.suspended_by.as_str()),
        (top.id.as_str(), "")
    );
    let all = [&top, &one, &deep, &alone, &beside];
    assert_eq!(
        statuses(&world, all).await,
        ["suspended", "suspended", "suspended", "suspended", "active"]
    );
    for below in [&one, &deep] {
        let below = now(&world, below).await;
        assert_eq!(below.suspended_by, top.id);
        assert_eq!(below.suspend_reason, "unpaid");
    }
    for (tenant, expected) in all.into_iter().zip([1, 1, 1, 1, 0]) {
        assert_eq!(events(&world, tenant, "tenant.suspended").await, expected);
    }

    // One is resumed for itself; the same request once more doesn't take that back.
    above.resume_tenant(resume(&deep, false)).await.unwrap();
    let repeated = above.suspend_tenant(suspend_all(&top, "first")).await;
    assert_eq!(repeated.unwrap().into_inner(), answer);
    assert_eq!(now(&world, &deep).await.status, "active");
    assert_eq!(events(&world, &deep, "tenant.suspended").await, 1);

    above.resume_tenant(resume(&top, true)).await.unwrap();
    assert_eq!(
        statuses(&world, all).await,
        ["active", "active", "active", "suspended", "active"]
    );
    assert_eq!(events(&world, &one, "tenant.resumed").await, 1);
    assert_eq!(events(&world, &alone, "tenant.resumed").await, 0);
}

#[tokio::test]
async fn without_cascade_those_below_stay_as_they_are() {
    let world = World::start().await;
    let top = world.tenant("Top").await;
    let child = world.child("Child", &top).await;
    let mut above = world.tenants(&operator());
    above.suspend_tenant(suspend(&top)).await.unwrap();
    assert_eq!(
        statuses(&world, [&top, &child]).await,
        ["suspended", "active"]
    );
    above.resume_tenant(resume(&top, true)).await.unwrap();
    assert_eq!(events(&world, &child, "tenant.resumed").await, 0);
}

#[tokio::test]
async fn nobody_cascades_from_their_own_tenant() {
    let world = World::start().await;
    let top = world.tenant("Top").await;
    let child = world.child("Child", &top).await;
    let own = member(&top, &[Permission::TenantsRead, Permission::TenantsCreate]);
    let refused = world
        .tenants(&own)
        .suspend_tenant(suspend_all(&top, ""))
        .await;
    assert_eq!(why(refused), Reason::PermissionDenied);
    let other = world.tenant("Other").await;
    let manager = member(&other, &[Permission::TenantsManage]);
    let refused = world
        .tenants(&manager)
        .suspend_tenant(suspend_all(&child, ""))
        .await;
    assert_eq!(why(refused), Reason::TenantNotFound);
}

#[tokio::test]
async fn nothing_that_joins_during_a_cascade_escapes_it() {
    let world = World::start().await;
    let second = world.replica().await;
    let top = world.tenant("Top").await;
    let parents = join_all((0..6).map(|_| world.child("Parent", &top))).await;
    let joined = join_all(parents.iter().enumerate().map(|(n, parent)| {
        let mut client = if n % 2 == 0 {
            world.tenants(&operator())
        } else {
            second.tenants(&operator())
        };
        async move {
            let mut refused = 0;
            for _ in 0..8 {
                let create = CreateTenantRequest {
                    parent_id: parent.id.clone(),
                    ..named("Joins")
                };
                refused += usize::from(client.create_tenant(create).await.is_err());
            }
            refused
        }
    }));
    let mut above = second.tenants(&operator());
    let cascade = above.suspend_tenant(suspend_all(&top, ""));
    let (_, cascaded) = futures::join!(joined, cascade);
    cascaded.unwrap();
    let left: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM tenants GROUP BY status")
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    let left: BTreeMap<String, i64> = left.into_iter().collect();
    assert_eq!(left.get("active"), None, "{left:?}");
    let broken: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM outbox_counter AS c WHERE c.n <> (SELECT count(*) FROM outbox AS o WHERE o.tenant_id = c.tenant_id)",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(broken, 0, "every stream is gapless");
}
