//! Limits that a create asks for: kept with the tenant and told to followers, and not shown as if they bound.

use tenantry_core::{Permission, Reason};
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::{
    FollowTenantsRequest, FollowTenantsResponse, LookupTenantRequest, TenantEntry,
};
use tenantry_proto::registry::v1::{CreateTenantRequest, Tenant, UpdateTenantRequest};
use tonic::Streaming;

use crate::support::{
    Replica, World, fields, member, named, operator, reason, rename, service, soon, why,
};

fn limited() -> CreateTenantRequest {
    CreateTenantRequest {
        max_users: Some(25),
        max_classes: Some(0),
        max_storage_gb: Some(3),
        ..named("Acme")
    }
}

async fn follow(replica: &Replica) -> Streaming<FollowTenantsResponse> {
    let mut feed = replica.feed(&service("identity"));
    let followed = feed.follow_tenants(FollowTenantsRequest::default()).await;
    followed.unwrap().into_inner()
}

/// The tenant at this version, which may come behind older ones.
async fn entry(
    stream: &mut Streaming<FollowTenantsResponse>,
    id: &str,
    version: i64,
) -> TenantEntry {
    soon(async {
        loop {
            if let Some(Item::Tenant(entry)) = stream.message().await.unwrap().unwrap().item
                && (entry.id.as_str(), entry.version) == (id, version)
            {
                return entry;
            }
        }
    })
    .await
}

fn limits(entry: &TenantEntry) -> Vec<(&str, i64)> {
    entry
        .requested_limits
        .iter()
        .map(|asked| (asked.resource_type.as_str(), asked.limit))
        .collect()
}

#[tokio::test]
async fn limits_of_a_create_reach_who_follows_and_who_lists_later() {
    let world = World::start().await;
    let mut follower = follow(&world).await;
    let tenant = world.create(limited()).await;
    let asked = [
        ("users", 25),
        ("classes", 0),
        ("storage_bytes", 3_000_000_000),
    ];
    let followed = entry(&mut follower, &tenant.id, 1).await;
    assert_eq!(limits(&followed), asked);
    let told: serde_json::Value = sqlx::query_scalar(
        "SELECT event->'after'->'requested_limits' FROM outbox WHERE tenant_id = $1::uuid",
    )
    .bind(&tenant.id)
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(told[2]["resource_type"], "storage_bytes");
    assert_eq!(told[2]["limit"], 3_000_000_000_i64);

    // No change of the tenant takes them away.
    let mut tenants = world.tenants(&operator());
    tenants
        .update_tenant(rename(&tenant, "Acme Ltd"))
        .await
        .unwrap();
    let changed = entry(&mut follower, &tenant.id, 2).await;
    assert_eq!(limits(&changed), asked);
    let second = world.replica().await;
    let mut later = follow(&second).await;
    assert_eq!(limits(&entry(&mut later, &tenant.id, 2).await), asked);
    let lookup = LookupTenantRequest {
        id: tenant.id.clone(),
        ..Default::default()
    };
    let mut feed = world.feed(&service("identity"));
    let looked_up = feed.lookup_tenant(lookup).await.unwrap().into_inner();
    assert_eq!(limits(&looked_up), asked);

    let plain = world.tenant("Plain").await;
    assert_eq!(limits(&entry(&mut follower, &plain.id, 1).await), []);
}

#[tokio::test]
async fn a_limit_below_zero_is_refused_with_all_that_is_wrong_beside() {
    let world = World::start().await;
    let wrong = CreateTenantRequest {
        max_users: Some(-1),
        max_classes: Some(i32::MIN),
        max_storage_gb: Some(-1),
        trial_days: -1,
        ..named("Acme")
    };
    let mut tenants = world.tenants(&operator());
    assert_eq!(
        fields(tenants.create_tenant(wrong).await),
        ["trial_days", "max_users", "max_classes", "max_storage_gb"]
    );
    let most = CreateTenantRequest {
        max_storage_gb: Some(i32::MAX),
        ..named("Large")
    };
    tenants.create_tenant(most).await.unwrap();
}

#[tokio::test]
async fn a_parents_people_ask_for_no_more_than_the_plan_has() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let caller = member(
        &parent,
        &[Permission::TenantsCreate, Permission::TenantsManage],
    );
    let mut tenants = world.tenants(&caller);
    let below = |request| CreateTenantRequest {
        parent_id: parent.id.clone(),
        ..request
    };
    let all_of_free = CreateTenantRequest {
        max_users: Some(5),
        max_classes: Some(5),
        max_storage_gb: Some(1),
        ..named("Acme")
    };
    tenants
        .create_tenant(below(all_of_free.clone()))
        .await
        .unwrap();
    let one_more = |field| {
        let mut request = all_of_free.clone();
        match field {
            "max_users" => request.max_users = Some(6),
            "max_classes" => request.max_classes = Some(6),
            _ => request.max_storage_gb = Some(2),
        }
        request
    };
    for field in ["max_users", "max_classes", "max_storage_gb"] {
        let refused = tenants.create_tenant(below(one_more(field))).await;
        let refused = refused.unwrap_err();
        assert_eq!(reason(&refused), Reason::PermissionDenied, "{field}");
        assert!(refused.message().contains(field), "{refused}");
        // An operator asks for it, and so does who chooses a plan that has it.
        world.create(below(one_more(field))).await;
        let on_more = CreateTenantRequest {
            subscription_tier: "basic".to_owned(),
            ..one_more(field)
        };
        tenants.create_tenant(below(on_more)).await.unwrap();
    }
}

#[tokio::test]
async fn followers_know_which_limits_an_operator_granted_whatever_plan_the_tenant_moves_to() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let people = [Permission::TenantsCreate, Permission::TenantsManage];
    for (caller, granted) in [(member(&parent, &people), false), (operator(), true)] {
        let mut tenants = world.tenants(&caller);
        let large = CreateTenantRequest {
            parent_id: parent.id.clone(),
            subscription_tier: "professional".to_owned(),
            ..limited()
        };
        let large = tenants.create_tenant(large).await.unwrap().into_inner();
        let to_free = UpdateTenantRequest {
            tenant: large.id.clone(),
            subscription_tier: Some("free".to_owned()),
            ..Default::default()
        };
        let mut tenants = world.tenants(&operator());
        tenants.update_tenant(to_free).await.unwrap();
        let lookup = LookupTenantRequest {
            id: large.id.clone(),
            ..Default::default()
        };
        let mut feed = world.feed(&service("identity"));
        let entry = feed.lookup_tenant(lookup).await.unwrap().into_inner();
        assert_eq!(entry.plan, "free");
        let told = entry.requested_limits.iter();
        let told: Vec<_> = told.map(|asked| asked.granted_by_operator).collect();
        assert_eq!(told, [granted; 3]);
    }
}

#[tokio::test]
async fn limits_are_part_of_the_request_that_a_repetition_is_held_against() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let mut tenants = world.tenants(&member(&parent, &[Permission::TenantsCreate]));
    let request = CreateTenantRequest {
        parent_id: parent.id.clone(),
        request_id: "once".to_owned(),
        subscription_tier: "professional".to_owned(),
        ..limited()
    };
    let first: Tenant = tenants
        .create_tenant(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = tenants.create_tenant(request.clone()).await.unwrap();
    assert_eq!(again.into_inner(), first);
    let other = CreateTenantRequest {
        max_users: Some(26),
        ..request
    };
    let refused = tenants.create_tenant(other).await;
    assert_eq!(why(refused), Reason::RequestIdReused);
}
