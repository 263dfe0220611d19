//! Members and keys take a place each of what their tenant may have, from before there is one until it is gone.

use futures::future::join_all;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_core::TenantId;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::identity::v1::seat_service_client::SeatServiceClient;
use tenantry_proto::internal::identity::v1::{SettleSeatsRequest, SettleSeatsResponse};
use tenantry_testkit::oidc_provider::OidcProvider;
use tenantry_testkit::wait;
use tonic::Status;
use uuid::Uuid;

use crate::caller::{Who, reason};
use crate::world::{PASSWORD, World, until};
use crate::{api_keys, external, invitations, service_accounts, sign_up, transfer};

/// Longest wait for a key that was given two seconds, and for what is told again.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

fn new_member(email: &str) -> wire::CreateMemberRequest {
    wire::CreateMemberRequest {
        email: email.to_owned(),
        ..Default::default()
    }
}

async fn create(
    world: &World,
    who: &Who,
    request: wire::CreateMemberRequest,
) -> Result<wire::Member, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.members().create_member(ask).await?.into_inner())
}

async fn remove(world: &World, who: &Who, user: &str) {
    let request = wire::RemoveMemberRequest {
        user: user.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await.unwrap();
    world.members().remove_member(ask).await.unwrap();
}

/// How many there are in a table of the tenant's.
async fn rows(database: &mut PgConnection, table: &str, tenant: TenantId) -> usize {
    let count = format!("SELECT count(*) FROM identity.{table} WHERE tenant_id = $1");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
        .bind(tenant.uuid())
        .fetch_one(database)
        .await
        .unwrap();
    usize::try_from(count).unwrap()
}

/// Waits until so many are counted, which are all members that there are, and nothing is left to tell.
async fn members_are(world: &World, tenant: TenantId, expected: usize) {
    until(async || {
        let mut database = world.superuser().await;
        let untold: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM identity.seat_changes WHERE tenant_id = $1 AND change <> 'gone'",
        )
        .bind(tenant.uuid())
        .fetch_one(&mut database)
        .await
        .unwrap();
        untold == 0 && world.quota.counted(tenant, "users") == expected
    })
    .await;
    let mut database = world.superuser().await;
    assert_eq!(rows(&mut database, "memberships", tenant).await, expected);
}

async fn keys_are(world: &World, tenant: TenantId, expected: usize) {
    until(async || world.quota.counted(tenant, "api_keys") == expected).await;
}

async fn settle(
    world: &World,
    tenant: TenantId,
    seats: &[String],
) -> Result<SettleSeatsResponse, Status> {
    let request = SettleSeatsRequest {
        tenant_id: tenant.to_string(),
        resource_type: "users".to_owned(),
        seats: seats.to_vec(),
        request_id: String::new(),
    };
    let mut seats = SeatServiceClient::new(world.channel(1));
    let settled = seats
        .settle_seats(world.ask_as_service("quota", request))
        .await?;
    Ok(settled.into_inner())
}

#[tokio::test]
async fn each_way_to_become_a_member_takes_a_place_and_each_way_to_go_leaves_it() {
    let world = World::start().await;
    let [tenant, other] = [
        world.tenant_of("acme", None, &["acme.example"]).await,
        world.tenant("other", None).await,
    ];
    let operator = Who::bearer(&world.operator).at(tenant);
    let owner = world.member(tenant, "owner@acme.example", "owner").await;
    members_are(&world, tenant, 1).await;
    let bob = create(&world, &owner, new_member("bob@acme.example"))
        .await
        .unwrap();
    members_are(&world, tenant, 2).await;
    let again = create(&world, &owner, new_member("bob@acme.example"))
        .await
        .unwrap_err();
    assert_eq!(reason(&again), "MEMBER_EXISTS");

    // By an invitation.
    let token = invitations::token(&world, &owner, "ann@acme.example", &["viewer"]).await;
    let ann = invitations::accept(&world, &token).await.unwrap();
    members_are(&world, tenant, 3).await;

    // By a provider, once.
    let issuer = OidcProvider::start().await.unwrap();
    let provider = external::provider(&world, &operator, &issuer.issuer(), |_| {}).await;
    for _ in 0..2 {
        external::sign_in(&world, &issuer, &provider, "carol")
            .await
            .unwrap();
        members_are(&world, tenant, 4).await;
    }

    // By a transfer, and out by one.
    let there = transfer::to(other, &[bob.id.clone(), ann.id.clone()]);
    transfer::transfer(&world, &operator, there.clone())
        .await
        .unwrap();
    members_are(&world, tenant, 2).await;
    members_are(&world, other, 2).await;
    // A dry run takes and leaves none.
    let mut back = transfer::to(tenant, &[bob.id.clone(), ann.id.clone()]);
    back.dry_run = true;
    let of_other = Who::bearer(&world.operator).at(other);
    transfer::transfer(&world, &of_other, back.clone())
        .await
        .unwrap();
    (back.dry_run, back.keep_in_source) = (false, true);
    transfer::transfer(&world, &of_other, back).await.unwrap();
    members_are(&world, tenant, 4).await;
    members_are(&world, other, 2).await;

    // By id, and away.
    remove(&world, &of_other, &bob.id).await;
    members_are(&world, other, 1).await;
    let add = wire::AddMemberRequest {
        user: bob.id.clone(),
        ..Default::default()
    };
    let ask = world.ask(&of_other, add).await.unwrap();
    world.members().add_member(ask).await.unwrap();
    members_are(&world, other, 2).await;
}

