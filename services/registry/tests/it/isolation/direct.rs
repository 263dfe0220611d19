//! The application's role, straight at the database.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_proto::registry::v1::Tenant;
use tenantry_testkit::cluster::Role;

use super::{tenant_tables, two_tenants};
use crate::support::World;

/// SQLSTATE of a row that a policy forbids to write.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn enter(conn: &mut PgConnection, tenant: &Tenant) {
    sqlx::query("SELECT set_config('tenantry.tenant_id', $1, true)")
        .bind(&tenant.id)
        .execute(conn)
        .await
        .unwrap();
}

/// How many rows of a table there are in sight: of this tenant, and in all.
async fn in_sight(conn: &mut PgConnection, table: &str, tenant: &Tenant) -> (i64, i64) {
    let count =
        format!("SELECT count(*) FILTER (WHERE tenant_id = $1::uuid), count(*) FROM {table}");
    sqlx::query_as(AssertSqlSafe(count))
        .bind(&tenant.id)
        .fetch_one(conn)
        .await
        .unwrap()
}

async fn affected(conn: &mut PgConnection, statement: String, tenant: &Tenant) -> u64 {
    sqlx::query(AssertSqlSafe(statement))
        .bind(&tenant.id)
        .execute(conn)
        .await
        .unwrap()
        .rows_affected()
}

/// Runs a statement that must be refused by a policy, inside a savepoint.
async fn refused_by_policy(conn: &mut PgConnection, statement: String, values: &[&str]) {
    let mut savepoint = conn.begin().await.unwrap();
    let mut query = sqlx::query(AssertSqlSafe(statement.clone()));
    for value in values {
        query = query.bind((*value).to_owned());
    }
    let error = query.execute(&mut *savepoint).await.unwrap_err();
    let code = error.as_database_error().and_then(|e| e.code()).unwrap();
    assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{statement}: {error}");
    savepoint.rollback().await.unwrap();
}

#[tokio::test]
async fn without_a_tenant_no_table_shows_or_gives_up_a_row() {
    let world = World::start().await;
    let [alpha, _] = two_tenants(&world).await;
    let tables = tenant_tables(&mut world.owner().await).await;
    let mut app = world.connect(Role::App).await;
    for table in &tables {
        assert_eq!(in_sight(&mut app, table, &alpha).await, (0, 0), "{table}");
        let touch = format!("UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = $1::uuid");
        assert_eq!(affected(&mut app, touch, &alpha).await, 0, "{table}");
        let delete = format!("DELETE FROM {table} WHERE tenant_id = $1::uuid");
        assert_eq!(affected(&mut app, delete, &alpha).await, 0, "{table}");
    }
    // A connection that had a tenant in an earlier transaction holds the empty setting, which is no tenant either.
    let mut tx = app.begin().await.unwrap();
    enter(&mut tx, &alpha).await;
    tx.commit().await.unwrap();
    for table in &tables {
        assert_eq!(in_sight(&mut app, table, &alpha).await, (0, 0), "{table}");
    }
}

#[tokio::test]
async fn in_a_tenant_every_table_shows_its_rows_and_no_others() {
    let world = World::start().await;
    let [alpha, beta] = two_tenants(&world).await;
    let tables = tenant_tables(&mut world.owner().await).await;
    let mut app = world.connect(Role::App).await;
    for tenant in [&alpha, &beta] {
        let mut tx = app.begin().await.unwrap();
        enter(&mut tx, tenant).await;
        for table in &tables {
            let (own, all) = in_sight(&mut tx, table, tenant).await;
            assert!(own > 0, "{table} has a row of this tenant to be seen");
            assert_eq!(own, all, "{table}");
        }
    }
}

#[tokio::test]
async fn in_a_tenant_no_row_of_another_can_be_written_moved_or_removed() {
    let world = World::start().await;
    let [alpha, beta] = two_tenants(&world).await;
    let mut owner = world.owner().await;
    let tables = tenant_tables(&mut owner).await;
    let mut app = world.connect(Role::App).await;
    for table in &tables {
        let read = format!(
            "SELECT to_jsonb(t)::text FROM {table} AS t WHERE tenant_id = $1::uuid LIMIT 1"
        );
        let foreign: String = sqlx::query_scalar(AssertSqlSafe(read))
            .bind(&beta.id)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        let mut tx = app.begin().await.unwrap();
        enter(&mut tx, &alpha).await;
        let touch = format!("UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = $1::uuid");
        assert_eq!(affected(&mut tx, touch, &beta).await, 0, "{table}");
        let delete = format!("DELETE FROM {table} WHERE tenant_id = $1::uuid");
        assert_eq!(affected(&mut tx, delete, &beta).await, 0, "{table}");
        let insert = format!(
            "INSERT INTO {table} OVERRIDING USER VALUE SELECT * FROM jsonb_populate_record(NULL::{table}, $1::jsonb)"
        );
        refused_by_policy(&mut tx, insert, &[&foreign]).await;
        let give_away =
            format!("UPDATE {table} SET tenant_id = $2::uuid WHERE tenant_id = $1::uuid");
        refused_by_policy(&mut tx, give_away, &[&alpha.id, &beta.id]).await;
        tx.rollback().await.unwrap();
    }
    for table in &tables {
        let (kept, _) = in_sight(&mut owner, table, &beta).await;
        assert!(kept > 0, "{table} still has the other tenant's rows");
    }
}

#[tokio::test]
async fn the_application_can_t_leave_its_walls() {
    let world = World::start().await;
    let mut app = world.connect(Role::App).await;
    for escape in [
        "SET ROLE registry_platform",
        "SET ROLE registry_owner",
        "SET SESSION AUTHORIZATION registry_platform",
        "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON tenants",
        "CREATE POLICY open ON tenants USING (true)",
        "TRUNCATE tenants",
        "CREATE TABLE registry.mine (id int)",
        "CREATE FUNCTION registry.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT registry.protect_tenant_table('registry.projects')",
        "ALTER ROLE registry_app BYPASSRLS",
    ] {
        let outcome = sqlx::raw_sql(escape).execute(&mut app).await;
        assert!(outcome.is_err(), "{escape}");
    }
    // With row security off, a query that a policy would filter is an error and not a leak.
    let unfiltered = "SET row_security = off; SELECT count(*) FROM tenants";
    assert!(sqlx::raw_sql(unfiltered).execute(&mut app).await.is_err());
}
