//! Tenants stay on their version until they are moved, and a preview says what a move does.

use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    ChangePlanRequest, CreateTenantRequest, DeleteTenantRequest, GetTenantRequest,
    PreviewPlanChangeRequest, Tenant, UpdateTenantRequest,
};

use super::{get, price, update};
use crate::support::{World, member, named, operator, why};

async fn on(world: &World, tier: &str) -> Tenant {
    let request = CreateTenantRequest {
        subscription_tier: tier.to_owned(),
        ..named("Acme")
    };
    world.create(request).await
}

fn tier(tenant: &Tenant, tier: &str) -> UpdateTenantRequest {
    UpdateTenantRequest {
        tenant: tenant.id.clone(),
        subscription_tier: Some(tier.to_owned()),
        ..Default::default()
    }
}

fn change(tenant: &Tenant, plan: &str) -> ChangePlanRequest {
    ChangePlanRequest {
        tenant: tenant.id.clone(),
        plan: plan.to_owned(),
        ..Default::default()
    }
}

fn preview(tenant: &Tenant, plan: &str) -> PreviewPlanChangeRequest {
    PreviewPlanChangeRequest {
        tenant: tenant.id.clone(),
        plan: plan.to_owned(),
    }
}

fn place(tenant: &Tenant) -> (&str, i32) {
    (tenant.subscription_tier.as_str(), tenant.plan_version)
}

