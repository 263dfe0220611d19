//! Service accounts: a tenant's rows.

use tenantry_core::ServiceAccountId;
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::permissions;
use crate::domain::service_account::ServiceAccount;
use crate::error::Error;

/// How many accounts the scope has. Whoever asks second waits for the first one's transaction, so that two don't pass the
/// bound together.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_count(tx: &mut TenantTx) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended('service_accounts', 0) # hashtextextended($1, 0)) IS NULL AS locked"#,
        tenant.to_string(),
    )
    .fetch_one(tx.conn())
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM service_accounts WHERE tenant_id = $1"#,
        tenant
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// Writes a new account and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    account: &ServiceAccount,
    created_by: &str,
) -> Result<ServiceAccount, Error> {
    let row = sqlx::query!(
        "INSERT INTO service_accounts (tenant_id, id, name, permissions, created_by)
         VALUES ($1, $2, $3, $4, $5) RETURNING created_at, updated_at",
        account.tenant_id.uuid(),
        account.id.uuid(),
        account.name,
        account.permissions.bits().cast_signed(),
        created_by,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(ServiceAccount {
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
        ..account.clone()
    })
}

/// One page of the scope, newest first, and one more where there is one.
pub(crate) async fn page(
    tx: &mut TenantTx,
    before: Option<ServiceAccountId>,
    limit: i64,
) -> Result<Vec<ServiceAccount>, Error> {
    let newest = before.map_or(Uuid::max(), |id| {
        Uuid::from_u128(id.uuid().as_u128().saturating_sub(1))
    });
    between(tx, Uuid::nil(), newest, limit).await
}

/// An account of the scope.
pub(crate) async fn find(
    tx: &mut TenantTx,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, Error> {
    Ok(between(tx, id.uuid(), id.uuid(), 1).await?.pop())
}

/// An account of the scope, locked until the transaction's end: a new key and the account's end come one after the other.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(
    tx: &mut TenantTx,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, Error> {
    let tenant = tx.scope().uuid();
    sqlx::query_scalar!(
        "SELECT id FROM service_accounts WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    find(tx, id).await
}

/// Accounts by id, newest first.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
async fn between(
    tx: &mut TenantTx,
    oldest: Uuid,
    newest: Uuid,
    limit: i64,
) -> Result<Vec<ServiceAccount>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query!(
        "SELECT tenant_id, id, name, permissions, disabled, created_at, updated_at FROM service_accounts
         WHERE tenant_id = $1 AND id BETWEEN $2 AND $3 ORDER BY id DESC LIMIT $4",
        tenant,
        oldest,
        newest,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ServiceAccount {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            name: row.name,
            permissions: permissions(row.permissions),
            disabled: row.disabled,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
        .collect())
}

/// Writes an account's changes and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn update(
    tx: &mut TenantTx,
    account: &ServiceAccount,
) -> Result<ServiceAccount, Error> {
    let tenant = tx.scope().uuid();
    let updated_at = sqlx::query_scalar!(
        "UPDATE service_accounts SET name = $3, permissions = $4, disabled = $5, updated_at = clock_timestamp()
         WHERE tenant_id = $1 AND id = $2 RETURNING updated_at",
        tenant,
        account.id.uuid(),
        account.name,
        account.permissions.bits().cast_signed(),
        account.disabled,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(ServiceAccount {
        updated_at: updated_at.into(),
        ..account.clone()
    })
}

/// Removes an account and revokes its keys.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(tx: &mut TenantTx, id: ServiceAccountId) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE api_keys SET revoked_at = clock_timestamp()
         WHERE tenant_id = $1 AND service_account_id = $2 AND revoked_at IS NULL",
        tenant,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "DELETE FROM service_accounts WHERE tenant_id = $1 AND id = $2",
        tenant,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
