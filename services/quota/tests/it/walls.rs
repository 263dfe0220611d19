//! No query reaches another tenant's rows, whatever it forgets: tried past the service, in SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_proto::quota::v1::CreateReservationRequest;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::walls::without_a_tenant;

use crate::support::World;

/// Tables without a tenant: the end of what is fed is one row, and migrations keep their place.
const WITHOUT_A_TENANT: &[&str] = &[
    "feed_head",
    "foundation_migrations",
    "relay",
    "service_migrations",
];
const OF_A_TENANT: &[&str] = &[
    "accounts",
    "limit_overrides",
    "reservations",
    "usage_log",
    "usage_series",
];

async fn connect(world: &World, role: Role) -> PgConnection {
    let url = world.database.url("quota", role);
    PgConnection::connect(url.as_str()).await.unwrap()
}

#[tokio::test]
async fn every_table_is_behind_the_wall_or_in_the_reviewed_list() {
    let world = World::start().await;
    let mut owner = connect(&world, Role::Owner).await;
    let open = without_a_tenant(&mut owner, "quota").await;
    assert_eq!(open.unwrap(), WITHOUT_A_TENANT);
}

#[tokio::test]
async fn a_query_that_forgets_the_tenant_sees_and_changes_nothing() {
    let world = World::start().await;
    let tenants = [world.tenant(), world.tenant()];
    for tenant in tenants {
        world.set(tenant, "api_calls", 10, "month").await;
        let mut reservations = world.reservations(&world.program(tenant));
        let wish = CreateReservationRequest {
            resource_type: "api_calls".to_owned(),
            ..Default::default()
        };
        reservations.create_reservation(wish).await.unwrap();
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
        assert!(seen > 0, "{table}");
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
