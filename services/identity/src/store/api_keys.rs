//! API keys: a tenant's rows, or the platform's own in the scope of none.

use tenantry_core::ApiKeyId;
use tenantry_store::TenantTx;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::permissions;
use crate::domain::api_key::ApiKey;
use crate::error::Error;

/// Writes a new key in the transaction's scope and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    key: &ApiKey,
    hash: &[u8; 32],
    created_by: &str,
) -> Result<ApiKey, Error> {
    let created_at = sqlx::query_scalar!(
        "INSERT INTO api_keys (tenant_id, id, name, prefix, hash, permissions, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING created_at",
        key.tenant_id.uuid(),
        key.id.uuid(),
        key.name,
        key.prefix,
        &hash[..],
        key.permissions.bits().cast_signed(),
        created_by,
        key.expires_at.map(PgTime) as Option<PgTime>,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(ApiKey {
        created_at: created_at.into(),
        ..key.clone()
    })
}

/// One page of the transaction's scope, newest first, and one more where there is one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    tx: &mut TenantTx,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query!(
        "SELECT tenant_id, id, name, prefix, permissions, created_at, expires_at, revoked_at FROM api_keys
         WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        tenant,
        before.map_or(Uuid::max(), ApiKeyId::uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ApiKey {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            name: row.name,
            prefix: row.prefix,
            permissions: permissions(row.permissions),
            created_at: row.created_at.into(),
            expires_at: row.expires_at.map(Into::into),
            revoked_at: row.revoked_at.map(Into::into),
        })
        .collect())
}

/// A key of the transaction's scope, locked until its end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query!(
        "SELECT tenant_id, id, name, prefix, permissions, created_at, expires_at, revoked_at FROM api_keys
         WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| ApiKey {
        id: row.id.into(),
        tenant_id: row.tenant_id.into(),
        name: row.name,
        prefix: row.prefix,
        permissions: permissions(row.permissions),
        created_at: row.created_at.into(),
        expires_at: row.expires_at.map(Into::into),
        revoked_at: row.revoked_at.map(Into::into),
    }))
}

/// Revokes a key and returns when.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn revoke(tx: &mut TenantTx, id: ApiKeyId) -> Result<jiff::Timestamp, Error> {
    let tenant = tx.scope().uuid();
    let at = sqlx::query_scalar!(
        r#"UPDATE api_keys SET revoked_at = clock_timestamp() WHERE tenant_id = $1 AND id = $2 RETURNING revoked_at AS "at!""#,
        tenant,
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(at.into())
}