#[tokio::test]
async fn keys_take_a_place_until_they_are_revoked_or_have_expired_and_a_rotation_takes_no_other() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = async |request| {
        let made = api_keys::make(&world, &owner, request).await.unwrap();
        made.api_key.unwrap().id
    };
    let key = made(api_keys::create("one", &[], "one")).await;
    // A repetition is the same key.
    assert_eq!(made(api_keys::create("one", &[], "one")).await, key);
    keys_are(&world, tenant, 1).await;
    let rotate = wire::RotateApiKeyRequest {
        api_key: key.clone(),
        ..Default::default()
    };
    let ask = world.ask(&owner, rotate).await.unwrap();
    world.api_keys().rotate_api_key(ask).await.unwrap();
    let in_two_seconds = tenantry_core::clock::now().as_second() + 2;
    let short = wire::CreateApiKeyRequest {
        expires_at: Some(prost_types::Timestamp {
            seconds: in_two_seconds,
            nanos: 0,
        }),
        ..api_keys::create("short", &[], "short")
    };
    made(short).await;
    keys_are(&world, tenant, 2).await;
    let expired = wait::until("the end of a key", WITHIN, async || {
        Ok((world.quota.counted(tenant, "api_keys") == 1).then_some(()))
    });
    expired.await.unwrap();
    api_keys::revoke(&world, &owner, &key).await.unwrap();
    keys_are(&world, tenant, 0).await;
    let account = service_accounts::create(&world, &owner, "robot", &["members.read"]).await;
    let account = account.unwrap().id;
    for _ in 0..2 {
        service_accounts::key(&world, &owner, &account, &[])
            .await
            .unwrap();
    }
    keys_are(&world, tenant, 2).await;
    service_accounts::delete(&world, &owner, &account)
        .await
        .unwrap();
    keys_are(&world, tenant, 0).await;
    world.quota.limit(0);
    let full = api_keys::make(&world, &owner, api_keys::create("no", &[], ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&full), "QUOTA_EXCEEDED");
}

