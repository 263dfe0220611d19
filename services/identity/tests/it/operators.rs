//! The first operator and the others.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::{Permission, Permissions};
use tenantry_proto::identity::v1 as wire;
use tonic::{Code, Status};

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, PASSWORD, World, until};

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
    let mut more = request(&["platform.tenants.manage"]);
    more.email = "third@example.com".to_owned();
    let ask = world.ask(&second, more.clone()).await.unwrap();
    let refused = world.operators().create_operator(ask).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::PermissionDenied,
        "managing operators is another right"
    );
    let both = ["platform.tenants.manage", "platform.operators.manage"];
    update(&world, &first, &made.id, &both).await.unwrap();
    until(async || {
        let held = world.assertion(&second).await.unwrap().permissions;
        held.contains(Permission::PlatformOperatorsManage)
    })
    .await;
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
    more.permissions = vec!["platform.content.access".to_owned()];
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

async fn update(
    world: &World,
    who: &Who,
    operator: &str,
    permissions: &[&str],
) -> Result<wire::Operator, Status> {
    let request = wire::UpdateOperatorRequest {
        operator: operator.to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.operators().update_operator(ask).await?.into_inner())
}

fn removal(operator: &str) -> wire::RemoveOperatorRequest {
    wire::RemoveOperatorRequest {
        operator: operator.to_owned(),
        ..Default::default()
    }
}

/// A further operator: its id, and its credential.
async fn operator(world: &World, email: &str, permissions: &[&str]) -> (String, Who) {
    let request = wire::CreateOperatorRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let ask = world.ask(&Who::bearer(&world.operator), request).await;
    let made = world.operators().create_operator(ask.unwrap()).await;
    let token = world.login(email).await.access_token;
    (made.unwrap().into_inner().id, Who::bearer(&token))
}

#[tokio::test]
async fn of_the_last_two_who_manage_operators_one_stays_when_each_removes_the_other_at_once() {
    let world = World::start().await;
    let all = Permissions::PLATFORM.names();
    let manage: Vec<&str> = all.iter().map(String::as_str).collect();
    let manager = Permission::PlatformOperatorsManage.name();
    let first = Who::bearer(&world.operator);
    let (second_id, second) = operator(&world, "second@example.com", &manage).await;
    // Neither of these counts: one can't manage operators, the other is no one who signs in.
    operator(&world, "third@example.com", &["platform.tenants.manage"]).await;
    let key = wire::CreatePlatformApiKeyRequest {
        name: "deploy".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&first, key).await.unwrap();
    world
        .operators()
        .create_platform_api_key(ask)
        .await
        .unwrap();
    let list = world
        .ask(&first, wire::ListOperatorsRequest::default())
        .await;
    let listed = world
        .operators()
        .list_operators(list.unwrap())
        .await
        .unwrap()
        .into_inner();
    let first_id = listed
        .operators
        .iter()
        .find(|o| o.email == OPERATOR)
        .unwrap()
        .id
        .clone();

    let one = world.ask(&first, removal(&second_id)).await.unwrap();
    let other = world.ask(&second, removal(&first_id)).await.unwrap();
    let (mut here, mut there) = (world.operators_of(0), world.operators_of(1));
    let (one, other) = tokio::join!(here.remove_operator(one), there.remove_operator(other));
    let (stays, id, gone) = match (&one, &other) {
        (Ok(_), Err(refused)) => {
            assert_eq!(reason(refused), "LAST_OPERATOR");
            (first, first_id, second)
        }
        (Err(refused), Ok(_)) => {
            assert_eq!(reason(refused), "LAST_OPERATOR");
            (second, second_id, first)
        }
        both => panic!("{both:?}"),
    };
    for replica in [0, 1] {
        let gone = gone.clone().of_replica(replica);
        until(async || {
            let held = world.assertion(&gone).await.unwrap().permissions;
            held.intersection(Permissions::PLATFORM).is_empty()
        })
        .await;
    }
    let without: Vec<_> = manage.iter().copied().filter(|p| *p != manager).collect();
    let refused = update(&world, &stays, &id, &without).await.unwrap_err();
    assert_eq!(reason(&refused), "LAST_OPERATOR");
    let ask = world.ask(&stays, removal(&id)).await.unwrap();
    let refused = world.operators().remove_operator(ask).await.unwrap_err();
    assert_eq!(reason(&refused), "LAST_OPERATOR");
    assert_eq!(
        update(&world, &stays, &id, &manage)
            .await
            .unwrap()
            .permissions,
        all
    );
}

