//! Which tenant a principal is of, as the gateway asserts it: in that one's log its attempts are told.

use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;

use crate::caller::Who;
use crate::world::{PASSWORD, World};

async fn home(world: &World, who: &Who) -> Option<TenantId> {
    world.assertion(who).await.unwrap().home
}

/// Signed in for this tenant.
async fn signed_in_for(world: &World, email: &str, tenant: &str) -> Who {
    let login = wire::LoginRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    let pair = world.auth().login(login).await.unwrap().into_inner();
    Who::bearer(&pair.access_token)
}

#[tokio::test]
async fn a_person_is_of_the_tenant_whose_membership_gives_what_they_reach() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let middle = world.tenant("middle", Some(top)).await;
    let below = world.tenant("below", Some(middle)).await;
    let admin = world.member(top, "admin@example.com", "admin").await;
    for tenant in [top, middle, below] {
        assert_eq!(home(&world, &admin.clone().at(tenant)).await, Some(top));
    }
    // The nearest that reaches down, and the tenant itself before all above.
    let admin = world.member(middle, "admin@example.com", "admin").await;
    assert_eq!(home(&world, &admin.clone().at(below)).await, Some(middle));
    let admin = world.member(below, "admin@example.com", "viewer").await;
    assert_eq!(home(&world, &admin.clone().at(below)).await, Some(below));
    assert_eq!(home(&world, &admin.clone().at(top)).await, Some(top));
}

#[tokio::test]
async fn whoever_names_no_tenant_in_reach_is_of_the_one_that_the_session_is_for() {
    let world = World::start().await;
    let first = world.tenant("first", None).await;
    let second = world.tenant("second", None).await;
    let below = world.tenant("below", Some(second)).await;
    let foreign = world.tenant("foreign", None).await;
    world.member(first, "ann@example.com", "admin").await;
    let ann = world.member(second, "ann@example.com", "admin").await;
    let aims = |who: &Who| {
        [
            who.clone().at(foreign),
            who.clone().at(TenantId::new()),
            who.clone().at(first).with("x-tenant-slug", "second"),
        ]
    };
    // A session for none: the first by id.
    for who in aims(&ann).into_iter().chain([ann.clone()]) {
        assert_eq!(home(&world, &who).await, Some(first));
    }
    for (session_for, expected) in [("first", first), ("second", second), ("below", second)] {
        let session = signed_in_for(&world, "ann@example.com", session_for).await;
        for who in aims(&session) {
            assert_eq!(home(&world, &who).await, Some(expected), "{session_for}");
        }
    }
    let session = signed_in_for(&world, "ann@example.com", "below").await;
    assert_eq!(home(&world, &session).await, Some(second), "{below}");
    let only = world.member(second, "only@example.com", "member").await;
    for who in [only.clone(), only.at(foreign)] {
        assert_eq!(home(&world, &who).await, Some(second));
    }
}

#[tokio::test]
async fn a_key_is_of_its_tenant_and_operators_are_of_none() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let foreign = world.tenant("foreign", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let key = Who::key(&world.key(&owner).await);
    for who in [key.clone(), key.at(foreign)] {
        assert_eq!(home(&world, &who).await, Some(acme));
    }
    let operator = Who::bearer(&world.operator);
    for who in [operator.clone(), operator.clone().at(acme)] {
        assert_eq!(home(&world, &who).await, None);
    }
    let new = wire::CreatePlatformApiKeyRequest {
        name: "ops".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&operator, new).await.unwrap();
    let made = world.operators().create_platform_api_key(ask).await;
    let key = Who::key(&made.unwrap().into_inner().secret);
    assert_eq!(home(&world, &key.at(acme)).await, None);
}

#[tokio::test]
async fn whoever_is_a_member_nowhere_is_of_no_tenant() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let session = world.member(acme, "gone@example.com", "member").await;
    let session_for = signed_in_for(&world, "gone@example.com", "acme").await;
    let operator = Who::bearer(&world.operator).at(acme);
    let removal = wire::RemoveMemberRequest {
        user: world.id_of(&session).await,
        ..Default::default()
    };
    let ask = world.ask(&operator, removal).await.unwrap();
    world.members().remove_member(ask).await.unwrap();
    for who in [session, session_for] {
        crate::world::until(async || home(&world, &who.clone().at(acme)).await.is_none()).await;
    }
}
