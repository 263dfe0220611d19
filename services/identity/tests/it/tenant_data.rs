//! What identity keeps of a tenant, counted and removed at registry's request.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_identity::TENANT_TABLES;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::data::v1::{CountRequest, PurgeRequest};
use tenantry_testkit::cluster::Role;
use tonic::Code;

use crate::caller::{Who, reason};
use crate::world::{PASSWORD, World, until};

/// Tables with a tenant's id whose rows stay: the log and its numbers outlive the tenant.
const STAYS: &[&str] = &["outbox", "outbox_counter"];
/// A table whose rows go by themselves, once the log has what it waits for.
const WAITS: &[&str] = &["relay_held"];

async fn owner(world: &World) -> PgConnection {
    let url = world.database.url("identity", Role::Owner);
    PgConnection::connect(url.as_str()).await.unwrap()
}

/// Every column of the schema that names a tenant, by the catalogue.
async fn columns_of_tenants(conn: &mut PgConnection) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT c.relname::text, a.attname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'identity'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT a.attisdropped AND (a.attname LIKE '%tenant_id' OR a.attname = 'password_of') ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

/// How many rows of each table name this tenant.
async fn held_in(conn: &mut PgConnection, tenant: TenantId) -> BTreeMap<String, i64> {
    let mut held = BTreeMap::new();
    for (table, column) in columns_of_tenants(conn).await {
        let count = format!("SELECT count(*) FROM {table} WHERE {column} = $1");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(tenant.uuid())
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        if count > 0 {
            held.insert(table, count);
        }
    }
    held
}

async fn purge(world: &World, tenant: TenantId) {
    let request = PurgeRequest {
        tenant_id: tenant.to_string(),
        request_id: "purge".to_owned(),
    };
    loop {
        let request = world.as_registry(request.clone());
        if world
            .tenant_data()
            .purge(request)
            .await
            .unwrap()
            .into_inner()
            .done
        {
            return;
        }
    }
}