#[tokio::test]
async fn nobody_changes_an_operator_beyond_their_own_permissions() {
    let world = World::start().await;
    let first = Who::bearer(&world.operator);
    let (id, limited) = operator(
        &world,
        "limited@example.com",
        &["platform.operators.manage"],
    )
    .await;
    let (strong, _) = operator(&world, "strong@example.com", &["platform.content.access"]).await;
    for permissions in [
        ["platform.content.access", "platform.operators.manage"],
        ["platform.tenants.manage"; 2],
    ] {
        let refused = update(&world, &limited, &id, &permissions)
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN", "{permissions:?}");
    }
    let ask = world.ask(&limited, removal(&strong)).await.unwrap();
    let refused = world.operators().remove_operator(ask).await.unwrap_err();
    assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
    for permissions in [&[][..], &["members.read"], &["fly"]] {
        let refused = update(&world, &first, &strong, permissions)
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT", "{permissions:?}");
    }
    let absent = tenantry_core::UserId::new().to_string();
    let refused = update(&world, &first, &absent, &["platform.tenants.manage"]).await;
    assert_eq!(reason(&refused.unwrap_err()), "OPERATOR_NOT_FOUND");
    let get = wire::GetOperatorRequest { operator: strong };
    let ask = world.ask(&first, get).await.unwrap();
    let found = world
        .operators()
        .get_operator(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.permissions, ["platform.content.access"]);
}

#[tokio::test]
async fn a_platform_key_is_listed_rotated_and_revoked_by_who_manages_operators() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let first = Who::bearer(&world.operator);
    let (_, limited) = operator(
        &world,
        "limited@example.com",
        &["platform.operators.manage"],
    )
    .await;
    let key = wire::CreatePlatformApiKeyRequest {
        name: "deploy".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&first, key).await.unwrap();
    let made = world
        .operators()
        .create_platform_api_key(ask)
        .await
        .unwrap()
        .into_inner();
    let list = wire::ListPlatformApiKeysRequest::default();
    let ask = world.ask(&limited, list).await.unwrap();
    let listed = world
        .operators()
        .list_platform_api_keys(ask)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.api_keys, [made.api_key.clone().unwrap()]);
    let id = listed.api_keys[0].id.clone();

    let rotate = wire::RotatePlatformApiKeyRequest {
        api_key: id.clone(),
        overlap: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let ask = world.ask(&limited, rotate.clone()).await.unwrap();
    let refused = world
        .operators()
        .rotate_platform_api_key(ask)
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
    let ask = world.ask(&first, rotate).await.unwrap();
    let rotated = world
        .operators()
        .rotate_platform_api_key(ask)
        .await
        .unwrap()
        .into_inner();
    let (old, new) = (
        Who::key(&made.secret),
        Who::key(&rotated.secret).of_replica(1),
    );
    until(async || world.reason(&old).await == "CREDENTIAL_EXPIRED").await;
    let reached = world.assertion(&new.clone().at(tenant)).await.unwrap();
    assert_eq!(reached.tenant, Some(tenant));
    let here = new.clone().at(tenant).of_replica(0);
    let me = world.ask(&here, wire::GetCallerRequest::default()).await;
    let me = world.auth().get_caller(me.unwrap()).await.unwrap();
    assert_eq!(me.into_inner().name, "deploy");

    let revoke = wire::RevokePlatformApiKeyRequest {
        api_key: id,
        ..Default::default()
    };
    let ask = world.ask(&limited, revoke).await.unwrap();
    world
        .operators()
        .revoke_platform_api_key(ask)
        .await
        .unwrap();
    until(async || world.reason(&new).await == "CREDENTIAL_REVOKED").await;
}
