//! What each log says of how it is kept, and how far it is erased.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::retention::{Class, Kept};

/// How these tenants' logs are kept; one that isn't there yet is left out.
#[tracing::instrument(name = "logs.kept", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn kept(
    conn: &mut PgConnection,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, Kept>, Error> {
    let ids: Vec<_> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT tenant_id, class, purged_at IS NOT NULL AS "purged!", waiting_since AS "unsigned_since: PgTime"
           FROM logs WHERE tenant_id = ANY($1)"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let kept = Kept {
            class: row.class.and_then(Class::of_number),
            purged: row.purged,
            unsigned_since: row.unsigned_since.map(Timestamp::from),
        };
        (row.tenant_id.into(), kept)
    });
    Ok(rows.collect())
}

/// Writes down that these logs had events of a longer class than before. The logs are there.
#[tracing::instrument(name = "logs.lengthen", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lengthen(
    conn: &mut PgConnection,
    longer: &[(TenantId, Class)],
) -> Result<(), Error> {
    if longer.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = longer.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let classes: Vec<_> = longer.iter().map(|(_, class)| class.number()).collect();
    sqlx::query!(
        "UPDATE logs SET class = greatest(logs.class, l.class)
         FROM unnest($1::uuid[], $2::smallint[]) AS l (tenant_id, class) WHERE logs.tenant_id = l.tenant_id",
        &ids,
        &classes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The place behind the last event of a log that has gone.
#[tracing::instrument(name = "logs.gone_to", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn gone_to(conn: &mut PgConnection, tenant: TenantId) -> Result<i64, Error> {
    let gone = sqlx::query_scalar!(
        "SELECT gone_to FROM gone WHERE tenant_id = $1",
        tenant.uuid()
    );
    Ok(gone.fetch_optional(conn).await?.unwrap_or(0))
}

/// How far a purged log is erased: of the events before this place no personal value is left. None where it isn't purged.
#[tracing::instrument(name = "logs.erased", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn erased(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<i64>, Error> {
    let erased = sqlx::query_scalar!(
        "SELECT erased_to FROM logs WHERE tenant_id = $1 AND purged_at IS NOT NULL",
        tenant.uuid(),
    );
    Ok(erased.fetch_optional(conn).await?)
}

/// Notes that a log takes no personal values any more. Whoever appends holds the lock of the head, and so must who calls this.
#[tracing::instrument(name = "logs.close", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn close(conn: &mut PgConnection, tenant: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO logs (tenant_id, size, purged_at) VALUES ($1, 0, clock_timestamp())
         ON CONFLICT (tenant_id) DO UPDATE SET purged_at = coalesce(logs.purged_at, excluded.purged_at)",
        tenant.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes how far a log is erased.
#[tracing::instrument(name = "logs.erased_to", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn erased_to(
    conn: &mut PgConnection,
    tenant: TenantId,
    index: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE logs SET erased_to = greatest(erased_to, $2) WHERE tenant_id = $1",
        tenant.uuid(),
        index
    )
    .execute(conn)
    .await?;
    Ok(())
}