fn new_member(email: &str, password: &str) -> wire::CreateMemberRequest {
    wire::CreateMemberRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        request_id: email.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_table_with_tenants_is_purged_or_reviewed_to_stay() {
    let world = World::without_operator().await;
    let tables = columns_of_tenants(&mut owner(&world).await).await;
    let purged = TENANT_TABLES.iter().map(|table| (table.name, table.column));
    let stays = STAYS.iter().chain(WAITS).map(|table| (*table, "tenant_id"));
    // Its users stay, without the password.
    let known = purged.chain(stays).chain([("users", "password_of")]);
    let known: BTreeSet<_> = known
        .map(|(table, column)| (table.to_owned(), column.to_owned()))
        .collect();
    assert_eq!(
        tables.into_iter().collect::<BTreeSet<_>>(),
        known,
        "put a new table into store/tenant_data.rs, or have it reviewed into STAYS or WAITS"
    );
}

#[tokio::test]
async fn a_purge_leaves_nothing_of_the_tenant_and_all_of_others() {
    let world = World::start().await;
    let [tenant, other] = [
        world.tenant_of("acme", None, &["acme.example"]).await,
        world.tenant_of("other", None, &["other.example"]).await,
    ];
    let mut credentials = Vec::new();
    for (id, name) in [(tenant, "acme"), (other, "other")] {
        let people = world
            .member(id, &format!("owner@{name}.example"), "owner")
            .await;
        // Its password is the tenant's, and so it reaches nothing else.
        let email = format!("staff@{name}.example");
        let ask = world
            .ask(&people, new_member(&email, PASSWORD))
            .await
            .unwrap();
        world.members().create_member(ask).await.unwrap();
        let staff = Who::bearer(&world.login(&email).await.access_token);
        let login = wire::LoginRequest {
            email: format!("owner@{name}.example"),
            password: PASSWORD.to_owned(),
            tenant: id.to_string(),
            ..Default::default()
        };
        let there = world.auth().login(login).await.unwrap().into_inner();
        let key = wire::CreateApiKeyRequest {
            name: "ci".to_owned(),
            request_id: "key".to_owned(),
            ..Default::default()
        };
        let ask = world.ask(&people, key).await.unwrap();
        let key = world
            .api_keys()
            .create_api_key(ask)
            .await
            .unwrap()
            .into_inner();
        credentials.push([
            staff,
            Who::bearer(&there.access_token),
            Who::key(&key.secret),
        ]);
    }
    let count = CountRequest {
        tenant_id: tenant.to_string(),
    };
    let counts = world
        .tenant_data()
        .count(world.as_registry(count))
        .await
        .unwrap();
    let counts = counts.into_inner().counts.into_iter();
    let counts: BTreeMap<_, _> = counts
        .map(|counted| (counted.kind, counted.count))
        .collect();
    for (kind, count) in [
        ("members", 2),
        ("api_keys", 1),
        ("sessions", 1),
        ("request_records", 2),
    ] {
        assert_eq!(counts[kind], count, "{kind}");
    }
    let mut conn = owner(&world).await;
    let others = held_in(&mut conn, other).await;
    // What is remembered before is what is to be forgotten.
    for who in credentials.iter().flatten() {
        for replica in 0..2 {
            assert_eq!(world.reason(&who.clone().of_replica(replica)).await, "");
        }
    }

    purge(&world, tenant).await;
    for (place, who) in credentials[0].iter().enumerate() {
        let expected = if place == 2 {
            "UNAUTHENTICATED"
        } else {
            "CREDENTIAL_REVOKED"
        };
        for replica in 0..2 {
            let who = who.clone().of_replica(replica);
            until(async || world.reason(&who).await == expected).await;
        }
    }
    for who in &credentials[1] {
        assert_eq!(world.reason(who).await, "");
    }
    let held = held_in(&mut conn, tenant).await;
    assert_eq!(held.into_keys().collect::<Vec<_>>(), STAYS);
    assert_eq!(held_in(&mut conn, other).await, others);

    // Again is the same, and leaves no second event.
    purge(&world, tenant).await;
    let last: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM outbox WHERE tenant_id = $1 ORDER BY n DESC LIMIT 2",
    )
    .bind(tenant.uuid())
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(last, ["tenant.data_purged", "api_key.created"]);
    let late = Who::bearer(&world.operator).at(tenant);
    let ask = world
        .ask(&late, new_member("late@acme.example", ""))
        .await
        .unwrap();
    let late = world.members().create_member(ask).await.unwrap_err();
    assert_eq!(
        reason(&late),
        "TENANT_NOT_FOUND",
        "nothing comes in any more"
    );
    let held = held_in(&mut conn, tenant).await;
    assert_eq!(held.into_keys().collect::<Vec<_>>(), STAYS);

    // The person is still one, and signs in elsewhere once a password is the person's own or the platform's.
    let users: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE email LIKE '%@acme.example' AND (email LIKE 'owner%') = (password_hash IS NOT NULL)",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(users, 2);
}

#[tokio::test]
async fn a_change_beside_a_purge_is_removed_or_refused() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let operator = Who::bearer(&world.operator).at(tenant);
    let adding = (0..40).map(|n| {
        let (world, who) = (&world, operator.clone());
        async move {
            let ask = world.ask(&who, new_member(&format!("{n}@example.com"), ""));
            world.members().create_member(ask.await.unwrap()).await
        }
    });
    let (added, ()) = tokio::join!(futures::future::join_all(adding), purge(&world, tenant));
    for refused in added.into_iter().filter_map(Result::err) {
        assert_eq!(reason(&refused), "TENANT_NOT_FOUND");
    }
    let held = held_in(&mut owner(&world).await, tenant).await;
    assert_eq!(held.into_keys().collect::<Vec<_>>(), STAYS);
}

#[tokio::test]
async fn only_registry_may_purge_and_never_the_platform_itself() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let request = PurgeRequest {
        tenant_id: tenant.to_string(),
        ..Default::default()
    };
    let operator = Who::bearer(&world.operator).at(tenant);
    let ask = world.ask(&operator, request.clone()).await.unwrap();
    let refused = world.tenant_data().purge(ask).await.unwrap_err();
    assert_eq!(reason(&refused), "INTERNAL_METHOD");
    for id in [
        TenantId::PLATFORM.to_string(),
        String::new(),
        "acme".to_owned(),
    ] {
        let request = world.as_registry(PurgeRequest {
            tenant_id: id,
            ..request.clone()
        });
        let refused = world.tenant_data().purge(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}
