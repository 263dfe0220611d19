//! Who holds a credential: read before any tenant is known, each in one statement.

use tenantry_core::{ApiKeyId, SessionId, TenantId};
use tenantry_store::PlatformTx;
use uuid::Uuid;

use super::{permissions, roles};
use crate::domain::principal::{Key, Membership, SignedIn};
use crate::error::Error;

/// The user of a session, with all memberships that its password reaches.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn signed_in(
    tx: &mut PlatformTx,
    session: SessionId,
) -> Result<Option<SignedIn>, Error> {
    let row = sqlx::query!(
        r#"SELECT s.id, s.user_id, s.tenant_id, s.expires_at, s.ended_at IS NOT NULL AS "ended!", u.email,
                  CASE WHEN u.password_of IS NULL THEN coalesce(o.permissions, 0) ELSE 0 END AS "platform!",
                  coalesce((SELECT jsonb_agg(jsonb_build_array(m.tenant_id, m.roles)) FROM memberships m
                            WHERE m.user_id = s.user_id
                              AND (u.password_of IS NULL OR m.tenant_id = u.password_of)), '[]') AS "memberships!: serde_json::Value"
           FROM sessions s JOIN users u ON u.id = s.user_id LEFT JOIN operators o ON o.user_id = s.user_id
           WHERE s.id = $1"#,
        session.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let memberships: Vec<(Uuid, Vec<String>)> =
        serde_json::from_value(row.memberships).map_err(tenantry_store::Error::Corrupt)?;
    Ok(Some(SignedIn {
        session: row.id.into(),
        user: row.user_id.into(),
        email: row.email,
        tenant: row.tenant_id.map(TenantId::from),
        expires_at: row.expires_at.into(),
        ended: row.ended,
        platform: permissions(row.platform),
        memberships: memberships
            .into_iter()
            .map(|(tenant, words)| Membership {
                tenant: tenant.into(),
                roles: roles(&words),
            })
            .collect(),
    }))
}

/// A key.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn key(tx: &mut PlatformTx, id: ApiKeyId) -> Result<Option<Key>, Error> {
    let row = sqlx::query!(
        r#"SELECT tenant_id, id, name, hash, permissions, expires_at, revoked_at IS NOT NULL AS "revoked!"
           FROM api_keys WHERE id = $1"#,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Key {
        id: row.id.into(),
        tenant: row.tenant_id.into(),
        name: row.name,
        hash: row.hash,
        permissions: permissions(row.permissions),
        expires_at: row.expires_at.map(Into::into),
        revoked: row.revoked,
    }))
}

/// The memberships of a user, across tenants, that its password reaches.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn memberships(
    tx: &mut PlatformTx,
    user: tenantry_core::UserId,
) -> Result<Vec<Membership>, Error> {
    let rows = sqlx::query!(
        "SELECT m.tenant_id, m.roles FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.user_id = $1 AND (u.password_of IS NULL OR m.tenant_id = u.password_of) ORDER BY m.tenant_id",
        user.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Membership {
            tenant: row.tenant_id.into(),
            roles: roles(&row.roles),
        })
        .collect())
}

/// The platform permissions of a user; none for who is no operator, or whose password is of a tenant.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn platform_permissions(
    tx: &mut PlatformTx,
    user: tenantry_core::UserId,
) -> Result<tenantry_core::Permissions, Error> {
    let bits = sqlx::query_scalar!(
        "SELECT o.permissions FROM operators o JOIN users u ON u.id = o.user_id WHERE o.user_id = $1 AND u.password_of IS NULL",
        user.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(permissions(bits.unwrap_or_default()))
}
