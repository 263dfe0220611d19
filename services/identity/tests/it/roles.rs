//! Roles that a tenant defines, and who gives and takes them.

use tenantry_core::{Permission, TenantId};
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::{PASSWORD, World, until};

const SUPPORT: &[&str] = &["tenants.read", "members.read", "members.manage"];

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn new(key: &str, permissions: &[&str], inherited: &[&str]) -> wire::CreateRoleRequest {
    wire::CreateRoleRequest {
        key: key.to_owned(),
        permissions: texts(permissions),
        inherited_permissions: texts(inherited),
        ..Default::default()
    }
}

async fn create(
    world: &World,
    who: &Who,
    request: wire::CreateRoleRequest,
) -> Result<wire::Role, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.roles().create_role(ask).await?.into_inner())
}

async fn update(
    world: &World,
    who: &Who,
    request: wire::UpdateRoleRequest,
) -> Result<wire::Role, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.roles().update_role(ask).await?.into_inner())
}

fn to(role: &str, permissions: &[&str]) -> wire::UpdateRoleRequest {
    wire::UpdateRoleRequest {
        role: role.to_owned(),
        permissions: texts(permissions),
        ..Default::default()
    }
}

async fn delete(world: &World, who: &Who, role: &str) -> Result<(), Status> {
    let request = wire::DeleteRoleRequest {
        role: role.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    world.roles().delete_role(ask).await.map(drop)
}

async fn list(world: &World, who: &Who, size: i32) -> Vec<String> {
    let mut keys = Vec::new();
    let mut token = String::new();
    loop {
        let request = wire::ListRolesRequest {
            page_size: size,
            page_token: token,
            ..Default::default()
        };
        let ask = world.ask(who, request).await.unwrap();
        let page = world.roles().list_roles(ask).await.unwrap().into_inner();
        keys.extend(page.roles.into_iter().map(|role| role.key));
        token = page.next_page_token;
        if token.is_empty() {
            return keys;
        }
    }
}

async fn give(world: &World, who: &Who, user: &str, role: &str) -> Result<wire::Member, Status> {
    let request = wire::AddMemberRoleRequest {
        user: user.to_owned(),
        role: role.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world
        .member_roles()
        .add_member_role(ask)
        .await?
        .into_inner())
}

async fn take(world: &World, who: &Who, user: &str, role: &str) -> Result<wire::Member, Status> {
    let request = wire::RemoveMemberRoleRequest {
        user: user.to_owned(),
        role: role.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    let answer = world.member_roles().remove_member_role(ask).await?;
    Ok(answer.into_inner())
}

async fn holds(world: &World, who: &Who, tenant: TenantId, permission: Permission) -> bool {
    let assertion = world.assertion(&who.clone().at(tenant)).await;
    assertion.is_ok_and(|a| a.tenant == Some(tenant) && a.permissions.contains(permission))
}

#[tokio::test]
async fn a_tenant_has_the_built_in_roles_and_its_own_in_pages() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let other = world.tenant("other", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let theirs = world.member(other, "theirs@example.com", "owner").await;
    for key in ["support", "billing"] {
        create(&world, &owner, new(key, SUPPORT, &[]))
            .await
            .unwrap();
    }
    create(&world, &theirs, new("support", &["tenants.read"], &[]))
        .await
        .unwrap();
    let expected = ["owner", "admin", "member", "viewer", "billing", "support"];
    for size in [1, 4, 5, 50] {
        assert_eq!(
            list(&world, &owner, size).await,
            expected,
            "pages of {size}"
        );
    }
    let again = create(&world, &owner, new("support", SUPPORT, &[])).await;
    assert_eq!(reason(&again.unwrap_err()), "ROLE_EXISTS");
    let built_in = create(&world, &owner, new("owner", SUPPORT, &[])).await;
    assert_eq!(reason(&built_in.unwrap_err()), "ROLE_EXISTS");
    for refused in [
        update(&world, &owner, to("admin", SUPPORT)).await.map(drop),
        delete(&world, &owner, "admin").await,
    ] {
        assert_eq!(reason(&refused.unwrap_err()), "INVALID_ARGUMENT");
    }
    for refused in [
        update(&world, &owner, to("absent", SUPPORT))
            .await
            .map(drop),
        delete(&world, &owner, "absent").await,
        give(&world, &owner, &world.id_of(&owner).await, "absent")
            .await
            .map(drop),
    ] {
        assert_eq!(reason(&refused.unwrap_err()), "ROLE_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_tenant_defines_a_hundred_roles_and_no_more_also_when_all_come_at_once() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let all = (0..104).map(|n| {
        let request = new(&format!("role-{n}"), &["tenants.read"], &[]);
        create(&world, &owner, request)
    });
    let made = futures::future::join_all(all).await;
    let refused: Vec<_> = made.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 4);
    for refused in refused {
        assert_eq!(reason(&refused), "LIMIT_REACHED");
    }
}

#[tokio::test]
async fn a_role_gives_what_it_says_here_and_below_and_a_change_is_felt_on_another_replica_within_a_second()
 {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let below = world.tenant("below", Some(top)).await;
    let owner = world.member(top, "owner@example.com", "owner").await;
    let request = new("support", SUPPORT, &["members.read"]);
    let role = create(&world, &owner, request).await.unwrap();
    assert_eq!(role.inherited_permissions, ["members.read"]);
    let sam = world
        .member(top, "sam@example.com", "support")
        .await
        .of_replica(1);
    assert!(holds(&world, &sam, top, Permission::MembersManage).await);
    assert!(!holds(&world, &sam, top, Permission::ApiKeysRead).await);
    assert!(holds(&world, &sam, below, Permission::MembersRead).await);
    assert!(!holds(&world, &sam, below, Permission::MembersManage).await);

    let change = wire::UpdateRoleRequest {
        etag: role.etag.clone(),
        ..to("support", &["tenants.read"])
    };
    let changed = update(&world, &owner, change.clone()).await.unwrap();
    assert_eq!(
        (changed.permissions, changed.inherited_permissions.len()),
        (texts(&["tenants.read"]), 1)
    );
    until(async || !holds(&world, &sam, top, Permission::MembersManage).await).await;
    let stale = update(&world, &owner, change).await.unwrap_err();
    assert_eq!(reason(&stale), "ETAG_MISMATCH");
    let clear = wire::UpdateRoleRequest {
        role: "support".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: texts(&["inherited_permissions"]),
        }),
        ..Default::default()
    };
    update(&world, &owner, clear).await.unwrap();
    until(async || !holds(&world, &sam, below, Permission::MembersRead).await).await;

    // Given and taken.
    let id = world.id_of(&sam).await;
    let member = give(&world, &owner, &id, "admin").await.unwrap();
    assert_eq!(member.roles, ["admin", "support"]);
    until(async || holds(&world, &sam, below, Permission::TenantsManage).await).await;
    take(&world, &owner, &id, "admin").await.unwrap();
    until(async || !holds(&world, &sam, top, Permission::MembersManage).await).await;
}

