//! How much keys are used: counts of all tenants at once, in the order of their rows, so that two replicas never wait for
//! each other in a circle.

use tenantry_core::{ApiKeyId, TenantId};
use tenantry_store::PlatformTx;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::error::Error;
use crate::uses::Count;

/// Adds counts to the hours of their last use. Keys that are gone are left out.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn add(
    tx: &mut PlatformTx,
    counts: &[((TenantId, ApiKeyId), Count)],
) -> Result<(), Error> {
    let tenants: Vec<Uuid> = counts.iter().map(|((id, _), _)| id.uuid()).collect();
    let keys: Vec<Uuid> = counts.iter().map(|((_, id), _)| id.uuid()).collect();
    let requests: Vec<i64> = counts.iter().map(|(_, count)| count.requests).collect();
    let last: Vec<PgTime> = counts.iter().map(|(_, count)| PgTime(count.last)).collect();
    sqlx::query!(
        "INSERT INTO api_key_uses (tenant_id, api_key_id, hour, requests, last_at)
         SELECT k.tenant_id, k.id, date_trunc('hour', c.last_at, 'UTC'), c.requests, c.last_at
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS c (tenant_id, id, requests, last_at)
         JOIN api_keys k ON k.tenant_id = c.tenant_id AND k.id = c.id
         ORDER BY 1, 2, 3
         ON CONFLICT (tenant_id, api_key_id, hour) DO UPDATE
         SET requests = api_key_uses.requests + excluded.requests, last_at = greatest(api_key_uses.last_at, excluded.last_at)",
        &tenants,
        &keys,
        &requests,
        &last as &[PgTime],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Removes hours that no count looks at any more, but for the newest of each key; returns how many.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(tx: &mut PlatformTx, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM api_key_uses WHERE (tenant_id, api_key_id, hour) IN (
             SELECT tenant_id, api_key_id, hour FROM api_key_uses AS old
             WHERE hour < clock_timestamp() - interval '26 hours'
               AND EXISTS (SELECT FROM api_key_uses AS new
                           WHERE new.tenant_id = old.tenant_id AND new.api_key_id = old.api_key_id AND new.hour > old.hour)
             LIMIT $1)",
        most,
    )
    .execute(tx.conn())
    .await?;
    Ok(gone.rows_affected())
}
