//! Questions about permissions, of the fleet's own services and of callers of the gateway.

use tenantry_core::{Permission, TenantId, UserId};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::identity::v1 as internal;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::service_accounts;
use crate::world::{World, until};

pub(crate) fn question(
    whom: (&str, &str),
    tenant: TenantId,
    permission: Permission,
) -> internal::PermissionQuestion {
    internal::PermissionQuestion {
        principal_kind: whom.0.to_owned(),
        principal_id: whom.1.to_owned(),
        tenant_id: tenant.to_string(),
        permission: permission.name().to_owned(),
    }
}

pub(crate) async fn ask_internal(
    world: &World,
    caller: &str,
    questions: Vec<internal::PermissionQuestion>,
) -> Result<Vec<bool>, Status> {
    let request = internal::CheckPermissionsRequest { questions };
    let ask = world.ask_as_service(caller, request);
    let answer = world.internal_permissions().check_permissions(ask).await?;
    Ok(answer.into_inner().allowed)
}

async fn ask_public(
    world: &World,
    who: &Who,
    questions: &[(&str, &str, &str)],
) -> Result<Vec<bool>, Status> {
    let request = wire::CheckPermissionsRequest {
        questions: questions
            .iter()
            .map(|(kind, id, permission)| wire::PermissionQuestion {
                principal_kind: (*kind).to_owned(),
                principal_id: (*id).to_owned(),
                permission: (*permission).to_owned(),
            })
            .collect(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    let answer = world.permissions().check_permissions(ask).await?;
    let answers = answer.into_inner().answers;
    Ok(answers.into_iter().map(|answer| answer.allowed).collect())
}

#[tokio::test]
async fn a_question_is_answered_as_the_gateway_decides() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let below = world.tenant("below", Some(top)).await;
    let stopped = world.tenant("stopped", Some(top)).await;
    let other = world.tenant("other", None).await;
    let mut principals = vec![("user", Who::bearer(&world.operator))];
    for (tenant, role) in [
        (top, "owner"),
        (top, "viewer"),
        (below, "admin"),
        (stopped, "owner"),
    ] {
        let email = format!("{role}-{tenant}@example.com");
        principals.push(("user", world.member(tenant, &email, role).await));
    }
    let key = world.key(&Who::bearer(&world.operator).at(top)).await;
    principals.push(("api_key", Who::key(&key)));
    let mut ids = Vec::new();
    for (_, who) in &principals {
        ids.push(world.id_of(who).await);
    }
    world.registry.set_status(stopped, "suspended");
    let owner = principals[4].1.clone();
    until(async || world.reason(&owner).await == "TENANT_SUSPENDED").await;

    for ((kind, who), id) in principals.into_iter().zip(ids) {
        for tenant in [top, below, stopped, other, TenantId::new()] {
            let questions = Permission::ALL
                .iter()
                .map(|permission| question((kind, &id), tenant, *permission))
                .collect();
            let allowed = ask_internal(&world, "registry", questions).await.unwrap();
            let decided = world.assertion(&who.clone().at(tenant)).await;
            let decided = decided.ok().filter(|a| a.tenant == Some(tenant));
            for (permission, allowed) in Permission::ALL.iter().zip(allowed) {
                let expected = decided
                    .as_ref()
                    .is_some_and(|a| a.permissions.contains(*permission));
                assert_eq!(allowed, expected, "{kind} {permission} in {tenant}");
            }
        }
    }
}

#[tokio::test]
async fn a_question_that_can_t_be_one_is_refused_and_its_place_named() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let id = UserId::new().to_string();
    let good = question(("user", &id), tenant, Permission::TenantsRead);
    let allowed = ask_internal(&world, "registry", vec![good.clone()]).await;
    assert_eq!(allowed.unwrap(), [false], "there is no such user");
    let wrong = [
        question(("robot", &id), tenant, Permission::TenantsRead),
        question(("user", "7"), tenant, Permission::TenantsRead),
        internal::PermissionQuestion {
            tenant_id: "acme".to_owned(),
            ..good.clone()
        },
        internal::PermissionQuestion {
            permission: "fly".to_owned(),
            ..good.clone()
        },
    ];
    for wrong in wrong {
        let refused = ask_internal(&world, "registry", vec![good.clone(), wrong])
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT");
        assert!(refused.message().contains("questions[1]."), "{refused}");
    }
    for count in [0, 101] {
        let refused = ask_internal(&world, "registry", vec![good.clone(); count])
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT");
    }
    let refused = ask_internal(&world, "identity", vec![good]).await;
    assert_eq!(reason(&refused.unwrap_err()), "INTERNAL_METHOD");
}

#[tokio::test]
async fn anyone_asks_about_themselves_and_about_others_who_may_see_the_members() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let other = world.tenant("other", None).await;
    let viewer = world.member(tenant, "viewer@example.com", "viewer").await;
    let member = world.member(tenant, "member@example.com", "member").await;
    let stranger = world.member(other, "stranger@example.com", "owner").await;
    let id = world.id_of(&viewer).await;

    let about_self = [
        ("", "", "tenants.read"),
        ("", "", "members.read"),
        ("user", &id, "tenants.read"),
    ];
    let answers = ask_public(&world, &viewer, &about_self).await.unwrap();
    assert_eq!(answers, [true, false, true]);
    let about_member = [("user", &*world.id_of(&member).await, "members.read")];
    let refused = ask_public(&world, &viewer, &about_member).await;
    assert_eq!(reason(&refused.unwrap_err()), "PERMISSION_DENIED");

    let strangers = world.id_of(&stranger).await;
    let about_others = [
        ("user", &*id, "tenants.read"),
        ("user", &strangers, "tenants.read"),
    ];
    let answers = ask_public(&world, &member, &about_others).await.unwrap();
    assert_eq!(answers, [true, false], "of elsewhere, like nobody");
    let elsewhere = ask_public(&world, &member.at(other), &[("", "", "tenants.read")]).await;
    assert_eq!(reason(&elsewhere.unwrap_err()), "TENANT_NOT_FOUND");
}

#[tokio::test]
async fn a_service_account_may_what_it_holds_and_its_key_what_both_do() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let other = world.tenant("other", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let held = ["tenants.read", "members.read"];
    let account = service_accounts::create(&world, &owner, "ci", &held)
        .await
        .unwrap();
    let key = service_accounts::key(&world, &owner, &account.id, &held[..1])
        .await
        .unwrap();
    let program = Who::key(&key.secret);
    let about = [
        ("", "", "tenants.read"),
        ("", "", "members.read"),
        ("service_account", &*account.id, "members.read"),
        ("service_account", &*account.id, "members.manage"),
    ];
    let answers = ask_public(&world, &program, &about[..2]).await.unwrap();
    assert_eq!(answers, [true, false], "what the key permits");
    let answers = ask_public(&world, &owner, &about[2..]).await.unwrap();
    assert_eq!(answers, [true, false], "what the account holds");

    let whom = ("service_account", &*account.id);
    let asked = [tenant, other].map(|at| question(whom, at, Permission::TenantsRead));
    let asks = async || ask_internal(&world, "registry", asked.to_vec()).await;
    assert_eq!(asks().await.unwrap(), [true, false]);
    let disable = wire::UpdateServiceAccountRequest {
        service_account: account.id.clone(),
        disabled: Some(true),
        ..Default::default()
    };
    service_accounts::update(&world, &owner, disable)
        .await
        .unwrap();
    until(async || asks().await.unwrap() == [false, false]).await;
}