#[tokio::test]
async fn a_tenant_stays_on_its_version_until_it_is_moved() {
    let world = World::start().await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let tenant = on(&world, "pro").await;
    assert_eq!(place(&tenant), ("professional", 1));
    update(&world, price("pro", 1, "")).await;
    update(&world, price("pro", 2, "")).await;
    let get = GetTenantRequest {
        tenant: tenant.id.clone(),
    };
    let still = tenants.get_tenant(get).await.unwrap().into_inner();
    assert_eq!(
        (place(&still), &still.etag),
        (("professional", 1), &tenant.etag)
    );
    // Sent back as it was read: the version stays.
    let same = tenants
        .update_tenant(tier(&tenant, "professional"))
        .await
        .unwrap();
    assert_eq!(same.get_ref().etag, tenant.etag);
    let mut subscriptions = world.subscriptions(&caller);
    let moved = subscriptions
        .change_plan(change(&tenant, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(place(&moved), ("professional", 3));
    let again = subscriptions
        .change_plan(change(&tenant, "pro"))
        .await
        .unwrap();
    assert_eq!(again.get_ref().etag, moved.etag, "it is there already");
    // To another plan, at its newest version, by either way.
    update(&world, price("basic", 3, "")).await;
    let moved = tenants.update_tenant(tier(&tenant, "basic")).await.unwrap();
    assert_eq!(place(moved.get_ref()), ("basic", 2));
    let moved = subscriptions
        .change_plan(change(&tenant, "pro"))
        .await
        .unwrap();
    assert_eq!(place(moved.get_ref()), ("professional", 3));
    assert_eq!(
        place(&on(&world, "pro").await),
        ("professional", 3),
        "a new one begins on the newest"
    );
}

#[tokio::test]
async fn a_move_is_one_event_with_both_versions() {
    let world = World::start().await;
    let tenant = on(&world, "pro").await;
    update(&world, price("pro", 1, "")).await;
    let mut subscriptions = world.subscriptions(&operator());
    let request = ChangePlanRequest {
        request_id: "once".to_owned(),
        ..change(&tenant, "")
    };
    let first = subscriptions
        .change_plan(request.clone())
        .await
        .unwrap()
        .into_inner();
    update(&world, price("pro", 2, "")).await;
    let again = subscriptions
        .change_plan(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.plan_version, &again),
        (2, &first),
        "the first answer"
    );
    let events: Vec<(i32, i32)> = sqlx::query_as(
        "SELECT (event -> 'before' ->> 'plan_version')::int, (event -> 'after' ->> 'plan_version')::int
         FROM outbox WHERE action = 'tenant.plan_changed'",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(events, [(1, 2)]);
}

#[tokio::test]
async fn a_preview_says_what_a_move_would_change_and_changes_nothing() {
    let world = World::start().await;
    let tenant = on(&world, "basic").await;
    let mut subscriptions = world.subscriptions(&operator());
    let none = subscriptions
        .preview_plan_change(preview(&tenant, ""))
        .await
        .unwrap()
        .into_inner();
    assert!(none.changed_fields.is_empty() && none.limits.is_empty());
    update(&world, price("basic", 10_900, "")).await;
    let newer = subscriptions
        .preview_plan_change(preview(&tenant, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(newer.changed_fields, ["price_minor"]);
    let [from, to] = [newer.from.unwrap(), newer.to.unwrap()];
    assert_eq!(
        (
            [from.version, to.version],
            [from.price_minor, to.price_minor]
        ),
        ([1, 2], [9_900, 10_900])
    );
    let down = subscriptions
        .preview_plan_change(preview(&tenant, "free"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(down.tenant_id, tenant.id);
    assert_eq!(
        down.features_lost,
        ["api_access", "parent_portal", "webhooks"]
    );
    assert!(down.features_gained.is_empty());
    assert!(down.changed_fields.contains(&"retention_days".to_owned()));
    let users = down
        .limits
        .iter()
        .find(|limit| limit.resource_type == "users")
        .unwrap();
    let [from, to] = [&users.from, &users.to].map(|limit| limit.as_ref().unwrap().limit);
    assert_eq!((from, to), (20, 5));
    assert_eq!(down.to.unwrap(), get(&world, "", "free").await);
    let get = GetTenantRequest {
        tenant: tenant.id.clone(),
    };
    let still = world.tenants(&operator()).get_tenant(get).await.unwrap();
    assert_eq!(still.get_ref().etag, tenant.etag);
}

#[tokio::test]
async fn reading_shows_a_preview_and_only_managing_moves() {
    let world = World::start().await;
    let tenant = on(&world, "basic").await;
    let reader = member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    );
    let mut subscriptions = world.subscriptions(&reader);
    subscriptions
        .preview_plan_change(preview(&tenant, "pro"))
        .await
        .unwrap();
    assert_eq!(
        why(subscriptions.change_plan(change(&tenant, "pro")).await),
        Reason::PermissionDenied
    );
    let nobody = member(&tenant, &[]);
    let refused = world
        .subscriptions(&nobody)
        .preview_plan_change(preview(&tenant, "pro"))
        .await;
    assert_eq!(why(refused), Reason::PermissionDenied);
    let manager = member(&tenant, &[Permission::TenantsManage]);
    let moved = world
        .subscriptions(&manager)
        .change_plan(change(&tenant, "pro"))
        .await
        .unwrap();
    assert_eq!(place(moved.get_ref()), ("professional", 1));
}

#[tokio::test]
async fn a_move_is_refused_with_what_is_wrong() {
    let world = World::start().await;
    let tenant = on(&world, "basic").await;
    let mut subscriptions = world.subscriptions(&operator());
    for plan in ["platinum", "nul\0"] {
        assert_eq!(
            why(subscriptions.change_plan(change(&tenant, plan)).await),
            Reason::PlanNotFound
        );
        assert_eq!(
            why(subscriptions
                .preview_plan_change(preview(&tenant, plan))
                .await),
            Reason::PlanNotFound
        );
    }
    let late = ChangePlanRequest {
        etag: "7".to_owned(),
        ..change(&tenant, "pro")
    };
    assert_eq!(
        why(subscriptions.change_plan(late).await),
        Reason::EtagMismatch
    );
    let delete = DeleteTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    world
        .tenants(&operator())
        .delete_tenant(delete)
        .await
        .unwrap();
    assert_eq!(
        why(subscriptions.change_plan(change(&tenant, "pro")).await),
        Reason::StatusForbids
    );
}
