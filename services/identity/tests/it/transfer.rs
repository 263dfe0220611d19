//! Bulk transfer of members between tenants.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::{PASSWORD, World};

pub(crate) async fn transfer(
    world: &World,
    who: &Who,
    request: wire::TransferMembersRequest,
) -> Result<wire::TransferMembersResponse, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.members().transfer_members(ask).await?.into_inner())
}

pub(crate) fn to(target: TenantId, users: &[String]) -> wire::TransferMembersRequest {
    wire::TransferMembersRequest {
        target_tenant: target.to_string(),
        users: users.to_vec(),
        ..Default::default()
    }
}

async fn connect(world: &World) -> PgConnection {
    PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap()
}

/// Members of a tenant, made past the service; their ids.
async fn people(world: &World, tenant: TenantId, prefix: &str, count: i32) -> Vec<String> {
    let mut connection = connect(world).await;
    sqlx::query(
        "INSERT INTO identity.users (id, email, name)
         SELECT gen_random_uuid(), $1 || n || '@example.com', 'n' FROM generate_series(1, $2) AS n",
    )
    .bind(prefix)
    .bind(count)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query_scalar(
        "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
         SELECT $1, id, email, name, '{member}' FROM identity.users WHERE email LIKE $2 || '%' RETURNING user_id::text",
    )
    .bind(tenant.uuid())
    .bind(prefix)
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

async fn count(world: &World, tenant: TenantId) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM identity.memberships WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&mut connect(world).await)
        .await
        .unwrap()
}

