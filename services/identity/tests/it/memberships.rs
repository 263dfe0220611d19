//! How a tenant knows its members, and where else they belong.

use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::World;

async fn update(
    world: &World,
    who: &Who,
    request: wire::UpdateMemberRequest,
) -> Result<wire::Member, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.members().update_member(ask).await?.into_inner())
}

async fn get(world: &World, who: &Who, user: &str) -> Result<wire::Member, Status> {
    let request = wire::GetMemberRequest {
        user: user.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.members().get_member(ask).await?.into_inner())
}

async fn memberships(
    world: &World,
    who: &Who,
    user: &str,
    size: i32,
    token: &str,
) -> Result<wire::ListUserMembershipsResponse, Status> {
    let request = wire::ListUserMembershipsRequest {
        user: user.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    let ask = world.ask(who, request).await?;
    Ok(world
        .members()
        .list_user_memberships(ask)
        .await?
        .into_inner())
}

async fn id_of(world: &World, tenant: TenantId, email: &str) -> String {
    let operator = Who::bearer(&world.operator).at(tenant);
    let ask = world
        .ask(&operator, wire::ListMembersRequest::default())
        .await
        .unwrap();
    let page = world
        .members()
        .list_members(ask)
        .await
        .unwrap()
        .into_inner();
    page.users
        .into_iter()
        .find(|user| user.email == email)
        .unwrap()
        .id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_username_is_one_members_in_a_tenant_and_goes_when_it_is_cleared() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let ann = world.member(acme, "ann@example.com", "member").await;
    let (owner_id, ann_id) = (
        id_of(&world, acme, "owner@example.com").await,
        id_of(&world, acme, "ann@example.com").await,
    );
    let named = |user: &str, name: &str| wire::UpdateMemberRequest {
        user: user.to_owned(),
        username: Some(name.to_owned()),
        ..Default::default()
    };
    let member = update(&world, &owner, named(&ann_id, "Ann.B"))
        .await
        .unwrap();
    assert_eq!(
        (member.username.as_str(), member.name.as_str()),
        ("ann.b", "ann")
    );
    let taken = update(&world, &owner, named(&owner_id, "ann.b"))
        .await
        .unwrap_err();
    assert_eq!(reason(&taken), "USERNAME_TAKEN");
    let not_hers = update(&world, &ann, named(&ann_id, "ann"))
        .await
        .unwrap_err();
    assert_eq!(reason(&not_hers), "PERMISSION_DENIED");
    let renamed = wire::UpdateMemberRequest {
        user: ann_id.clone(),
        name: Some("Ann B".to_owned()),
        ..Default::default()
    };
    update(&world, &owner, renamed).await.unwrap();
    let member = get(&world, &ann, &ann_id).await.unwrap();
    assert_eq!(
        (member.username.as_str(), member.name.as_str()),
        ("ann.b", "Ann B")
    );
    update(&world, &owner, named(&ann_id, "")).await.unwrap();
    assert_eq!(get(&world, &ann, &ann_id).await.unwrap().username, "");
    update(&world, &owner, named(&owner_id, "ann.b"))
        .await
        .unwrap();
    let nothing = wire::UpdateMemberRequest {
        user: ann_id,
        ..Default::default()
    };
    let refused = update(&world, &owner, nothing).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_UPDATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_all_own_tenants_and_others_those_whose_members_they_may_see() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let child = world.tenant("child", Some(top)).await;
    let other = world.tenant("other", None).await;
    let ann = world.member(child, "ann@example.com", "member").await;
    world.member(other, "ann@example.com", "viewer").await;
    let manager = world.member(top, "manager@example.com", "admin").await;
    let stranger = world
        .member(world.tenant("far", None).await, "s@example.com", "owner")
        .await;
    let id = id_of(&world, child, "ann@example.com").await;
    let tenants = |page: &wire::ListUserMembershipsResponse| -> Vec<String> {
        page.memberships
            .iter()
            .map(|one| one.tenant_slug.clone())
            .collect()
    };
    for user in [id.as_str(), "me"] {
        let page = memberships(&world, &ann, user, 0, "").await.unwrap();
        assert_eq!(
            tenants(&page),
            ["child", "other"],
            "in the order of their ids"
        );
    }
    let first = memberships(&world, &ann, "me", 1, "").await.unwrap();
    let second = memberships(&world, &ann, "me", 1, &first.next_page_token)
        .await
        .unwrap();
    assert_eq!(
        (tenants(&first), tenants(&second)),
        (vec!["child".into()], vec!["other".into()])
    );
    assert_eq!(second.next_page_token, "");
    let seen = memberships(&world, &manager, &id, 0, "").await.unwrap();
    assert_eq!(tenants(&seen), ["child"], "by a role from above");
    let foreign = memberships(&world, &stranger, &id, 0, "")
        .await
        .unwrap_err();
    let absent = TenantId::new().to_string();
    let absent = memberships(&world, &stranger, &absent, 0, "")
        .await
        .unwrap_err();
    assert_eq!(reason(&foreign), "USER_NOT_FOUND");
    assert_eq!(
        (foreign.code(), foreign.message(), foreign.details()),
        (absent.code(), absent.message(), absent.details())
    );
    let by_operator = memberships(&world, &Who::bearer(&world.operator), &id, 0, "").await;
    assert_eq!(tenants(&by_operator.unwrap()), ["child", "other"]);
}
