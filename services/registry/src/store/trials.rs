//! Trials whose time has come.

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;

use crate::domain::tenant::Tenant;

/// Trials whose time has passed, the longest past first.
#[tracing::instrument(name = "trials.ended", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn ended(conn: &mut PgConnection, most: i64) -> Result<Vec<TenantId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT tenant_id FROM tenants WHERE status = 'trial' AND trial_ends_at <= clock_timestamp()
         ORDER BY trial_ends_at LIMIT $1",
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// How long it is until the next trial ends, in milliseconds; none where no trial runs.
#[tracing::instrument(name = "trials.next_end", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn next_end(conn: &mut PgConnection) -> Result<Option<i64>, Error> {
    let left = sqlx::query_scalar!(
        "SELECT ceil(extract(epoch FROM min(trial_ends_at) - clock_timestamp()) * 1000)::bigint
         FROM tenants WHERE status = 'trial' AND trial_ends_at IS NOT NULL",
    )
    .fetch_one(conn)
    .await?;
    Ok(left)
}

/// The tenant, locked, if its trial's time has passed; none where another replica is just ending it, or has.
#[tracing::instrument(name = "trials.lock_ended", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock_ended(
    conn: &mut PgConnection,
    id: TenantId,
) -> Result<Option<Tenant>, Error> {
    select_tenants!(
        "WHERE tenant_id = $1 AND status = 'trial' AND trial_ends_at <= clock_timestamp()
         FOR UPDATE SKIP LOCKED",
        id.uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(Tenant::try_from)
    .transpose()
}
