//! Memberships: a tenant's rows.

use tenantry_core::{SeatId, TenantId, UserId};
use tenantry_store::time::PgTime;
use tenantry_store::{PlatformTx, TenantTx};
use uuid::Uuid;

use super::roles;
use crate::domain::member::{Member, UserMembership};
use crate::domain::role::RoleKey;
use crate::error::Error;

/// A membership as it stands in its row.
pub(super) struct Row {
    pub(super) tenant_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) created_at: PgTime,
    pub(super) username: Option<String>,
}

impl From<Row> for Member {
    fn from(row: Row) -> Self {
        Self {
            tenant_id: row.tenant_id.into(),
            user_id: row.user_id.into(),
            email: row.email,
            name: row.name,
            roles: roles(row.roles),
            created_at: row.created_at.into(),
            username: row.username,
        }
    }
}

/// Writes a new membership, which takes this place, and returns it as it stands.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    tx: &mut TenantTx,
    member: &Member,
    seat: SeatId,
) -> Result<Member, Error> {
    let roles: Vec<_> = member.roles.iter().map(RoleKey::as_str).collect();
    let created_at = sqlx::query_scalar!(
        "INSERT INTO memberships (tenant_id, user_id, email, name, roles, seat_id) VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at",
        member.tenant_id.uuid(),
        member.user_id.uuid(),
        member.email,
        member.name,
        &roles as &[&str],
        seat.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Member {
        created_at: created_at.into(),
        ..member.clone()
    })
}

/// Whether the address is that of a member of the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn is_member(tx: &mut TenantTx, email: &str) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM memberships WHERE tenant_id = $1 AND email = $2) AS "exists!""#,
        tenant,
        email,
    )
    .fetch_one(tx.conn())
    .await?)
}

/// One page of the transaction's tenant, by address, and one more where there is one. Who has no address comes first.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    tx: &mut TenantTx,
    (after_email, after_user): (&str, UserId),
    limit: i64,
) -> Result<Vec<Member>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query_as!(
        Row,
        "SELECT tenant_id, user_id, email, name, roles, created_at, username FROM memberships
         WHERE tenant_id = $1 AND (email, user_id) > ($2, $3) ORDER BY email, user_id LIMIT $4",
        tenant,
        after_email,
        after_user.uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Member::from).collect())
}

/// The membership of a user in the transaction's tenant, locked until the transaction's end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(tx: &mut TenantTx, user: UserId) -> Result<Option<Member>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query_as!(
        Row,
        "SELECT tenant_id, user_id, email, name, roles, created_at, username FROM memberships
         WHERE tenant_id = $1 AND user_id = $2 FOR UPDATE",
        tenant,
        user.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Member::from))
}

/// The membership of a user in the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn find(tx: &mut TenantTx, user: UserId) -> Result<Option<Member>, Error> {
    let tenant = tx.scope().uuid();
    let row = sqlx::query_as!(
        Row,
        "SELECT tenant_id, user_id, email, name, roles, created_at, username FROM memberships
         WHERE tenant_id = $1 AND user_id = $2",
        tenant,
        user.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Member::from))
}

/// Writes how the tenant knows a member.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn update(tx: &mut TenantTx, member: &Member) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "UPDATE memberships SET name = $3, username = $4 WHERE tenant_id = $1 AND user_id = $2",
        tenant,
        member.user_id.uuid(),
        member.name,
        member.username,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The owners of the transaction's tenant, locked until its end: whoever removes one at the same
/// time waits here and then counts anew.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock_owners(tx: &mut TenantTx) -> Result<Vec<UserId>, Error> {
    let tenant = tx.scope().uuid();
    let rows = sqlx::query_scalar!(
        "SELECT user_id FROM memberships WHERE tenant_id = $1 AND 'owner' = ANY (roles) ORDER BY user_id FOR UPDATE",
        tenant,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(UserId::from).collect())
}

/// The roles of a member of the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn roles_of(
    tx: &mut TenantTx,
    user: UserId,
) -> Result<Option<Vec<RoleKey>>, Error> {
    let tenant = tx.scope().uuid();
    let words = sqlx::query_scalar!(
        "SELECT roles FROM memberships WHERE tenant_id = $1 AND user_id = $2",
        tenant,
        user.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(words.map(roles))
}

/// Writes a member's new roles.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn set_roles(tx: &mut TenantTx, member: &Member) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    let roles: Vec<_> = member.roles.iter().map(RoleKey::as_str).collect();
    sqlx::query!(
        "UPDATE memberships SET roles = $3 WHERE tenant_id = $1 AND user_id = $2",
        tenant,
        member.user_id.uuid(),
        &roles as &[&str],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends a membership. Of who has no address it is kept that people ended it: the next sign-in makes none again.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn delete(tx: &mut TenantTx, user: UserId) -> Result<(), Error> {
    let tenant = tx.scope().uuid();
    sqlx::query!(
        "WITH gone AS (DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2 RETURNING tenant_id, user_id, email)
         INSERT INTO removed_members (tenant_id, user_id) SELECT tenant_id, user_id FROM gone WHERE email = ''
         ON CONFLICT (tenant_id, user_id) DO NOTHING",
        tenant,
        user.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether people removed the user, one without an address, from the transaction's tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn was_removed(tx: &mut TenantTx, user: UserId) -> Result<bool, Error> {
    let tenant = tx.scope().uuid();
    let removed = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM removed_members WHERE tenant_id = $1 AND user_id = $2) AS "removed!""#,
        tenant,
        user.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(removed)
}

/// One page of a user's memberships across all tenants, by tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn of_user(
    tx: &mut PlatformTx,
    user: UserId,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<UserMembership>, Error> {
    let rows = sqlx::query!(
        "SELECT tenant_id, roles, created_at FROM memberships
         WHERE user_id = $1 AND tenant_id > $2 ORDER BY tenant_id LIMIT $3",
        user.uuid(),
        after.unwrap_or(TenantId::PLATFORM).uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| UserMembership {
            tenant_id: row.tenant_id.into(),
            roles: roles(row.roles),
            created_at: row.created_at.into(),
        })
        .collect())
}

/// Some tenants of a user, across all: those of these, and the newest.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn tenants_of(
    tx: &mut PlatformTx,
    user: UserId,
    first: &[Uuid],
    most: i64,
) -> Result<Vec<TenantId>, Error> {
    let rows = sqlx::query_scalar!(
        r#"
        SELECT tenant_id AS "tenant_id!" FROM (
            (SELECT tenant_id FROM memberships WHERE user_id = $1 AND tenant_id = ANY($2))
            UNION ALL
            (SELECT tenant_id FROM memberships WHERE user_id = $1 ORDER BY tenant_id DESC LIMIT $3)
        ) AS m
        "#,
        user.uuid(),
        first,
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(TenantId::from).collect())
}
