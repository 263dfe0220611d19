//! The first operator and the others.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::{Permission, Permissions};
use tenantry_proto::identity::v1 as wire;
use tonic::Code;

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, PASSWORD, World};

#[tokio::test]
async fn of_two_first_operators_at_once_there_is_one() {
    let world = World::without_operator().await;
    let (one, other) = (world.bootstrap_token().await, world.bootstrap_token().await);
    let wrong = world
        .bootstrap("tb_wrong", "a@example.com")
        .await
        .unwrap_err();
    assert_eq!(reason(&wrong), "BOOTSTRAP_TOKEN_INVALID");
    let (first, second) = tokio::join!(
        world.bootstrap(&one, "a@example.com"),
        world.bootstrap(&other, "b@example.com")
    );
    let outcomes = [first, second];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let late = outcomes
        .iter()
        .find_map(|outcome| outcome.as_ref().err())
        .unwrap();
    assert_eq!(reason(late), "ALREADY_BOOTSTRAPPED");
}

#[tokio::test]
async fn a_strangers_bootstrap_waits_for_nothing_and_keeps_nobody_waiting() {
    let world = World::start().await;
    let url = world.database.superuser_url();
    let mut other = PgConnection::connect(url.as_str()).await.unwrap();
    let mut busy = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE identity.operators IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *busy)
        .await
        .unwrap();
    let asked = world.bootstrap("tb_wrong", "a@example.com");
    let answered = tokio::time::timeout(Duration::from_secs(5), asked).await;
    let refused = answered.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "BOOTSTRAP_TOKEN_INVALID");
}

#[tokio::test]
async fn a_further_operator_manages_tenants_and_reads_nothing_of_theirs() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let first = Who::bearer(&world.operator);
    let request = |permissions: &[&str]| wire::CreateOperatorRequest {
        email: "second@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let ask = world.ask(&first, request(&[])).await.unwrap();
    let made = world
        .operators()
        .create_operator(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.permissions, ["platform.tenants.manage"]);
    let again = world.ask(&first, request(&[])).await.unwrap();
    let again = world.operators().create_operator(again).await.unwrap_err();
    assert_eq!(reason(&again), "OPERATOR_EXISTS");

    let second = Who::bearer(&world.login("second@example.com").await.access_token);
    let held = world
        .assertion(&second.clone().at(tenant))
        .await
        .unwrap()
        .permissions;
    assert!(held.contains(Permission::TenantsManage));
    let members = wire::ListMembersRequest::default();
    let ask = world
        .ask(&second.clone().at(tenant), members)
        .await
        .unwrap();
    let refused = world.members().list_members(ask).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut more = request(&["platform.content.access"]);
    more.email = "third@example.com".to_owned();
    let ask = world.ask(&second, more).await.unwrap();
    let refused = world.operators().create_operator(ask).await.unwrap_err();
    assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
}

#[tokio::test]
async fn a_platform_key_reaches_every_tenant_and_its_maker_is_listed() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator);
    let request = wire::CreatePlatformApiKeyRequest {
        name: "deploy".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&operator, request).await.unwrap();
    let made = world
        .operators()
        .create_platform_api_key(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.api_key.unwrap().tenant_id, "");
    let key = Who::bearer(&made.secret);
    let at = world.assertion(&key.clone().at(tenant)).await.unwrap();
    assert_eq!(at.tenant, Some(tenant));
    assert!(at.permissions.covers(Permissions::PLATFORM));
    let ask = world
        .ask(&key, wire::ListOperatorsRequest::default())
        .await
        .unwrap();
    let listed = world
        .operators()
        .list_operators(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.operators[0].email, OPERATOR);
}

#[tokio::test]
async fn a_native_call_of_an_operator_names_the_tenant_in_the_message_alone() {
    let world = World::start().await;
    world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator);
    for (tenant, found) in [("acme", true), ("nobody", false)] {
        let request = wire::ListMembersRequest {
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&operator, request).await.unwrap();
        assert_eq!(
            world.members().list_members(ask).await.is_ok(),
            found,
            "{tenant}"
        );
    }
}
