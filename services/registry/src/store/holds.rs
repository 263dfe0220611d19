//! Legal holds of a tenant.

use sqlx::PgConnection;
use tenantry_core::{LegalHoldId, Principal, TenantId};
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::hold::LegalHold;
use crate::domain::tenant::Tenant;

/// Who asked for the holds that a tenant is under, the first placed first; none where it is free. Read it with the tenant's
/// row locked: whoever places a hold locks that row too.
#[tracing::instrument(name = "holds.holders", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn holders(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<String>, Error> {
    let holds = list(conn, tenant).await?;
    Ok(holds.into_iter().map(|hold| hold.holder).collect())
}

/// The holds that stand on a tenant, the first placed first.
#[tracing::instrument(name = "holds.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<LegalHold>, Error> {
    sqlx::query!(
        r#"SELECT hold_id, holder, reason, placed_by, placed_at AS "placed_at: PgTime" FROM legal_holds
           WHERE tenant_id = $1 ORDER BY placed_at, hold_id"#,
        tenant.uuid()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        Ok(LegalHold {
            id: row.hold_id.into(),
            tenant_id: tenant,
            holder: row.holder,
            reason: row.reason,
            placed_by: serde_json::from_value::<Principal>(row.placed_by)?,
            placed_at: row.placed_at.into(),
        })
    })
    .collect()
}

/// Writes a new hold.
#[tracing::instrument(name = "holds.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, hold: &LegalHold) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO legal_holds (tenant_id, hold_id, holder, reason, placed_by, placed_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        hold.tenant_id.uuid(),
        hold.id.uuid(),
        hold.holder,
        hold.reason,
        serde_json::to_value(&hold.placed_by)?,
        PgTime(hold.placed_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes of a tenant that this transaction holds locked whether a hold stands on it.
#[tracing::instrument(name = "holds.mark", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn mark(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE tenants SET held = $2, version = $3, updated_at = $4 WHERE tenant_id = $1",
        tenant.id.uuid(),
        tenant.held,
        tenant.version,
        PgTime(tenant.updated_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a hold.
#[tracing::instrument(name = "holds.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: LegalHoldId,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM legal_holds WHERE tenant_id = $1 AND hold_id = $2",
        tenant.uuid(),
        id.uuid()
    )
    .execute(conn)
    .await?;
    Ok(())
}