/// Two tenants, and one who owns both.
async fn pair(world: &World) -> (TenantId, TenantId, Who) {
    let (a, b) = (
        world.tenant_of("alpha", None, &["example.com"]).await,
        world.tenant("beta", None).await,
    );
    world.member(a, "owner@example.com", "owner").await;
    let owner = world.member(b, "owner@example.com", "owner").await;
    (a, b, owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_members_move_in_one_call_with_an_event_each_in_both_streams() {
    let world = World::start().await;
    let (a, b, owner) = pair(&world).await;
    let users = people(&world, a, "p", 1_000).await;
    let at_a = owner.clone().at(a);
    let dry = wire::TransferMembersRequest {
        dry_run: true,
        ..to(b, &users)
    };
    let told = transfer(&world, &at_a, dry).await.unwrap();
    assert_eq!((count(&world, a).await, count(&world, b).await), (1_001, 1));
    let real = wire::TransferMembersRequest {
        request_id: "once".to_owned(),
        ..to(b, &users)
    };
    let began = std::time::Instant::now();
    let moved = transfer(&world, &at_a, real.clone()).await.unwrap();
    println!("1,000 users moved in {} ms", began.elapsed().as_millis());
    assert_eq!(
        (told.results, told.moved_count),
        (moved.results.clone(), 1_000)
    );
    assert_eq!((count(&world, a).await, count(&world, b).await), (1, 1_001));
    assert_eq!(
        transfer(&world, &at_a, real).await.unwrap(),
        moved,
        "a repetition"
    );
    let mut connection = connect(&world).await;
    for (tenant, action) in [(a, "member.removed"), (b, "member.added")] {
        // Gapless and in the order of time, among all events of the tenant.
        let (rows, last, ordered): (i64, i64, bool) = sqlx::query_as(
            "SELECT count(*), max(n), bool_and(later) FROM (
                 SELECT n, at > coalesce(lag(at) OVER (ORDER BY n), '-infinity') AS later
                 FROM identity.outbox WHERE tenant_id = $1) AS o",
        )
        .bind(tenant.uuid())
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert!(rows == last && ordered, "{rows} {last} {ordered}");
        let of_users: Vec<String> = sqlx::query_scalar(
            "SELECT event -> 'resource' ->> 'id' FROM identity.outbox WHERE tenant_id = $1 AND action = $2",
        )
        .bind(tenant.uuid())
        .bind(action)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let of_users: BTreeSet<String> = of_users.into_iter().collect();
        assert!(users.iter().all(|user| of_users.contains(user)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opposite_transfers_at_once_neither_wait_for_ever_nor_lose_anyone() {
    let world = World::start().await;
    let (a, b, owner) = pair(&world).await;
    let (of_a, of_b) = (
        people(&world, a, "a", 100).await,
        people(&world, b, "b", 100).await,
    );
    let all: Vec<String> = of_a.iter().chain(&of_b).cloned().collect();
    for _ in 0..3 {
        let (at_a, at_b) = (owner.clone().at(a), owner.clone().at(b));
        let (one, other) = tokio::join!(
            transfer(&world, &at_a, to(b, &all)),
            transfer(&world, &at_b, to(a, &all))
        );
        let moved = one.unwrap().moved_count + other.unwrap().moved_count;
        assert!(moved > 0);
        assert_eq!(count(&world, a).await + count(&world, b).await, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_needs_the_right_in_both_tenants_and_a_foreign_one_is_absent() {
    let world = World::start().await;
    let (a, b, owner) = pair(&world).await;
    let far = world.tenant("far", None).await;
    let users = people(&world, a, "p", 2).await;
    let at_a = owner.clone().at(a);
    let foreign = transfer(&world, &at_a, to(far, &users)).await.unwrap_err();
    let absent = transfer(&world, &at_a, to(TenantId::new(), &users))
        .await
        .unwrap_err();
    assert_eq!(reason(&foreign), "TENANT_NOT_FOUND");
    assert_eq!(
        (foreign.code(), foreign.message(), foreign.details()),
        (absent.code(), absent.message(), absent.details())
    );
    let reader = world.member(a, "reader@example.com", "admin").await;
    world.member(b, "reader@example.com", "member").await;
    let refused = transfer(&world, &reader.at(a), to(b, &users))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    let same = transfer(&world, &at_a, to(a, &users)).await.unwrap_err();
    assert_eq!(reason(&same), "INVALID_ARGUMENT");
    // Results of its own for each: the owner of both is a member there already.
    let mixed = [users[0].clone(), TenantId::new().to_string()];
    let mapped = wire::TransferMembersRequest {
        keep_in_source: true,
        role_map: vec![wire::RoleMapping {
            from: "member".to_owned(),
            to: "viewer".to_owned(),
        }],
        ..to(b, &mixed)
    };
    let told = transfer(&world, &at_a, mapped).await.unwrap();
    let outcomes: Vec<_> = told
        .results
        .iter()
        .map(|one| (one.outcome.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(outcomes, [("moved", ""), ("refused", "USER_NOT_FOUND")]);
    assert_eq!(told.results[0].roles, ["viewer"]);
    assert_eq!(count(&world, a).await, 4, "kept in the first tenant");
    let again = transfer(&world, &at_a, to(b, &users)).await.unwrap();
    let outcomes: Vec<_> = again
        .results
        .iter()
        .map(|one| one.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["already_member", "moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_password_the_first_tenant_chose_needs_a_link_there_and_the_transfer_says_so() {
    let world = World::start().await;
    let (a, b, owner) = pair(&world).await;
    let at_a = owner.clone().at(a);
    let request = wire::CreateMemberRequest {
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(&at_a, request).await.unwrap();
    let ann = world.members().create_member(ask).await.unwrap();
    let users = [
        ann.into_inner().id,
        people(&world, a, "p", 1).await.remove(0),
    ];
    let dry = wire::TransferMembersRequest {
        dry_run: true,
        ..to(b, &users)
    };
    for request in [dry, to(b, &users)] {
        let told = transfer(&world, &at_a, request).await.unwrap();
        let told: Vec<_> = told
            .results
            .iter()
            .map(|one| (one.outcome.as_str(), one.needs_password_reset))
            .collect();
        assert_eq!(told, [("moved", true), ("moved", false)]);
    }
    let there = Who::bearer(&world.login("ann@example.com").await.access_token).at(b);
    assert_eq!(
        world.assertion(&there).await.unwrap().no_tenant,
        "not_found"
    );
    // The link shows that the address is hers; then she gets where she was moved to.
    world.post.nth("ann@example.com", 1).await.unwrap();
    let ask = wire::RequestPasswordResetRequest {
        email: "ann@example.com".to_owned(),
    };
    world.passwords().request_password_reset(ask).await.unwrap();
    let mail = world.post.nth("ann@example.com", 2).await.unwrap();
    let request = wire::ResetPasswordRequest {
        token: mail.token().to_owned(),
        new_password: "velvet otter cinema".to_owned(),
        ..Default::default()
    };
    world.passwords().reset_password(request).await.unwrap();
    let login = wire::LoginRequest {
        email: "ann@example.com".to_owned(),
        password: "velvet otter cinema".to_owned(),
        ..Default::default()
    };
    let pair = world.auth().login(login).await.unwrap().into_inner();
    let there = Who::bearer(&pair.access_token).at(b);
    assert_eq!(world.assertion(&there).await.unwrap().tenant, Some(b));
}
