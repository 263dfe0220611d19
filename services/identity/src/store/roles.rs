//! Roles that tenants define: a tenant's rows.

use jiff::Timestamp;
use tenantry_core::RoleId;
use tenantry_store::TenantTx;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::permissions;
use crate::domain::role::{Grants, Own, Role, RoleKey};
use crate::error::Error;

struct Row {
    tenant_id: Uuid,
    key: String,
    id: Uuid,
    name: String,
    description: String,
    permissions: i64,
    inherited: i64,
    version: i64,
    created_at: PgTime,
    updated_at: PgTime,
}

impl From<Row> for Role {
    fn from(row: Row) -> Self {
        Self {
            tenant_id: row.tenant_id.into(),
            key: RoleKey::stored(row.key),
            name: row.name,
            description: row.description,
            grants: Grants {
                permissions: permissions(row.permissions),
                inherited: permissions(row.inherited),
            },
            own: Some(Own {
                id: row.id.into(),
                version: row.version,
                created_at: Timestamp::from(row.created_at),
                updated_at: Timestamp::from(row.updated_at),
            }),
        }
    }
}

/// Writes a new role and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(tx: &mut TenantTx, role: &Role, id: RoleId) -> Result<Role, Error> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO roles (tenant_id, key, id, name, description, permissions, inherited) VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at",
        role.tenant_id.uuid(),
        role.key.as_str(),
        id.uuid(),
        role.name,
        role.description,
        role.grants.permissions.bits().cast_signed(),
        role.grants.inherited.bits().cast_signed(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(row.into())
}

/// How many there are in the transaction's tenant. Whoever asks at the same time waits for the transaction's end, so that
/// what is decided by the number holds.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_count(tx: &mut TenantTx) -> Result<i64, Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('roles of ' || $1::text, 0)) AS locked",
        tenant.to_string()
    )
    .fetch_one(tx.conn())
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM roles WHERE tenant_id = $1"#,
        tenant
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// All of the transaction's tenant, by key: a bounded number.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn all(tx: &mut TenantTx) -> Result<Vec<Role>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query_as!(
        Row,
        "SELECT tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at
         FROM roles WHERE tenant_id = $1 ORDER BY key",
        tenant,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// Those of the transaction's tenant with these keys.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn of_keys(tx: &mut TenantTx, keys: &[&str]) -> Result<Vec<Role>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query_as!(
        Row,
        "SELECT tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at
         FROM roles WHERE tenant_id = $1 AND key = ANY ($2) ORDER BY key",
        tenant,
        keys as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// The same, which nobody changes or removes until the transaction's end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn keep(tx: &mut TenantTx, keys: &[&str]) -> Result<Vec<Role>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query_as!(
        Row,
        "SELECT tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at
         FROM roles WHERE tenant_id = $1 AND key = ANY ($2) ORDER BY key FOR SHARE",
        tenant,
        keys as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// One of the transaction's tenant, locked until its end: whoever gives it to a member waits.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, key: &RoleKey) -> Result<Option<Role>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query_as!(
        Row,
        "SELECT tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at
         FROM roles WHERE tenant_id = $1 AND key = $2 FOR UPDATE",
        tenant,
        key.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Role::from))
}

/// Writes a role's new state and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn update(tx: &mut TenantTx, role: &Role) -> Result<Role, Error> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE roles SET name = $3, description = $4, permissions = $5, inherited = $6, version = version + 1,
                updated_at = clock_timestamp()
         WHERE tenant_id = $1 AND key = $2
         RETURNING tenant_id, key, id, name, description, permissions, inherited, version, created_at, updated_at",
        role.tenant_id.uuid(),
        role.key.as_str(),
        role.name,
        role.description,
        role.grants.permissions.bits().cast_signed(),
        role.grants.inherited.bits().cast_signed(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(row.into())
}

/// Whether a member of the transaction's tenant, or an open invitation, has this role, or a provider gives it.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn is_held(tx: &mut TenantTx, key: &RoleKey) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    let held = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM memberships WHERE tenant_id = $1 AND $2 = ANY (roles))
                  OR EXISTS (SELECT FROM invitations WHERE tenant_id = $1 AND $2 = ANY (roles)
                             AND accepted_at IS NULL AND revoked_at IS NULL
                             AND expires_at > clock_timestamp())
                  OR EXISTS (SELECT FROM identity_providers
                             WHERE tenant_id = $1 AND $2 = ANY (just_in_time_roles)) AS "held!""#,
        tenant,
        key.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(held)
}

/// Removes a role.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(tx: &mut TenantTx, key: &RoleKey) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "DELETE FROM roles WHERE tenant_id = $1 AND key = $2",
        tenant,
        key.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
