//! Legal holds of a tenant.

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;

/// Who asked for the holds that a tenant is under, the first placed first; none where it is free. Read it with the tenant's
/// row locked: whoever places a hold locks that row too.
#[tracing::instrument(name = "holds.holders", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn holders(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT holder FROM legal_holds WHERE tenant_id = $1 ORDER BY placed_at, hold_id",
        tenant.uuid()
    )
    .fetch_all(conn)
    .await?)
}
