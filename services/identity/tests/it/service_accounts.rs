//! Service accounts: programs as principals of their own.

use tenantry_core::{Permission, PrincipalKind, TenantId};
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::invitations;
use crate::world::{World, until};

fn names(permissions: &[&str]) -> Vec<String> {
    permissions.iter().map(|p| (*p).to_owned()).collect()
}

pub(crate) async fn create(
    world: &World,
    who: &Who,
    name: &str,
    permissions: &[&str],
) -> Result<wire::ServiceAccount, Status> {
    let request = wire::CreateServiceAccountRequest {
        name: name.to_owned(),
        permissions: names(permissions),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    let made = world.service_accounts().create_service_account(ask).await?;
    Ok(made.into_inner())
}

pub(crate) async fn key(
    world: &World,
    who: &Who,
    account: &str,
    permissions: &[&str],
) -> Result<wire::CreateApiKeyResponse, Status> {
    let request = wire::CreateApiKeyRequest {
        name: "ci".to_owned(),
        permissions: names(permissions),
        service_account: account.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.api_keys().create_api_key(ask).await?.into_inner())
}

pub(crate) async fn update(
    world: &World,
    who: &Who,
    request: wire::UpdateServiceAccountRequest,
) -> Result<wire::ServiceAccount, Status> {
    let ask = world.ask(who, request).await?;
    let updated = world.service_accounts().update_service_account(ask).await?;
    Ok(updated.into_inner())
}

pub(crate) async fn delete(world: &World, who: &Who, account: &str) -> Result<(), Status> {
    let request = wire::DeleteServiceAccountRequest {
        service_account: account.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    world.service_accounts().delete_service_account(ask).await?;
    Ok(())
}

async fn start() -> (World, TenantId, Who) {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    (world, tenant, owner)
}

#[tokio::test]
async fn keys_act_as_their_account_and_stop_with_it_on_every_replica_within_a_second() {
    let (world, tenant, owner) = start().await;
    let account = create(&world, &owner, "ci", &["members.read", "tenants.read"])
        .await
        .unwrap();
    let one = key(&world, &owner, &account.id, &["members.read"])
        .await
        .unwrap();
    let all = key(&world, &owner, &account.id, &[]).await.unwrap();
    assert_eq!(
        all.api_key.clone().unwrap().permissions,
        account.permissions
    );
    assert_eq!(all.api_key.clone().unwrap().service_account_id, account.id);
    let (one, all) = (Who::key(&one.secret), Who::key(&all.secret).of_replica(1));
    for who in [&one, &all] {
        let assertion = world.assertion(who).await.unwrap();
        assert_eq!(assertion.tenant, Some(tenant));
        assert_eq!(assertion.kind, PrincipalKind::ServiceAccount);
        assert_eq!(assertion.subject.to_string(), account.id);
    }
    let me = world
        .ask(&one, wire::GetCallerRequest::default())
        .await
        .unwrap();
    let me = world.auth().get_caller(me).await.unwrap().into_inner();
    assert_eq!(
        (me.kind.as_str(), me.name.as_str()),
        ("service_account", "ci")
    );

    // What the account loses, its keys lose.
    let narrow = wire::UpdateServiceAccountRequest {
        service_account: account.id.clone(),
        permissions: names(&["tenants.read"]),
        ..Default::default()
    };
    update(&world, &owner, narrow).await.unwrap();
    for who in [&one, &all] {
        until(async || {
            let held = world.assertion(who).await.unwrap().permissions;
            !held.contains(Permission::MembersRead)
        })
        .await;
    }
    let switch = |disabled| wire::UpdateServiceAccountRequest {
        service_account: account.id.clone(),
        disabled: Some(disabled),
        ..Default::default()
    };
    assert!(update(&world, &owner, switch(true)).await.unwrap().disabled);
    for who in [&one, &all] {
        until(async || world.reason(who).await == "CREDENTIAL_REVOKED").await;
    }
    let refused = key(&world, &owner, &account.id, &[]).await.unwrap_err();
    assert_eq!(reason(&refused), "SERVICE_ACCOUNT_NOT_FOUND");
    update(&world, &owner, switch(false)).await.unwrap();
    for who in [&one, &all] {
        until(async || world.reason(who).await.is_empty()).await;
    }
    delete(&world, &owner, &account.id).await.unwrap();
    for who in [&one, &all] {
        until(async || world.reason(who).await == "CREDENTIAL_REVOKED").await;
    }
    let ask = world.ask(&owner, wire::ListApiKeysRequest::default()).await;
    let keys = world.api_keys().list_api_keys(ask.unwrap()).await.unwrap();
    assert!(
        keys.into_inner()
            .api_keys
            .iter()
            .all(|key| key.revoked_at.is_some())
    );
}

#[tokio::test]
async fn an_account_gets_no_more_than_its_maker_holds_and_a_key_no_more_than_its_account() {
    let (world, tenant, owner) = start().await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    let refused = create(&world, &admin, "ci", &["owners.manage"])
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
    let strong = create(&world, &owner, "strong", &["owners.manage", "members.read"])
        .await
        .unwrap();
    let by_admin = key(&world, &admin, &strong.id, &[]).await.unwrap();
    assert_eq!(by_admin.api_key.unwrap().permissions, ["members.read"]);
    for (who, asked, why) in [
        (&admin, "owners.manage", "GRANT_EXCEEDS_OWN"),
        (&owner, "tenants.read", "INVALID_ARGUMENT"),
    ] {
        let refused = key(&world, who, &strong.id, &[asked]).await.unwrap_err();
        assert_eq!(reason(&refused), why, "{asked}");
    }
    let nothing = wire::UpdateServiceAccountRequest {
        service_account: strong.id.clone(),
        ..Default::default()
    };
    let refused = update(&world, &owner, nothing).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_UPDATE");
    let refused = create(&world, &owner, "strong", &[]).await.unwrap_err();
    assert_eq!(reason(&refused), "SERVICE_ACCOUNT_EXISTS");
}

#[tokio::test]
async fn a_foreign_account_is_answered_like_an_absent_one() {
    let (world, _, owner) = start().await;
    let elsewhere = world.tenant("beta", None).await;
    let other = world.member(elsewhere, "other@example.com", "owner").await;
    let theirs = create(&world, &other, "ci", &[]).await.unwrap().id;
    let absent = tenantry_core::ServiceAccountId::new().to_string();
    let mut answers = Vec::new();
    for id in [&theirs, &absent] {
        answers.push(key(&world, &owner, id, &[]).await.unwrap_err());
        answers.push(delete(&world, &owner, id).await.unwrap_err());
    }
    for answer in &answers {
        assert_eq!(reason(answer), "SERVICE_ACCOUNT_NOT_FOUND");
        assert_eq!(answer.message(), answers[0].message());
        assert_eq!(answer.details(), answers[0].details());
    }
}

#[tokio::test]
async fn a_tenant_has_a_hundred_accounts_and_no_more_however_many_are_made_at_once() {
    let (world, _, owner) = start().await;
    let names: Vec<String> = (0..108).map(|n| format!("program {n}")).collect();
    let mut made = Vec::new();
    for some in names.chunks(12) {
        let some = some.iter().map(|name| create(&world, &owner, name, &[]));
        made.extend(futures::future::join_all(some).await);
    }
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 100);
    for refused in made.iter().filter_map(|made| made.as_ref().err()) {
        assert_eq!(reason(refused), "LIMIT_REACHED");
    }
    let request = wire::ListServiceAccountsRequest {
        page_size: 60,
        ..Default::default()
    };
    let ask = world.ask(&owner, request.clone()).await.unwrap();
    let page = world.service_accounts().list_service_accounts(ask).await;
    let page = page.unwrap().into_inner();
    let next = wire::ListServiceAccountsRequest {
        page_token: page.next_page_token,
        ..request
    };
    let ask = world.ask(&owner, next).await.unwrap();
    let rest = world.service_accounts().list_service_accounts(ask).await;
    let rest = rest.unwrap().into_inner();
    assert_eq!(
        (page.service_accounts.len(), rest.service_accounts.len()),
        (60, 40)
    );
    assert_eq!(rest.next_page_token, "");
}

#[tokio::test]
async fn whoever_may_invite_does_so_as_a_program_too() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let held = ["tenants.read", "members.read", "members.manage"];
    let account = create(&world, &owner, "onboarding", &held).await.unwrap();
    let key = key(&world, &owner, &account.id, &[]).await;
    let program = Who::key(&key.unwrap().secret);
    let token = invitations::token(&world, &program, "ann@example.com", &["viewer"]).await;
    let member = invitations::accept(&world, &token).await.unwrap();
    assert_eq!(member.roles, ["viewer"]);
}
