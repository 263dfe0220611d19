//! Members of a tenant.

use std::sync::atomic::Ordering;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::{TenantId, UserId};
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::{OPERATOR, World, until};

fn create(email: &str, roles: &[&str]) -> wire::CreateMemberRequest {
    wire::CreateMemberRequest {
        email: email.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Default::default()
    }
}

async fn add(
    world: &World,
    who: &Who,
    request: wire::CreateMemberRequest,
) -> Result<wire::Member, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.members().create_member(ask).await?.into_inner())
}

async fn remove(world: &World, who: &Who, user: &str) -> Result<(), Status> {
    let request = wire::RemoveMemberRequest {
        user: user.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    world.members().remove_member(ask).await.map(drop)
}

async fn list(
    world: &World,
    who: &Who,
    size: i32,
    token: &str,
) -> Result<wire::ListMembersResponse, Status> {
    let request = wire::ListMembersRequest {
        page_size: size,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.members().list_members(ask).await?.into_inner())
}

#[tokio::test]
async fn pages_hold_every_member_once_and_their_tokens_are_one_tenants() {
    let world = World::start().await;
    let tenant = world.tenant_of("acme", None, &["example.com"]).await;
    let other = world.tenant("beta", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    for name in ["d", "b", "a", "c"] {
        add(&world, &owner, create(&format!("{name}@example.com"), &[]))
            .await
            .unwrap();
    }
    let mut emails = Vec::new();
    let mut token = String::new();
    loop {
        let page = list(&world, &owner, 2, &token).await.unwrap();
        emails.extend(page.users.into_iter().map(|user| user.email));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = ["a", "b", "c", "d", "owner"].map(|name| format!("{name}@example.com"));
    assert_eq!(emails, expected);
    let page = list(&world, &owner, 2, "").await.unwrap();
    let operator = Who::bearer(&world.operator).at(other);
    let foreign = list(&world, &operator, 2, &page.next_page_token)
        .await
        .unwrap_err();
    assert_eq!(reason(&foreign), "INVALID_PAGE_TOKEN");
}

#[tokio::test]
async fn a_foreign_tenant_and_user_are_answered_like_absent_ones() {
    let world = World::start().await;
    let own = world.tenant("acme", None).await;
    let foreign = world.tenant("beta", None).await;
    let owner = world.member(own, "owner@example.com", "owner").await;
    world.member(foreign, "theirs@example.com", "owner").await;
    let operator = Who::bearer(&world.operator).at(foreign);
    let theirs = list(&world, &operator, 0, "")
        .await
        .unwrap()
        .users
        .remove(0)
        .id;
    let same = |one: Status, other: Status| {
        assert_eq!(
            (one.code(), one.message(), one.details()),
            (other.code(), other.message(), other.details())
        );
        one
    };
    let absent = TenantId::new();
    for tenant in [foreign, absent].map(|id| owner.clone().at(id)) {
        let refused = list(&world, &tenant, 0, "").await.unwrap_err();
        assert_eq!(reason(&refused), "TENANT_NOT_FOUND");
    }
    same(
        list(&world, &owner.clone().at(foreign), 0, "")
            .await
            .unwrap_err(),
        list(&world, &owner.clone().at(absent), 0, "")
            .await
            .unwrap_err(),
    );
    let nobody = UserId::new().to_string();
    let refused = same(
        remove(&world, &owner, &theirs).await.unwrap_err(),
        remove(&world, &owner, &nobody).await.unwrap_err(),
    );
    assert_eq!(reason(&refused), "USER_NOT_FOUND");
    let by_id = async |user: &str| {
        let request = wire::AddMemberRequest {
            user: user.to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        world.members().add_member(ask).await.unwrap_err()
    };
    same(by_id(&theirs).await, by_id(&nobody).await);
    let malformed = remove(&world, &owner, "7").await.unwrap_err();
    assert_eq!(reason(&malformed), "INVALID_ARGUMENT");
    assert_eq!(list(&world, &operator, 0, "").await.unwrap().users.len(), 1);
}

#[tokio::test]
async fn users_of_tenants_above_and_below_can_be_added_by_id() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let below = world.tenant("below", Some(top)).await;
    let admin = world.member(top, "admin@example.com", "admin").await;
    let owner = world.member(below, "owner@example.com", "owner").await;
    let id = |page: wire::ListMembersResponse| page.users[0].id.clone();
    let of_top = id(list(&world, &admin, 0, "").await.unwrap());
    let of_below = id(list(&world, &owner, 0, "").await.unwrap());
    for (who, user) in [(&owner, of_top), (&admin, of_below)] {
        let request = wire::AddMemberRequest {
            user,
            roles: vec!["viewer".to_owned()],
            ..Default::default()
        };
        let ask = world.ask(who, request).await.unwrap();
        world.members().add_member(ask).await.unwrap();
    }
}

#[tokio::test]
async fn a_user_of_elsewhere_is_added_by_address_by_an_operator_only() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let below = world.tenant("below", Some(top)).await;
    let elsewhere = world.tenant("elsewhere", None).await;
    world.member(elsewhere, "ann@example.com", "member").await;
    let admin = world.member(top, "admin@example.com", "admin").await;
    let owner = world.member(below, "owner@example.com", "owner").await;
    let ask = create("ann@example.com", &["viewer"]);
    let refused = add(&world, &owner, ask.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "INVITATION_REQUIRED");
    let operators = add(&world, &owner, create(OPERATOR, &[]))
        .await
        .unwrap_err();
    assert_eq!(reason(&operators), "INVITATION_REQUIRED");
    let operator = Who::bearer(&world.operator).at(top);
    let added = add(&world, &operator, ask.clone()).await.unwrap();
    // By now she belongs to a tenant above.
    let related = add(&world, &owner, ask).await.unwrap();
    assert_eq!(related.id, added.id);
    let of_below = add(&world, &admin, create("owner@example.com", &[])).await;
    assert!(of_below.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_the_tenants_to_add_takes_no_turn_at_hashing() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let tries = (0..60).map(|n| {
        let strangers = wire::CreateMemberRequest {
            password: crate::world::PASSWORD.to_owned(),
            ..create(&format!("nobody{n}@example.org"), &[])
        };
        add(&world, &owner, strangers)
    });
    // Of so many at once those who hash would be told to wait.
    for refused in futures::future::join_all(tries).await {
        assert_eq!(reason(&refused.unwrap_err()), "INVITATION_REQUIRED");
    }
}

#[tokio::test]
async fn an_address_that_signs_in_elsewhere_is_refused_with_the_bytes_of_one_that_nobody_has() {
    let world = World::start().await;
    let acme = world.tenant_of("acme", None, &["acme.example"]).await;
    let elsewhere = world.tenant("elsewhere", None).await;
    world.member(elsewhere, "ann@example.com", "member").await;
    let owner = world.member(acme, "owner@example.com", "owner").await;
    let chosen = |email: &str| wire::CreateMemberRequest {
        password: crate::world::PASSWORD.to_owned(),
        ..create(email, &["viewer"])
    };
    let known = add(&world, &owner, chosen("ann@example.com")).await;
    let unknown = add(&world, &owner, chosen("nobody@example.com")).await;
    let (known, unknown) = (known.unwrap_err(), unknown.unwrap_err());
    assert_eq!(reason(&known), "INVITATION_REQUIRED");
    assert_eq!(
        (known.code(), known.message(), known.details()),
        (unknown.code(), unknown.message(), unknown.details())
    );
    let mut database = world.superuser().await;
    let made: i64 =
        sqlx::query_scalar("SELECT count(*) FROM identity.users WHERE email LIKE 'nobody@%'")
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert_eq!(made, 0);
    // Neither its own domain's parent nor what lies below it.
    for near in ["eve@example", "eve@sub.acme.example", "eve@xacme.example"] {
        let refused = add(&world, &owner, chosen(near)).await.unwrap_err();
        assert_eq!(reason(&refused), "INVITATION_REQUIRED", "{near}");
    }
    // Its own, unless someone has it already.
    add(&world, &owner, chosen("Staff@Acme.example"))
        .await
        .unwrap();
    world.member(elsewhere, "ben@acme.example", "member").await;
    let theirs = add(&world, &owner, chosen("ben@acme.example")).await;
    assert_eq!(reason(&theirs.unwrap_err()), "INVITATION_REQUIRED");
}

#[tokio::test]
async fn who_belongs_to_hundreds_of_tenants_is_found_below_and_costs_no_look_up_each() {
    let world = World::start().await;
    let top = world.tenant("top", None).await;
    let below = world.tenant("below", Some(top)).await;
    let stranger = world.tenant("stranger", None).await;
    world.member(below, "ann@example.com", "member").await;
    let admin = world.member(top, "admin@example.com", "admin").await;
    let owner = world.member(stranger, "owner@example.com", "owner").await;
    // Elsewhere too, in tenants that no replica has heard of.
    sqlx::query(
        "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles, created_at)
         SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, user_id, email, name, roles, created_at
         FROM identity.memberships, generate_series(1, 300) AS n WHERE email = 'ann@example.com'",
    )
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    let ask = create("ann@example.com", &["viewer"]);
    let before = world.registry.looked_up.load(Ordering::Relaxed);
    let refused = add(&world, &owner, ask.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "INVITATION_REQUIRED");
    let looked_up = world.registry.looked_up.load(Ordering::Relaxed) - before;
    assert!(looked_up < 5, "{looked_up}");
    add(&world, &admin, ask).await.unwrap();
}

#[tokio::test]
async fn of_two_who_add_one_new_address_at_once_the_second_learns_that_it_is_a_member() {
    let world = World::start().await;
    let tenant = world.tenant_of("acme", None, &["example.com"]).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let new = || add(&world, &owner, create("new@example.com", &[]));
    let answers = futures::future::join_all((0..8).map(|_| new())).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(reason(&refused), "MEMBER_EXISTS");
    }
}

#[tokio::test]
async fn of_the_last_two_owners_removed_at_once_one_stays() {
    let world = World::start().await;
    for round in 0..5 {
        let tenant = world.tenant(&format!("acme-{round}"), None).await;
        let operator = Who::bearer(&world.operator).at(tenant);
        let one = add(&world, &operator, create("one@example.com", &["owner"]))
            .await
            .unwrap();
        let other = add(&world, &operator, create("other@example.com", &["owner"]))
            .await
            .unwrap();
        add(&world, &operator, create("member@example.com", &[]))
            .await
            .unwrap();
        let (first, second) = tokio::join!(
            remove(&world, &operator, &one.id),
            remove(&world, &operator, &other.id)
        );
        let refused = [first, second]
            .into_iter()
            .filter_map(Result::err)
            .collect::<Vec<_>>();
        assert_eq!(refused.len(), 1);
        assert_eq!(reason(&refused[0]), "LAST_OWNER");
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_hold() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    world.member(tenant, "owner@example.com", "owner").await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    let viewer = world.member(tenant, "viewer@example.com", "viewer").await;
    let up = add(&world, &admin, create("new@example.com", &["owner"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&up), "GRANT_EXCEEDS_OWN");
    let members = list(&world, &admin, 0, "").await.unwrap().users;
    let owner = members
        .iter()
        .find(|member| member.roles == ["owner"])
        .unwrap();
    let down = remove(&world, &admin, &owner.id).await.unwrap_err();
    assert_eq!(reason(&down), "GRANT_EXCEEDS_OWN");
    let not = add(&world, &viewer, create("new@example.com", &["viewer"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&not), "PERMISSION_DENIED");
    let twice = add(&world, &admin, create("viewer@example.com", &[]))
        .await
        .unwrap_err();
    assert_eq!(reason(&twice), "MEMBER_EXISTS");
}

#[tokio::test]
async fn a_password_that_the_platform_replaces_is_out_on_another_replica_within_a_second() {
    let world = World::start().await;
    let tenant = world.tenant_of("acme", None, &["example.com"]).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let chosen = wire::CreateMemberRequest {
        password: crate::world::PASSWORD.to_owned(),
        ..create("new@example.com", &[])
    };
    let made = add(&world, &owner, chosen).await.unwrap();
    let theirs = Who::bearer(&world.login("new@example.com").await.access_token).of_replica(1);
    assert_eq!(world.reason(&theirs).await, "");

    let operator = Who::bearer(&world.operator);
    let request = wire::CreateOperatorRequest {
        email: "new@example.com".to_owned(),
        password: "chosen by the platform".to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&operator, request).await.unwrap();
    world.operators().create_operator(ask).await.unwrap();
    until(async || world.reason(&theirs).await == "CREDENTIAL_REVOKED").await;
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    let event: serde_json::Value = sqlx::query_scalar(
        "SELECT event FROM identity.outbox WHERE action = 'user.password_replaced'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(event["resource"]["id"], made.id);
    assert_eq!(
        event["after"],
        serde_json::json!({ "email": "new@example.com" })
    );
}

#[tokio::test]
async fn an_operator_who_comes_second_with_an_address_still_replaces_its_password() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let url = world.database.superuser_url();
    let mut other = PgConnection::connect(url.as_str()).await.unwrap();
    let mut first = other.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO identity.users (id, email, name, password_hash, password_of)
         VALUES ($1, 'new@example.com', 'New', 'theirs', $2)",
    )
    .bind(UserId::new().uuid())
    .bind(tenant.uuid())
    .execute(&mut *first)
    .await
    .unwrap();
    let second = world.member(tenant, "new@example.com", "member");
    let made = async {
        world.someone_waits().await;
        first.commit().await.unwrap();
    };
    // Signed in by the operator's password.
    tokio::join!(second, made);
}

#[tokio::test]
async fn equal_creates_at_once_make_one_member_and_equal_answers() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator).at(tenant);
    let request = wire::CreateMemberRequest {
        request_id: "once".to_owned(),
        password: crate::world::PASSWORD.to_owned(),
        ..create("new@example.com", &[])
    };
    // From many places, because one network has few turns at hashing.
    let all = (1..=16).map(|n| {
        let (world, operator, request) = (&world, &operator, request.clone());
        async move {
            let mut ask = world.ask(operator, request).await?;
            let address = format!("{n}.0.0.1").parse().unwrap();
            ask.metadata_mut()
                .insert("x-envoy-external-address", address);
            Ok::<_, Status>(world.members().create_member(ask).await?.into_inner())
        }
    });
    let answers = futures::future::join_all(all).await;
    let first = answers[0].clone().unwrap();
    assert!(answers.into_iter().all(|answer| answer.unwrap() == first));
    let other = wire::CreateMemberRequest {
        request_id: "once".to_owned(),
        ..create("another@example.com", &[])
    };
    let reused = add(&world, &operator, other).await.unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_removed_member_is_out_on_another_replica_within_a_second() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    world.member(tenant, "owner@example.com", "owner").await;
    let leaving = world.member(tenant, "leaving@example.com", "member").await;
    let elsewhere = leaving.clone().at(tenant).of_replica(1);
    assert_eq!(
        world.assertion(&elsewhere).await.unwrap().tenant,
        Some(tenant)
    );
    let operator = Who::bearer(&world.operator).at(tenant);
    let users = list(&world, &operator, 0, "").await.unwrap().users;
    let user = users
        .iter()
        .find(|user| user.email == "leaving@example.com")
        .unwrap();
    remove(&world, &operator, &user.id).await.unwrap();
    until(async || world.assertion(&elsewhere).await.unwrap().no_tenant == "not_found").await;
}