#[tokio::test]
async fn without_a_place_nobody_comes_in_and_whoever_is_there_can_go() {
    let world = World::start().await;
    let [tenant, other] = [
        world.tenant_of("acme", None, &["acme.example"]).await,
        world.tenant("other", None).await,
    ];
    let owner = world.member(tenant, "owner@acme.example", "owner").await;
    let bob = create(&world, &owner, new_member("bob@acme.example"))
        .await
        .unwrap();
    let token = invitations::token(&world, &owner, "ann@acme.example", &[]).await;
    members_are(&world, tenant, 2).await;
    world.quota.limit(2);
    let full = create(&world, &owner, new_member("c@acme.example"))
        .await
        .unwrap_err();
    let facts = tenantry_rpc::status::refusal(&full).unwrap().metadata;
    assert_eq!(reason(&full), "QUOTA_EXCEEDED");
    assert_eq!(
        facts,
        [
            ("resource_type", "users".to_owned()),
            ("limit", "2".to_owned())
        ]
    );
    let full = invitations::accept(&world, &token).await.unwrap_err();
    assert_eq!(reason(&full), "QUOTA_EXCEEDED");

    // Of several as many move as there is room for.
    let of_other = Who::bearer(&world.operator).at(other);
    let mut users = Vec::new();
    world.quota.limit(3);
    for name in ["x", "y", "z"] {
        let member = create(
            &world,
            &of_other,
            new_member(&format!("{name}@example.com")),
        );
        users.push(member.await.unwrap().id);
    }
    let there = transfer::to(tenant, &users);
    let moved = transfer::transfer(&world, &of_other, there).await.unwrap();
    let reasons: Vec<_> = moved
        .results
        .iter()
        .map(|result| result.reason.as_str())
        .collect();
    assert_eq!(
        (moved.moved_count, reasons),
        (1, vec!["", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"])
    );
    members_are(&world, tenant, 3).await;
    members_are(&world, other, 2).await;

    // While quota doesn't answer nobody comes, and who goes is told later.
    world.quota.be_silent(true);
    let refused = create(&world, &owner, new_member("c@acme.example"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "UNAVAILABLE");
    remove(&world, &owner, &bob.id).await;
    let mut database = world.superuser().await;
    assert_eq!(rows(&mut database, "memberships", tenant).await, 2);
    assert_eq!(world.quota.counted(tenant, "users"), 3);
    world.quota.be_silent(false);
    let told = wait::until("what is told again", WITHIN, async || {
        Ok((world.quota.counted(tenant, "users") == 2).then_some(()))
    });
    told.await.unwrap();
    // The link was good all the time.
    invitations::accept(&world, &token).await.unwrap();
    members_are(&world, tenant, 3).await;
}

#[tokio::test]
async fn a_first_owner_comes_in_whatever_the_plan_allows_and_counts() {
    let world = World::start().await;
    let person = sign_up::person(&world, "ann@example.com").await;
    world.quota.limit(0);
    let made = sign_up::sign_up(&world, &person, sign_up::asked("hers", "once"))
        .await
        .unwrap();
    let tenant: TenantId = made.id.parse().unwrap();
    members_are(&world, tenant, 1).await;
}

#[tokio::test]
async fn a_place_that_is_held_and_not_taken_is_given_back() {
    let world = World::start().await;
    let tenant = world.tenant_of("acme", None, &["acme.example"]).await;
    let owner = world.member(tenant, "owner@acme.example", "owner").await;
    // One of them makes the member.
    let equal = (0..16).map(|_| create(&world, &owner, new_member("bob@acme.example")));
    let made = join_all(equal).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    members_are(&world, tenant, 2).await;
    // And so it is where the same request comes more than once.
    let request = wire::CreateMemberRequest {
        password: PASSWORD.to_owned(),
        request_id: "once".to_owned(),
        ..new_member("ann@acme.example")
    };
    let equal = (0..8).map(|_| create(&world, &owner, request.clone()));
    for made in join_all(equal).await {
        made.unwrap();
    }
    members_are(&world, tenant, 3).await;
}

#[tokio::test]
async fn whoever_comes_too_late_for_their_place_does_not_take_it() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    world.member(tenant, "owner@example.com", "owner").await;
    let mut database = world.superuser().await;
    let insert = "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles, seat_id)
                  SELECT $1, id, email, 'late', '{member}', $2 FROM identity.users WHERE email = $3";
    let taken: Uuid =
        sqlx::query_scalar("SELECT seat_id FROM identity.memberships WHERE tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_one(&mut database)
            .await
            .unwrap();
    let late = Uuid::from_bytes(tenantry_core::random::bytes());
    let asked = [taken, late].map(|seat| seat.to_string());
    let settled = settle(&world, tenant, &asked).await.unwrap();
    assert_eq!(settled.taken, [taken.to_string()]);
    let refused = sqlx::query(insert)
        .bind(tenant.uuid())
        .bind(late)
        .bind("root@example.com")
        .execute(&mut database)
        .await
        .unwrap_err();
    let refused = refused
        .as_database_error()
        .and_then(|error| error.constraint());
    assert_eq!(refused, Some("seat_changes_pkey"));
    members_are(&world, tenant, 1).await;
    // What was taken stays so, whoever asks however often.
    assert_eq!(settle(&world, tenant, &asked).await.unwrap().taken.len(), 1);
    let of_nobody = settle(&world, TenantId::PLATFORM, &asked)
        .await
        .unwrap_err();
    assert_eq!(reason(&of_nobody), "INVALID_ARGUMENT");
    let person = Who::bearer(&world.operator).at(tenant);
    let request = SettleSeatsRequest::default();
    let ask = world.ask(&person, request).await.unwrap();
    let refused = SeatServiceClient::new(world.channel(0))
        .settle_seats(ask)
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "INTERNAL_METHOD");
}

/// Rows that are written past the service, as a replica of before the migration writes them, are told like any other.
#[tokio::test]
async fn whatever_writes_a_member_or_a_key_is_told() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let mut database = world.superuser().await;
    let insert = "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
                  SELECT $1, id, email, 'n', '{member}' FROM identity.users WHERE email = $2";
    world.member(tenant, "ann@example.com", "member").await;
    members_are(&world, tenant, 1).await;
    sqlx::query("DELETE FROM identity.memberships WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(&mut database)
        .await
        .unwrap();
    let gone = wait::until("what is left behind", WITHIN, async || {
        Ok((world.quota.counted(tenant, "users") == 0).then_some(()))
    });
    gone.await.unwrap();
    sqlx::query(insert)
        .bind(tenant.uuid())
        .bind("ann@example.com")
        .execute(&mut database)
        .await
        .unwrap();
    let back = wait::until("what is found", WITHIN, async || {
        Ok((world.quota.counted(tenant, "users") == 1).then_some(()))
    });
    back.await.unwrap();
}
