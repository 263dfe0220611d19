//! The end of all sessions that a provider began. Sessions are of no tenant.

use sqlx::PgConnection;
use tenantry_core::{IdentityProviderId, SessionId, TenantId, UserId};

use crate::error::Error;

/// A session that ended with its provider.
pub(crate) struct Ended {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    /// The tenant that the session was for.
    pub(crate) tenant: Option<TenantId>,
}

/// Makes every session void that the provider began until now.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn begin(
    conn: &mut PgConnection,
    provider: IdentityProviderId,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO provider_ends (provider_id, at) VALUES ($1, clock_timestamp())
         ON CONFLICT (provider_id) DO UPDATE SET at = excluded.at",
        provider.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A provider whose sessions have rows to follow, locked until the transaction's end, if no other replica is at it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn next(conn: &mut PgConnection) -> Result<Option<IdentityProviderId>, Error> {
    let provider = sqlx::query_scalar!(
        "SELECT provider_id FROM provider_ends ORDER BY at LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    .fetch_optional(conn)
    .await?;
    Ok(provider.map(IdentityProviderId::from))
}

/// Ends the rows of some of these sessions. Where none is left to end, the provider's end is over.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn batch(
    conn: &mut PgConnection,
    provider: IdentityProviderId,
    most: i64,
) -> Result<Vec<Ended>, Error> {
    let rows = sqlx::query!(
        "UPDATE sessions SET ended_at = clock_timestamp()
         WHERE ended_at IS NULL AND id IN (
             SELECT s.id FROM sessions s JOIN provider_ends e ON e.provider_id = s.provider_id
             WHERE s.provider_id = $1 AND s.ended_at IS NULL AND s.created_at <= e.at ORDER BY s.id LIMIT $2)
         RETURNING id, user_id, tenant_id",
        provider.uuid(),
        most,
    )
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        sqlx::query!(
            "DELETE FROM provider_ends WHERE provider_id = $1",
            provider.uuid()
        )
        .execute(conn)
        .await?;
    }
    Ok(rows
        .into_iter()
        .map(|row| Ended {
            session: row.id.into(),
            user: row.user_id.into(),
            tenant: row.tenant_id.map(TenantId::from),
        })
        .collect())
}
