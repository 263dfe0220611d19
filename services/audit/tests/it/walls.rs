//! No query reaches another tenant's rows, whatever it forgets: tried past the service, in SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::walls::without_a_tenant;

use crate::support::World;

/// Tables without a tenant: the ends of what was appended, fed and signed are one row each, the fleet's log is of all, and
/// migrations keep their place.
const WITHOUT_A_TENANT: &[&str] = &[
    "feed_head",
    "fleet_entries",
    "fleet_log",
    "fleet_tiles",
    "foundation_migrations",
    "log_head",
    "relay",
    "service_migrations",
];
/// What the application sees of its tenant and changes.
const OF_A_TENANT: &[&str] = &["events", "logs", "sources"];
/// What it only sees.
const SIGNED: &[&str] = &["tiles", "trees"];
/// What runs as the schema's owner: it makes empty partitions, and drops those that have had their time.
const AS_OWNER: &[&str] = &["drop_partition", "ensure_partition", "ensure_partitions"];

async fn connect(world: &World, role: Role) -> PgConnection {
    let url = world.database.url("audit", role);
    PgConnection::connect(url.as_str()).await.unwrap()
}

async fn enter(conn: &mut PgConnection, tenant: TenantId) {
    sqlx::query("SELECT set_config('tenantry.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(conn)
        .await
        .unwrap();
}

/// Whether this role may do this, tried and taken back.
async fn may(conn: &mut PgConnection, statement: &str) -> bool {
    let mut tx = conn.begin().await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *tx)
        .await;
    tx.rollback().await.unwrap();
    match done {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|e| e.code()).unwrap();
            assert_eq!(code, "42501", "{statement}: {error}");
            false
        }
    }
}

#[tokio::test]
async fn every_table_is_behind_the_wall_or_in_the_reviewed_list() {
    let world = World::start().await;
    let mut owner = connect(&world, Role::Owner).await;
    let open = without_a_tenant(&mut owner, "audit").await;
    assert_eq!(open.unwrap(), WITHOUT_A_TENANT);
    let as_owner: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('v', 'm')
         UNION ALL
         SELECT proname::text FROM pg_proc WHERE pronamespace = 'audit'::regnamespace AND prosecdef
         ORDER BY 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(as_owner, AS_OWNER);
}

#[tokio::test]
async fn a_query_that_forgets_the_tenant_sees_and_changes_nothing() {
    let world = World::start().await;
    let tenants = ["alpha", "beta"].map(|slug| world.registry.add(slug, 365, None));
    for tenant in tenants {
        world.fill(tenant, 1, 3).await;
        world.all_signed(tenant).await;
    }
    let [alpha, beta] = tenants;
    let mut app = connect(&world, Role::App).await;
    for table in OF_A_TENANT.iter().chain(SIGNED) {
        let all = format!("SELECT count(*) FROM {table}");
        let of = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        let forgot: i64 = sqlx::query_scalar(AssertSqlSafe(all.clone()))
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!(forgot, 0, "{table}");
        let mut tx = app.begin().await.unwrap();
        enter(&mut tx, alpha).await;
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
        tx.rollback().await.unwrap();
    }
    for table in OF_A_TENANT {
        let mut tx = app.begin().await.unwrap();
        enter(&mut tx, alpha).await;
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
async fn what_is_signed_is_changed_by_whoever_signs_alone_and_removed_by_nobody() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    world.all_signed(tenant).await;
    let mut app = connect(&world, Role::App).await;
    for statement in [
        "DELETE FROM trees",
        "UPDATE trees SET size = 0",
        "INSERT INTO trees SELECT * FROM trees",
        "DELETE FROM tiles",
        "UPDATE tiles SET hashes = ''",
        "INSERT INTO tiles SELECT * FROM tiles",
        "UPDATE fleet_log SET size = 0",
        "DELETE FROM fleet_tiles",
        "UPDATE fleet_tiles SET hashes = ''",
        "SELECT FROM fleet_entries",
        "INSERT INTO fleet_entries VALUES (1000, '')",
    ] {
        assert!(!may(&mut app, statement).await, "{statement}");
    }
    assert!(may(&mut app, "SELECT FROM trees, tiles, fleet_log, fleet_tiles").await);
    let mut platform = connect(&world, Role::Platform).await;
    for statement in [
        "DELETE FROM trees",
        "DELETE FROM tiles",
        "DELETE FROM fleet_log",
        "DELETE FROM fleet_tiles",
        "DELETE FROM fleet_entries",
        "UPDATE fleet_entries SET entry = ''",
    ] {
        assert!(!may(&mut platform, statement).await, "{statement}");
    }
    assert!(may(&mut platform, "UPDATE tiles SET hashes = hashes").await);
}
