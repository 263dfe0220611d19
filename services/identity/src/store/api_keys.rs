//! API keys: a tenant's rows, or the platform's own in the scope of none.

use tenantry_core::{ApiKeyId, ServiceAccountId};
use tenantry_store::TenantTx;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::permissions;
use crate::domain::api_key::{ApiKey, Rate};
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
        "INSERT INTO api_keys (tenant_id, id, name, prefix, hash, permissions, created_by, expires_at, service_account_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING created_at",
        key.tenant_id.uuid(),
        key.id.uuid(),
        key.name,
        key.prefix,
        &hash[..],
        key.permissions.bits().cast_signed(),
        created_by,
        key.expires_at.map(PgTime) as Option<PgTime>,
        key.service_account.map(ServiceAccountId::uuid),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(ApiKey {
        created_at: created_at.into(),
        ..key.clone()
    })
}

/// One page of the transaction's scope, newest first, and one more where there is one.
pub(crate) async fn page(
    tx: &mut TenantTx,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, Error> {
    let newest = before.map_or(Uuid::max(), |id| {
        Uuid::from_u128(id.uuid().as_u128().saturating_sub(1))
    });
    between(tx, Uuid::nil(), newest, limit).await
}

/// A key of the transaction's scope.
pub(crate) async fn find(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, Error> {
    Ok(between(tx, id.uuid(), id.uuid(), 1).await?.pop())
}

/// A key of the transaction's scope, locked until its end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, Error> {
    let tenant = tx.scope().uuid();
    sqlx::query_scalar!(
        "SELECT id FROM api_keys WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    find(tx, id).await
}

/// Keys by id, newest first. An hour's requests count by the share of it that lies in the last hour or day.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
async fn between(
    tx: &mut TenantTx,
    oldest: Uuid,
    newest: Uuid,
    limit: i64,
) -> Result<Vec<ApiKey>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query!(
        r#"SELECT k.tenant_id, k.id, k.name, k.prefix, k.permissions, k.created_at, k.expires_at, k.revoked_at,
                  k.rotated_at, k.previous_until, k.service_account_id, u.last_at, u.last_hour AS "last_hour!", u.last_day AS "last_day!"
           FROM api_keys k
           CROSS JOIN LATERAL (
               SELECT max(last_at) AS last_at,
                      least(coalesce(round(sum(requests * least(1, greatest(0, ends_in + 1)))), 0), 2147483647)::integer AS last_hour,
                      least(coalesce(round(sum(requests * least(1, greatest(0, ends_in + 24)))), 0), 2147483647)::integer AS last_day
               FROM (SELECT last_at, requests, extract(epoch FROM hour + interval '1 hour' - clock_timestamp()) / 3600 AS ends_in
                     FROM api_key_uses WHERE tenant_id = k.tenant_id AND api_key_id = k.id) AS hours
           ) AS u
           WHERE k.tenant_id = $1 AND k.id BETWEEN $2 AND $3 ORDER BY k.id DESC LIMIT $4"#,
        tenant,
        oldest,
        newest,
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
            rotated_at: row.rotated_at.map(Into::into),
            previous_until: row.previous_until.map(Into::into),
            rate: Rate {
                last_used_at: row.last_at.map(Into::into),
                last_hour: row.last_hour,
                last_day: row.last_day,
            },
            service_account: row.service_account_id.map(Into::into),
        })
        .collect())
}

/// Gives a key a new secret and returns when. The one before goes on until then; any before that ends.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn rotate(
    tx: &mut TenantTx,
    id: ApiKeyId,
    hash: &[u8; 32],
    previous_until: jiff::Timestamp,
) -> Result<jiff::Timestamp, Error> {
    let tenant = tx.scope().uuid();
    let at = sqlx::query_scalar!(
        r#"UPDATE api_keys SET hash = $3, previous_hash = hash, previous_until = $4, rotated_at = clock_timestamp()
           WHERE tenant_id = $1 AND id = $2 RETURNING rotated_at AS "at!""#,
        tenant,
        id.uuid(),
        &hash[..],
        PgTime(previous_until) as PgTime,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(at.into())
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

/// How many keys of the scope were neither revoked nor have expired.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn count_usable(tx: &mut TenantTx) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM api_keys
           WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"#,
        tenant,
    )
    .fetch_one(tx.conn())
    .await?)
}
