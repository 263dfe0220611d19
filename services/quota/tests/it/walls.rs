//! No query reaches another tenant's rows, whatever it forgets: tried past the service, in SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_testkit::cluster::Role;

use crate::support::World;

/// Tables without a tenant: the end of what is fed is one row, and migrations keep their place.
const WITHOUT_A_TENANT: &[&str] = &[
    "feed_head",
    "foundation_migrations",
    "relay",
    "service_migrations",
];
const OF_A_TENANT: &[&str] = &["accounts", "limit_overrides", "usage_log"];

async fn connect(world: &World, role: Role) -> PgConnection {
    let url = world.database.url("quota", role);
    PgConnection::connect(url.as_str()).await.unwrap()
}

#[tokio::test]
async fn every_table_is_behind_the_wall_or_in_the_reviewed_list() {
    let world = World::start().await;
    let mut owner = connect(&world, Role::Owner).await;
    let tables: Vec<(String, bool, i64)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity AND k.attname = 'tenant_id',
                (SELECT count(*) FROM pg_policies WHERE schemaname = 'quota' AND tablename = c.relname)
         FROM pg_class AS c
         LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
         LEFT JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = i.indkey[0]
         WHERE c.relnamespace = 'quota'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let open = tables.iter().filter(|(_, walled, _)| !walled);
    let open: Vec<_> = open.map(|(name, ..)| name.as_str()).collect();
    assert_eq!(open, WITHOUT_A_TENANT);
    assert!(
        tables
            .iter()
            .all(|(_, walled, policies)| *policies == if *walled { 3 } else { 0 }),
        "{tables:?}"
    );
}

#[tokio::test]
async fn a_query_that_forgets_the_tenant_sees_and_changes_nothing() {
    let world = World::start().await;
    let tenants = [world.tenant(), world.tenant()];
    for tenant in tenants {
        world.set(tenant, "api_calls", 10, "month").await;
        world.consume(tenant, 1).await.unwrap();
    }
    let mut app = connect(&world, Role::App).await;
    for table in OF_A_TENANT {
        let all = format!("SELECT count(*) FROM {table}");
        let forgot: i64 = sqlx::query_scalar(AssertSqlSafe(all.clone()))
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!(forgot, 0, "{table}");
        let mut tx = app.begin().await.unwrap();
        sqlx::query("SELECT set_config('tenantry.tenant_id', $1, true)")
            .bind(tenants[0].to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(all))
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(seen, 1, "{table}");
        let foreign = format!("DELETE FROM {table} WHERE tenant_id = $1");
        let gone = sqlx::query(AssertSqlSafe(foreign))
            .bind(tenants[1].uuid())
            .execute(&mut *tx)
            .await
            .unwrap();
        assert_eq!(gone.rows_affected(), 0, "{table}");
        tx.rollback().await.unwrap();
    }
}
