//! Who holds a credential: read before any tenant is known, each in one statement.

use std::sync::Arc;

use tenantry_core::{ApiKeyId, SessionId, TenantId, UserId};
use tenantry_store::PlatformTx;
use uuid::Uuid;

use super::{permissions, roles};
use crate::domain::principal::{Key, Membership, SignedIn, Standing};
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
    Ok(Some(SignedIn {
        session: row.id.into(),
        user: row.user_id.into(),
        email: row.email,
        tenant: row.tenant_id.map(TenantId::from),
        expires_at: row.expires_at.into(),
        ended: row.ended,
        standing: Arc::new(read_standing(row.platform, row.memberships)?),
    }))
}

/// What a user is on the platform and, as far as its password reaches, in tenants; nothing where there is no such user.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn standing(tx: &mut PlatformTx, user: UserId) -> Result<Option<Standing>, Error> {
    let row = sqlx::query!(
        r#"SELECT CASE WHEN u.password_of IS NULL THEN coalesce(o.permissions, 0) ELSE 0 END AS "platform!",
                  coalesce((SELECT jsonb_agg(jsonb_build_array(m.tenant_id, m.roles) ORDER BY m.tenant_id) FROM memberships m
                            WHERE m.user_id = u.id
                              AND (u.password_of IS NULL OR m.tenant_id = u.password_of)), '[]') AS "memberships!: serde_json::Value"
           FROM users u LEFT JOIN operators o ON o.user_id = u.id
           WHERE u.id = $1"#,
        user.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| read_standing(row.platform, row.memberships))
        .transpose()
}

fn read_standing(platform: i64, memberships: serde_json::Value) -> Result<Standing, Error> {
    let memberships: Vec<(Uuid, Vec<String>)> =
        serde_json::from_value(memberships).map_err(tenantry_store::Error::Corrupt)?;
    Ok(Standing {
        platform: permissions(platform),
        memberships: memberships
            .into_iter()
            .map(|(tenant, words)| Membership {
                tenant: tenant.into(),
                roles: roles(&words),
            })
            .collect(),
    })
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
