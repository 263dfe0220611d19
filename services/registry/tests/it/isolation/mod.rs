//! No query reaches another tenant's rows, whatever it forgets: tried past the service, in SQL.

mod abandoned;
mod call_sites;
mod catalogue;
mod direct;
mod pooled;

use sqlx::PgConnection;
use tenantry_proto::registry::v1::{Tenant, UpdateTenantRequest};

use crate::support::{World, operator, rename};

/// Two tenants, each with a row in every tenant table.
async fn two_tenants(world: &World) -> [Tenant; 2] {
    let mut tenants = [world.tenant("Alpha").await, world.tenant("Beta").await];
    for tenant in &mut tenants {
        let update = UpdateTenantRequest {
            request_id: "first".to_owned(),
            ..rename(tenant, "Renamed")
        };
        let updated = world.tenants(&operator()).update_tenant(update).await;
        *tenant = updated.unwrap().into_inner();
        sqlx::query(
            "INSERT INTO legal_holds (tenant_id, hold_id, holder, reason, placed_by, placed_at)
             VALUES ($1::uuid, gen_random_uuid(), 'Tax office', 'audit', '{}', clock_timestamp())",
        )
        .bind(&tenant.id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO domains (tenant_id, name, id, status, token, created_at)
             VALUES ($1::uuid, 'app.example.com', gen_random_uuid(), 'pending', 'x', clock_timestamp())",
        )
        .bind(&tenant.id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
        // An import that never comes due, and a row of it.
        sqlx::query(
            "WITH started AS (
                 INSERT INTO tenant_imports (tenant_id, import_id, project, format, dry_run, state, row_count, created_count,
                     existing_count, refused_count, started_by, created_at, due_at, failures)
                 VALUES ($1::uuid, $1::uuid, 'default', 'csv', false, 'pending', 1, 0, 0, 0, '{}', clock_timestamp(),
                     'infinity', 0)
             )
             INSERT INTO tenant_import_rows (tenant_id, import_id, row_number, line, name, slug, external_id, draft, outcome)
             VALUES ($1::uuid, $1::uuid, 1, 2, 'Acme', '', '', '{}', 'pending')",
        )
        .bind(&tenant.id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
        // A stream that the log doesn't take.
        sqlx::query("INSERT INTO relay_held (tenant_id, from_n) VALUES ($1::uuid, 1)")
            .bind(&tenant.id)
            .execute(&mut world.owner().await)
            .await
            .unwrap();
        // A purge that never comes due.
        sqlx::query(
            "INSERT INTO purges (tenant_id, started_at, started_by, services, due_at, failures)
             VALUES ($1::uuid, clock_timestamp(), '{}', '[]', 'infinity', 0)",
        )
        .bind(&tenant.id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    }
    tenants
}

/// Every table with a tenant's rows in it, by the catalogue.
async fn tenant_tables(conn: &mut PgConnection) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'registry'::regnamespace AND relkind IN ('r', 'p') AND relrowsecurity ORDER BY 1",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    assert!(tables.len() >= 5, "{tables:?}");
    tables
}
