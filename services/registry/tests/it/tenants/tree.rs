//! The tree of tenants: its depth, its subtrees, and no living child below a deleted parent.

use std::collections::BTreeSet;

use futures::future::join_all;
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateTenantRequest, GetTenantRequest, ListTenantsRequest, Tenant,
};

use super::{delete, suspend, undelete};
use crate::support::{World, member, named, operator, why};

fn below(parent: &Tenant) -> CreateTenantRequest {
    CreateTenantRequest {
        parent_id: parent.id.clone(),
        ..named("Child")
    }
}

/// A chain of tenants, each the parent of the next.
async fn chain(world: &World, length: usize) -> Vec<Tenant> {
    let mut chain = vec![world.tenant("Level 1").await];
    for level in 2..=length {
        let child = world
            .child(&format!("Level {level}"), &chain[level - 2])
            .await;
        chain.push(child);
    }
    chain
}

async fn listed(
    world: &World,
    claims: &tenantry_rpc::assertion::Claims,
    request: ListTenantsRequest,
) -> BTreeSet<String> {
    let list = world.tenants(claims).list_tenants(request).await.unwrap();
    list.into_inner()
        .tenants
        .into_iter()
        .map(|tenant| tenant.name)
        .collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn a_tree_is_ten_levels_deep_at_most() {
    let world = World::start().await;
    let chain = chain(&world, 10).await;
    assert_eq!(chain[9].parent_id, chain[8].id);
    let eleventh = world
        .tenants(&operator())
        .create_tenant(below(&chain[9]))
        .await;
    assert_eq!(why(eleventh), Reason::HierarchyTooDeep);
    let own = member(&chain[9], &[Permission::TenantsCreate]);
    let eleventh = world.tenants(&own).create_tenant(below(&chain[9])).await;
    assert_eq!(why(eleventh), Reason::HierarchyTooDeep);
}

#[tokio::test]
async fn children_and_subtrees_are_listed_as_far_as_the_caller_reaches() {
    let world = World::start().await;
    let chain = chain(&world, 4).await;
    world.child("Sibling", &chain[0]).await;
    world.tenant("Stranger").await;
    let under = |parent: &Tenant, subtree: bool| ListTenantsRequest {
        parent: parent.slug.clone(),
        subtree,
        ..Default::default()
    };
    let above = operator();
    assert_eq!(
        listed(&world, &above, under(&chain[0], false)).await,
        names(["Level 2", "Sibling"])
    );
    assert_eq!(
        listed(&world, &above, under(&chain[0], true)).await,
        names(["Level 2", "Level 3", "Level 4", "Sibling"])
    );
    let manager = member(
        &chain[1],
        &[Permission::TenantsRead, Permission::TenantsCreate],
    );
    let all = ListTenantsRequest::default();
    assert_eq!(
        listed(&world, &manager, all.clone()).await,
        names(["Level 2", "Level 3", "Level 4"])
    );
    assert_eq!(
        listed(&world, &manager, under(&chain[2], false)).await,
        names(["Level 4"])
    );
    let viewer = member(&chain[1], &[Permission::TenantsRead]);
    assert_eq!(
        listed(&world, &viewer, all.clone()).await,
        names(["Level 2"])
    );
    for outside in [&chain[0], &chain[3]] {
        let refused = world
            .tenants(&viewer)
            .list_tenants(under(outside, true))
            .await;
        assert_eq!(why(refused), Reason::TenantNotFound);
    }
    let refused = world
        .tenants(&manager)
        .list_tenants(under(&chain[0], false))
        .await;
    assert_eq!(why(refused), Reason::TenantNotFound);

    // A role doesn't reach through a tenant out of use; an operator sees on.
    world
        .tenants(&above)
        .suspend_tenant(suspend(&chain[2]))
        .await
        .unwrap();
    assert_eq!(
        listed(&world, &manager, all).await,
        names(["Level 2", "Level 3"])
    );
    let refused = world
        .tenants(&manager)
        .list_tenants(under(&chain[3], false))
        .await;
    assert_eq!(why(refused), Reason::TenantNotFound);
    assert_eq!(
        listed(&world, &above, under(&chain[0], true)).await,
        names(["Level 2", "Level 3", "Level 4", "Sibling"])
    );
}

#[tokio::test]
async fn a_tenant_with_living_children_is_not_deleted() {
    let world = World::start().await;
    let chain = chain(&world, 2).await;
    let mut tenants = world.tenants(&operator());
    assert_eq!(
        why(tenants.delete_tenant(delete(&chain[0])).await),
        Reason::TenantHasChildren
    );
    let get = GetTenantRequest {
        tenant: chain[0].id.clone(),
    };
    let count = tenants
        .get_tenant(get.clone())
        .await
        .unwrap()
        .into_inner()
        .sub_tenants_count;
    assert_eq!(count, Some(1));
    tenants.delete_tenant(delete(&chain[1])).await.unwrap();
    let count = tenants
        .get_tenant(get)
        .await
        .unwrap()
        .into_inner()
        .sub_tenants_count;
    assert_eq!(count, Some(0));
    tenants.delete_tenant(delete(&chain[0])).await.unwrap();
    assert_eq!(
        why(tenants.create_tenant(below(&chain[0])).await),
        Reason::ParentNotFound
    );
}

#[tokio::test]
async fn a_child_comes_back_only_below_a_parent_that_is_there() {
    let world = World::start().await;
    let chain = chain(&world, 2).await;
    let mut tenants = world.tenants(&operator());
    for tenant in chain.iter().rev() {
        tenants.delete_tenant(delete(tenant)).await.unwrap();
    }
    let orphan = tenants.undelete_tenant(undelete(&chain[1])).await;
    assert_eq!(why(orphan), Reason::StatusForbids);
    for tenant in &chain {
        tenants.undelete_tenant(undelete(tenant)).await.unwrap();
    }
}

#[tokio::test]
async fn children_that_come_while_their_parent_goes_never_outlive_it() {
    let world = World::start().await;
    let parents: Vec<Tenant> = join_all((0..8).map(|_| world.tenant("Parent"))).await;
    let undeleted: Vec<Tenant> = join_all(parents.iter().map(|p| world.child("Back", p))).await;
    join_all(undeleted.iter().map(|child| async {
        world
            .tenants(&operator())
            .delete_tenant(delete(child))
            .await
            .unwrap();
    }))
    .await;
    let mut refusals = BTreeSet::new();
    let raced = join_all(parents.iter().zip(&undeleted).map(|(parent, child)| async {
        let [mut one, mut two, mut three] = [(); 3].map(|()| world.tenants(&operator()));
        let (deleted, created, undeleted) = futures::join!(
            one.delete_tenant(delete(parent)),
            two.create_tenant(below(parent)),
            three.undelete_tenant(undelete(child)),
        );
        [deleted, created, undeleted]
    }))
    .await;
    for refused in raced.into_iter().flatten().filter(Result::is_err) {
        refusals.insert(format!("{:?}", why(refused)));
    }
    let expected = ["ParentNotFound", "StatusForbids", "TenantHasChildren"].map(str::to_owned);
    assert!(refusals.is_subset(&expected.into()), "{refusals:?}");
    let orphans: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tenants AS child JOIN tenants AS parent ON parent.tenant_id = child.parent_id
         WHERE parent.status = 'deleted' AND child.status <> 'deleted'",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(orphans, 0);
}

#[tokio::test]
async fn a_child_belongs_to_its_parent_s_project() {
    let world = World::start().await;
    let project = tenantry_proto::registry::v1::CreateProjectRequest {
        key: "other".to_owned(),
        ..Default::default()
    };
    world
        .projects(&operator())
        .create_project(project)
        .await
        .unwrap();
    let parent = world
        .create(CreateTenantRequest {
            project: "other".to_owned(),
            ..named("Parent")
        })
        .await;
    let child = world.create(below(&parent)).await;
    assert_eq!(child.project, "other");
}
