//! Moving a tenant: by whom, to where, and never into a cycle or past ten levels, however many move at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, DeleteTenantRequest, MoveTenantRequest,
    SuspendTenantRequest, Tenant, UpdateTenantRequest,
};

use super::{events, now};
use crate::support::{World, member, named, operator, why};

/// Who move at once, and how often each does.
const MOVERS: usize = 12;
const MOVES: usize = 25;

fn below(tenant: &Tenant, parent: &str) -> MoveTenantRequest {
    MoveTenantRequest {
        tenant: tenant.id.clone(),
        new_parent: parent.to_owned(),
        ..Default::default()
    }
}

async fn chain(world: &World, length: usize) -> Vec<Tenant> {
    let mut chain = vec![world.tenant("Level 1").await];
    for level in 1..length {
        let child = world.child("Level", &chain[level - 1]).await;
        chain.push(child);
    }
    chain
}

#[tokio::test]
async fn a_tenant_moves_with_all_below_it_and_leaves_one_event() {
    let world = World::start().await;
    let (from, to) = (chain(&world, 3).await, chain(&world, 2).await);
    let mut above = world.tenants(&operator());
    let moved = above.move_tenant(below(&from[1], &to[1].slug)).await;
    assert_eq!(moved.unwrap().into_inner().parent_id, to[1].id);
    assert_eq!(now(&world, &from[2]).await.parent_id, from[1].id);
    assert_eq!(now(&world, &from[0]).await.sub_tenants_count, Some(0));
    let again = above.move_tenant(below(&from[1], &to[1].id)).await;
    assert_eq!(again.unwrap().into_inner().parent_id, to[1].id);
    assert_eq!(events(&world, &from[1], "tenant.moved").await, 1);
    let top = above.move_tenant(below(&from[1], "")).await.unwrap();
    assert_eq!(top.into_inner().parent_id, "");
}

#[tokio::test]
async fn a_repeated_move_is_answered_as_before_whatever_its_parent_is_called_by_then() {
    let world = World::start().await;
    let (tenant, parent) = (world.tenant("Moves").await, world.tenant("Parent").await);
    let request = MoveTenantRequest {
        request_id: "once".to_owned(),
        ..below(&tenant, &parent.slug)
    };
    let mut above = world.tenants(&operator());
    let moved = above.move_tenant(request.clone()).await.unwrap();
    let renamed = UpdateTenantRequest {
        tenant: parent.id.clone(),
        slug: Some("another".to_owned()),
        ..Default::default()
    };
    above.update_tenant(renamed).await.unwrap();
    let again = above.move_tenant(request).await.unwrap();
    assert_eq!(again.into_inner(), moved.into_inner());
    assert_eq!(events(&world, &tenant, "tenant.moved").await, 1);
}

