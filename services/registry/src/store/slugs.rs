//! Which tenant has which slug, now and before.

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;

/// Takes a slug for a tenant; `false` where another tenant has it or had it. Waits for a transaction that is just taking
/// the same, so that of any number at once exactly one succeeds. A slug that this tenant freed before is its own again.
#[tracing::instrument(name = "slugs.take", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn take(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: &str,
    slug: &str,
) -> Result<bool, Error> {
    let taken = sqlx::query!(
        "INSERT INTO slugs (tenant_id, project, slug) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        tenant.uuid(),
        project,
        slug,
    )
    .execute(&mut *conn)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(true);
    }
    let own_again = sqlx::query!(
        "UPDATE slugs SET freed_at = NULL WHERE tenant_id = $1 AND project = $2 AND slug = $3",
        tenant.uuid(),
        project,
        slug,
    )
    .execute(conn)
    .await?;
    Ok(own_again.rows_affected() == 1)
}

/// Puts a tenant's slug into quarantine.
#[tracing::instrument(name = "slugs.free", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn free(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: &str,
    slug: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE slugs SET freed_at = clock_timestamp() WHERE tenant_id = $1 AND project = $2 AND slug = $3",
        tenant.uuid(),
        project,
        slug,
    )
    .execute(conn)
    .await?;
    Ok(())
}