#[tokio::test]
async fn a_role_that_is_held_stays_and_a_member_keeps_one() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    create(&world, &owner, new("support", SUPPORT, &[]))
        .await
        .unwrap();
    let sam = world.member(tenant, "sam@example.com", "support").await;
    let id = world.id_of(&sam).await;
    let held = delete(&world, &owner, "support").await.unwrap_err();
    assert_eq!(reason(&held), "ROLE_IN_USE");
    let last = take(&world, &owner, &id, "support").await.unwrap_err();
    assert_eq!(reason(&last), "LAST_ROLE");
    give(&world, &owner, &id, "viewer").await.unwrap();
    take(&world, &owner, &id, "support").await.unwrap();
    let gone = take(&world, &owner, &id, "support").await.unwrap_err();
    assert_eq!(reason(&gone), "ROLE_NOT_FOUND");
    delete(&world, &owner, "support").await.unwrap();
    let none = give(&world, &owner, &id, "support").await.unwrap_err();
    assert_eq!(reason(&none), "ROLE_NOT_FOUND");
}

#[tokio::test]
async fn of_a_role_given_and_deleted_at_once_one_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let sam = world.member(tenant, "sam@example.com", "viewer").await;
    let id = world.id_of(&sam).await;
    for round in 0..8 {
        let key = format!("role-{round}");
        create(&world, &owner, new(&key, &["tenants.read"], &[]))
            .await
            .unwrap();
        let (given, deleted) = tokio::join!(
            give(&world, &owner, &id, &key),
            delete(&world, &owner, &key)
        );
        match (given, deleted) {
            (Ok(_), Err(refused)) => assert_eq!(reason(&refused), "ROLE_IN_USE"),
            (Err(refused), Ok(())) => assert_eq!(reason(&refused), "ROLE_NOT_FOUND"),
            (given, deleted) => panic!("{given:?} {deleted:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_defines_raises_lowers_gives_or_takes_more_than_they_hold() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let owner = world.member(top, "owner@example.com", "owner").await;
    let exceeds = |refused: Status| assert_eq!(reason(&refused), "GRANT_EXCEEDS_OWN");
    let roles_of = [
        "tenants.read",
        "members.read",
        "members.manage",
        "roles.read",
        "roles.manage",
    ];
    create(&world, &owner, new("people", &roles_of, &[]))
        .await
        .unwrap();
    create(&world, &owner, new("keys", &["api_keys.read"], &[]))
        .await
        .unwrap();
    create(
        &world,
        &owner,
        new("down", &["tenants.read"], &["tenants.manage"]),
    )
    .await
    .unwrap();
    let sam = world.member(top, "sam@example.com", "people").await;
    let id = world.id_of(&sam).await;
    // A new role, one's own role, another's role: more, or further down.
    exceeds(
        create(&world, &sam, new("more", &["api_keys.read"], &[]))
            .await
            .unwrap_err(),
    );
    exceeds(
        create(
            &world,
            &sam,
            new("more", &["tenants.read"], &["tenants.read"]),
        )
        .await
        .unwrap_err(),
    );
    let mut raised = roles_of.to_vec();
    raised.push("api_keys.manage");
    exceeds(
        update(&world, &sam, to("people", &raised))
            .await
            .unwrap_err(),
    );
    exceeds(
        update(&world, &sam, to("keys", &["tenants.read"]))
            .await
            .unwrap_err(),
    );
    exceeds(delete(&world, &sam, "keys").await.unwrap_err());
    for role in ["admin", "owner", "keys", "down"] {
        exceeds(give(&world, &sam, &id, role).await.unwrap_err());
    }
    exceeds(
        take(&world, &sam, &world.id_of(&owner).await, "owner")
            .await
            .unwrap_err(),
    );
    // What one holds, one gives; and what stands beyond any tenant's own is no role's.
    create(&world, &sam, new("less", &["members.read"], &[]))
        .await
        .unwrap();
    give(&world, &sam, &id, "less").await.unwrap();
    for beyond in ["tenants.manage", "platform.content.access"] {
        let refused = create(&world, &owner, new("beyond", &[beyond], &[]))
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT");
    }
    // A key acts in one tenant, so it gives no role that reaches below.
    let request = wire::CreateApiKeyRequest {
        name: "ci".to_owned(),
        permissions: Permission::ALL
            .iter()
            .filter(|p| tenantry_core::role::Role::Owner.permissions().contains(**p))
            .map(|p| p.name().to_owned())
            .collect(),
        ..Default::default()
    };
    let ask = world.ask(&owner, request).await.unwrap();
    let key = world
        .api_keys()
        .create_api_key(ask)
        .await
        .unwrap()
        .into_inner();
    let key = Who::key(&key.secret);
    for role in ["admin", "owner", "down"] {
        exceeds(give(&world, &key, &id, role).await.unwrap_err());
    }
    let new = wire::CreateMemberRequest {
        email: "new@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        roles: texts(&["admin"]),
        ..Default::default()
    };
    let ask = world.ask(&key, new).await.unwrap();
    exceeds(world.members().create_member(ask).await.unwrap_err());
    give(&world, &key, &id, "keys").await.unwrap();
}

#[tokio::test]
async fn of_the_last_two_owners_who_lose_the_role_at_once_one_keeps_it() {
    let world = World::start().await;
    for round in 0..5 {
        let tenant = world.tenant(&format!("acme-{round}"), None).await;
        let operator = Who::bearer(&world.operator).at(tenant);
        let mut ids = Vec::new();
        for name in ["one", "other"] {
            let email = format!("{name}-{round}@example.com");
            let who = world.member(tenant, &email, "owner").await;
            let id = world.id_of(&who).await;
            give(&world, &operator, &id, "member").await.unwrap();
            ids.push(id);
        }
        let leave = async |replica: usize, id: &str| {
            let request = wire::RemoveMemberRoleRequest {
                user: id.to_owned(),
                role: "owner".to_owned(),
                ..Default::default()
            };
            let ask = world.ask(&operator, request).await?;
            world.member_roles_of(replica).remove_member_role(ask).await
        };
        let (first, second) = tokio::join!(leave(0, &ids[0]), leave(1, &ids[1]));
        let refused: Vec<_> = [first, second]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(reason(&refused[0]), "LAST_OWNER");
    }
}