#[tokio::test]
async fn a_place_without_room_is_refused() {
    let world = World::start().await;
    let (chain, deep) = (chain(&world, 3).await, chain(&world, 8).await);
    let mut above = world.tenants(&operator());
    for own in [&chain[0], &chain[2]] {
        let refused = above.move_tenant(below(&chain[0], &own.id)).await;
        assert_eq!(why(refused), Reason::HierarchyCycle);
    }
    let refused = above.move_tenant(below(&chain[0], &deep[7].id)).await;
    assert_eq!(why(refused), Reason::HierarchyTooDeep);
    above
        .move_tenant(below(&chain[0], &deep[6].id))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_parent_out_of_sight_is_answered_like_an_absent_one() {
    let world = World::start().await;
    let project = CreateProjectRequest {
        key: "other".to_owned(),
        ..Default::default()
    };
    world
        .projects(&operator())
        .create_project(project)
        .await
        .unwrap();
    let foreign = world
        .create(CreateTenantRequest {
            project: "other".to_owned(),
            ..named("Foreign")
        })
        .await;
    let (parent, stopped, gone) = (
        world.tenant("Parent").await,
        world.tenant("Stopped").await,
        world.tenant("Gone").await,
    );
    let tenant = world.child("Moves", &parent).await;
    let mut above = world.tenants(&operator());
    let suspend = SuspendTenantRequest {
        tenant: stopped.id.clone(),
        ..Default::default()
    };
    above.suspend_tenant(suspend).await.unwrap();
    let delete = |tenant: &Tenant| DeleteTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    above.delete_tenant(delete(&gone)).await.unwrap();
    let absent = TenantId::new().to_string();
    let mut told = BTreeSet::new();
    for hidden in [&foreign.id, &foreign.slug, &stopped.id, &gone.id, &absent] {
        let status = above.move_tenant(below(&tenant, hidden)).await.unwrap_err();
        told.insert((status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    above.delete_tenant(delete(&tenant)).await.unwrap();
    let refused = above.move_tenant(below(&tenant, "")).await;
    assert_eq!(why(refused), Reason::StatusForbids);
}

#[tokio::test]
async fn nobody_moves_their_own_tenant_and_only_operators_move_to_the_top() {
    let world = World::start().await;
    let (parent, other) = (world.tenant("Parent").await, world.tenant("Other").await);
    let tenant = world.child("Moves", &parent).await;
    let admin = member(
        &tenant,
        &[
            Permission::TenantsRead,
            Permission::TenantsUpdate,
            Permission::TenantsCreate,
        ],
    );
    for to in ["", &other.id, &parent.id] {
        let refused = world.tenants(&admin).move_tenant(below(&tenant, to)).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
    }
    let manager = member(&tenant, &[Permission::TenantsManage]);
    let refused = world
        .tenants(&manager)
        .move_tenant(below(&tenant, ""))
        .await;
    assert_eq!(why(refused), Reason::PermissionDenied);
    assert_eq!(now(&world, &tenant).await.parent_id, parent.id);
}

#[tokio::test]
async fn concurrent_moves_never_make_a_cycle_nor_pass_ten_levels() {
    let world = World::start().await;
    let second = world.replica().await;
    let chains = join_all((0..3).map(|_| chain(&world, 7))).await;
    let tenants = chains.concat();
    let outcomes = join_all((0..MOVERS).map(|mover| {
        let replica = if mover % 2 == 0 { &*world } else { &second };
        let mut client = replica.tenants(&operator());
        let tenants = &tenants;
        async move {
            let mut seed = mover as u64 + 1;
            let mut any = |below: usize| {
                // Knuth's MMIX generator: the same moves in each run, in an order that differs.
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as usize % below
            };
            let mut outcomes = Vec::new();
            for _ in 0..MOVES {
                let moved = &tenants[any(tenants.len())];
                let parent = &tenants[any(tenants.len())];
                if any(8) == 0 {
                    let create = CreateTenantRequest {
                        parent_id: parent.id.clone(),
                        ..named("Joins")
                    };
                    outcomes.push(client.create_tenant(create).await);
                } else {
                    outcomes.push(client.move_tenant(below(moved, &parent.id)).await);
                }
            }
            outcomes
        }
    }))
    .await;
    let mut moved = 0;
    let mut refusals = BTreeSet::new();
    for outcome in outcomes.into_iter().flatten() {
        if outcome.is_ok() {
            moved += 1;
        } else {
            refusals.insert(format!("{:?}", why(outcome)));
        }
    }
    let expected = ["HierarchyCycle", "HierarchyTooDeep"].map(str::to_owned);
    assert_eq!(refusals, expected.into(), "{moved} moved");
    let (all, reached, deepest): (i64, i64, i32) = sqlx::query_as(
        "WITH RECURSIVE tree AS (
             SELECT tenant_id, 1 AS level FROM tenants WHERE parent_id IS NULL
             UNION ALL
             SELECT t.tenant_id, tree.level + 1 FROM tenants AS t JOIN tree ON t.parent_id = tree.tenant_id
             WHERE tree.level < 50
         )
         SELECT (SELECT count(*) FROM tenants), count(DISTINCT tenant_id), max(level) FROM tree",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(reached, all, "whatever isn't below a top is in a cycle");
    assert!(deepest <= 10, "{deepest} levels");
    assert!(moved > 0);
}
