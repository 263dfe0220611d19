//! No query reaches another tenant's rows, whatever it forgets: tried past the service, in SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::walls::without_a_tenant;

use crate::caller::Who;
use crate::world::World;

/// Tables without a tenant: people and what signs them in are of no tenant, the feed's head is one row, and migrations
/// keep their place.
const WITHOUT_A_TENANT: &[&str] = &[
    "attempts",
    "bootstrap_tokens",
    "external_sign_ins",
    "feed_head",
    "foundation_migrations",
    "operators",
    "password_resets",
    "provider_ends",
    "relay",
    "service_migrations",
    "sessions",
    "sign_ups",
    "user_identities",
    "users",
];
/// The application's own tables behind the wall; the foundation's are tried in registry's tests.
const OF_A_TENANT: &[&str] = &[
    "api_key_uses",
    "api_keys",
    "identity_providers",
    "invitations",
    "mail_days",
    "mails",
    "memberships",
    "outbox",
    "request_record",
    "roles",
    "service_accounts",
];

async fn connect(world: &World, role: Role) -> PgConnection {
    let url = world.database.url("identity", role);
    PgConnection::connect(url.as_str()).await.unwrap()
}

#[tokio::test]
async fn every_table_is_behind_the_wall_or_in_the_reviewed_list() {
    let world = World::start().await;
    let open = without_a_tenant(&mut connect(&world, Role::Owner).await, "identity").await;
    assert_eq!(open.unwrap(), WITHOUT_A_TENANT);
}

#[tokio::test]
async fn a_query_that_forgets_the_tenant_sees_and_changes_nothing() {
    let mut world = World::start().await;
    let (alpha, beta) = (
        world.tenant("alpha", None).await,
        world.tenant("beta", None).await,
    );
    for (tenant, email) in [(alpha, "a@example.com"), (beta, "b@example.com")] {
        let owner = world.member(tenant, email, "owner").await;
        let request = wire::CreateApiKeyRequest {
            name: "ci".to_owned(),
            request_id: "once".to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        let account = wire::CreateServiceAccountRequest {
            name: "ci".to_owned(),
            ..Default::default()
        };
        let account = world.ask(&owner, account).await.unwrap();
        world
            .service_accounts()
            .create_service_account(account)
            .await
            .unwrap();
        let made = world.api_keys().create_api_key(ask).await.unwrap();
        assert_eq!(world.reason(&Who::key(&made.into_inner().secret)).await, "");
        let request = wire::InviteMemberRequest {
            email: format!("new-{email}"),
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        world.invitations(0).invite_member(ask).await.unwrap();
        let request = wire::CreateRoleRequest {
            key: "clerk".to_owned(),
            permissions: vec!["tenants.read".to_owned()],
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        world.roles().create_role(ask).await.unwrap();
        crate::external::provider(&world, &owner, "https://login.example.com", |_| {}).await;
    }
    // Counts of uses are written then.
    world.restart().await;
    // Those that went are gone.
    sqlx::query(
        "INSERT INTO identity.mails (tenant_id, id, about, kind, sealed, next_at, ends_at)
         SELECT id, id, id, 'welcome', '', 'infinity', 'infinity' FROM unnest($1::uuid[]) AS id",
    )
    .bind([alpha.uuid(), beta.uuid()])
    .execute(&mut world.superuser().await)
    .await
    .unwrap();
    let mut app = connect(&world, Role::App).await;
    for table in OF_A_TENANT {
        let all = format!("SELECT count(*) FROM {table}");
        let of = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        let forgot: i64 = sqlx::query_scalar(AssertSqlSafe(all.clone()))
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!(forgot, 0, "{table}");
        let mut tx = app.begin().await.unwrap();
        sqlx::query("SELECT set_config('tenantry.tenant_id', $1, true)")
            .bind(alpha.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(all))
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let own: i64 = sqlx::query_scalar(AssertSqlSafe(of))
            .bind(alpha.uuid())
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert!(seen == own && own > 0, "{table}");
        let delete = format!("DELETE FROM {table} WHERE tenant_id = $1");
        let gone = sqlx::query(AssertSqlSafe(delete))
            .bind(beta.uuid())
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(gone.rows_affected(), 0, "{table}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn tenants_that_take_turns_on_one_pooled_connection_never_meet() {
    let world = World::start_pooled().await;
    let tenants = [
        world.tenant("alpha", None).await,
        world.tenant("beta", None).await,
    ];
    let operator = Who::bearer(&world.operator);
    let all = (0..24).map(|n| {
        let (world, who) = (&world, operator.clone().at(tenants[n % 2]));
        async move {
            let request = wire::CreateMemberRequest {
                email: format!("{n}@example.com"),
                ..Default::default()
            };
            let ask = world.ask(&who, request).await.unwrap();
            world.members().create_member(ask).await.unwrap();
        }
    });
    futures::future::join_all(all).await;
    for (place, tenant) in tenants.into_iter().enumerate() {
        let ask = world
            .ask(
                &operator.clone().at(tenant),
                wire::ListMembersRequest::default(),
            )
            .await
            .unwrap();
        let users = world
            .members()
            .list_members(ask)
            .await
            .unwrap()
            .into_inner()
            .users;
        assert_eq!(users.len(), 12);
        let own =
            |email: &str| email.split('@').next().unwrap().parse::<usize>().unwrap() % 2 == place;
        assert!(
            users
                .iter()
                .all(|user| own(&user.email) && user.tenant_id == tenant.to_string())
        );
    }
}
