//! What runs never do: show what isn't so, outlive what they are made of, or tell one tenant of another.

use sqlx::{Connection as _, PgConnection};
use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::ListEventsRequest;
use tenantry_proto::internal::data::v1::PurgeRequest;
use tenantry_testkit::cluster::Role;

use super::{ALL, SHORT, all_made, bulk};
use crate::support::{World, member, service};

const TABLES: [&str; 4] = [
    "search_runs",
    "search_postings",
    "search_times",
    "search_due",
];

/// How many rows of a table this role sees in a tenant's scope, of its own and of others.
async fn seen(connection: &mut PgConnection, table: &str, scope: Option<uuid::Uuid>) -> (i64, i64) {
    let mut tx = connection.begin().await.unwrap();
    if let Some(scope) = scope {
        sqlx::query("SELECT set_config('tenantry.tenant_id', $1, true)")
            .bind(scope.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let count = format!(
        "SELECT count(*) FILTER (WHERE tenant_id = $1), count(*) FILTER (WHERE tenant_id IS DISTINCT FROM $1) FROM {table}"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(count))
        .bind(scope)
        .fetch_one(&mut *tx)
        .await
        .unwrap()
}

async fn connect(world: &World, role: Role) -> PgConnection {
    let url = world.database.url("audit", role);
    PgConnection::connect(url.as_str()).await.unwrap()
}

#[tokio::test]
async fn runs_of_other_logs_and_those_over_all_are_out_of_a_tenant_s_sight() {
    let world = World::start().await;
    let tenant = bulk::log(&world, SHORT + 10).await;
    all_made(&world).await;
    let mut owner = world.owner().await;
    // What is due is made too soon to be seen otherwise: a run that was never filled stays nowhere else.
    let mut app = connect(&world, Role::App).await;
    let mut platform = connect(&world, Role::Platform).await;
    let mut tx = owner.begin().await.unwrap();
    sqlx::query("INSERT INTO search_due SELECT tenant_id, 0, until FROM search_runs")
        .execute(&mut *tx)
        .await
        .unwrap();
    let held = "SELECT pg_advisory_lock('search_runs'::regclass::oid::integer, search_lock_key(tenant_id)) FROM search_runs";
    let mut holding = world.owner().await;
    sqlx::query(held).fetch_all(&mut holding).await.unwrap();
    tx.commit().await.unwrap();
    for table in TABLES {
        let (own, others) = seen(&mut app, table, Some(tenant.uuid())).await;
        assert!(own > 0 && others == 0, "{table}");
        for scope in [
            None,
            Some(TenantId::new().uuid()),
            Some(TenantId::PLATFORM.uuid()),
        ] {
            assert_eq!(
                seen(&mut app, table, scope).await,
                (0, 0),
                "{table} {scope:?}"
            );
        }
        let (of_all, others) = seen(&mut platform, table, Some(ALL)).await;
        assert!(of_all > 0 && others > 0, "{table}");
        let delete = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
        let refused = sqlx::query(delete).execute(&mut app).await.unwrap_err();
        let code = refused
            .into_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned();
        assert_eq!(code, "42501", "{table}: who serves tenants only reads");
    }
}

async fn found_by(world: &World, tenant: TenantId, word: &str) -> Vec<i64> {
    let request = ListEventsRequest {
        q: word.to_owned(),
        ..Default::default()
    };
    let mut client = world.events(&member(tenant, &[Permission::AuditRead]));
    let page = client.list_events(request).await.unwrap().into_inner();
    page.events.iter().map(|event| event.index).collect()
}

#[tokio::test]
async fn what_a_run_says_is_held_against_the_event_itself() {
    let world = World::start().await;
    let tenant = bulk::log(&world, SHORT + 10).await;
    all_made(&world).await;
    assert_eq!(
        found_by(&world, tenant, "w7").await,
        [4_007, 3_007, 2_007, 1_007, 7]
    );
    // Nobody tells the run.
    sqlx::query("UPDATE events SET terms = '{}' WHERE index = 2007")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(
        found_by(&world, tenant, "w7").await,
        [4_007, 3_007, 1_007, 7]
    );
}

#[tokio::test]
async fn an_erased_word_leaves_the_runs_of_its_log_and_those_over_all() {
    let world = World::start().await;
    let tenant = bulk::log(&world, 2 * SHORT).await;
    all_made(&world).await;
    assert_eq!(bulk::traces(&world, "w7").await, 4);
    bulk::erase(&world, tenant, "w7").await;
    assert!(found_by(&world, tenant, "w7").await.is_empty());
    all_made(&world).await;
    assert_eq!(bulk::traces(&world, "w7").await, 0);
    assert_eq!(bulk::traces(&world, "w8").await, 4);
    assert_eq!(found_by(&world, tenant, "w8").await.len(), 9);
}

#[tokio::test]
async fn a_purge_leaves_no_word_of_a_person_in_any_run() {
    let world = World::start().await;
    let tenant = bulk::log(&world, 2 * SHORT).await;
    all_made(&world).await;
    assert_eq!(bulk::traces(&world, "w7").await, 4);
    let purge = PurgeRequest {
        tenant_id: tenant.to_string(),
        ..Default::default()
    };
    let mut data = world.data(&service("registry"));
    while !data.purge(purge.clone()).await.unwrap().into_inner().done {}
    all_made(&world).await;
    assert_eq!(bulk::traces(&world, "w7").await, 0);
    // What its leaves say of nobody finds each still.
    assert!(bulk::traces(&world, "name").await >= 4);
}

#[tokio::test]
async fn what_went_with_its_partition_leaves_the_runs() {
    let world = World::start().await;
    let tenant = bulk::log(&world, 2 * SHORT).await;
    all_made(&world).await;
    let mut owner = world.owner().await;
    let mut tx = owner.begin().await.unwrap();
    // As a partition would go, at a time that cuts the first run in two.
    sqlx::query(
        "WITH gone AS (DELETE FROM events WHERE index < 3000 RETURNING received_at)
         SELECT search_gone(min(received_at), max(received_at) + interval '1 microsecond') FROM gone",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    all_made(&world).await;
    assert_eq!(
        found_by(&world, tenant, "w7").await,
        [8_007, 7_007, 6_007, 5_007, 4_007, 3_007]
    );
    let of_runs: Vec<i32> =
        sqlx::query_scalar("SELECT events FROM search_runs WHERE tenant_id = $1 ORDER BY until")
            .bind(tenant.uuid())
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(of_runs, [1_096, 4_096]);
    let mut tx = owner.begin().await.unwrap();
    sqlx::query(
        "WITH gone AS (DELETE FROM events RETURNING received_at)
         SELECT search_gone(min(received_at), max(received_at) + interval '1 microsecond') FROM gone",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    all_made(&world).await;
    assert!(found_by(&world, tenant, "w7").await.is_empty());
    for table in ["search_postings", "search_times"] {
        let count =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
        let left: i64 = count.fetch_one(&mut owner).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
