//! Who holds a credential: read before any tenant is known, each in one statement.

use std::sync::Arc;

use tenantry_core::{ApiKeyId, RoleId, ServiceAccountId, SessionId, TenantId, UserId};
use tenantry_store::PlatformTx;
use uuid::Uuid;

use super::{permissions, roles};
use crate::domain::principal::{
    Account, Key, Membership, SignedIn, Standing, StoredKey, display_name,
};
use crate::domain::role::{Grants, RoleKey};
use crate::error::Error;

/// The user of a session, with all memberships that the password, or the provider, that began it reaches.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn signed_in(
    tx: &mut PlatformTx,
    session: SessionId,
) -> Result<Option<SignedIn>, Error> {
    let row = sqlx::query!(
        r#"SELECT s.id, s.user_id, s.tenant_id, s.expires_at, s.provider_id, u.email,
                  s.ended_at IS NOT NULL OR EXISTS (SELECT FROM provider_ends e
                                                    WHERE e.provider_id = s.provider_id AND s.created_at <= e.at) AS "ended!",
                  s.only_project, i.claimed_email AS "claimed_email?", i.subject AS "subject?", i.issuer AS "issuer?",
                  CASE WHEN u.password_of IS NULL AND s.provider_id IS NULL
                       THEN coalesce(o.permissions, 0) ELSE 0 END AS "platform!",
                  coalesce((SELECT jsonb_agg(jsonb_build_array(m.tenant_id, m.roles, r.ids, r.permissions, r.inherited) ORDER BY m.tenant_id)
                            FROM memberships m
                            LEFT JOIN LATERAL (SELECT jsonb_agg(id) AS ids, bit_or(permissions) AS permissions, bit_or(inherited) AS inherited
                                               FROM roles WHERE tenant_id = m.tenant_id AND key = ANY (m.roles)) r ON true
                            WHERE m.user_id = u.id
                              AND (u.password_of IS NULL OR m.tenant_id = u.password_of)
                              AND (s.only_tenant_id IS NULL OR m.tenant_id = s.only_tenant_id)), '[]') AS "memberships!: serde_json::Value"
           FROM sessions s JOIN users u ON u.id = s.user_id LEFT JOIN operators o ON o.user_id = s.user_id
                LEFT JOIN LATERAL (SELECT issuer, subject, claimed_email FROM user_identities
                                   WHERE user_id = s.user_id LIMIT 1) i ON true
           WHERE s.id = $1"#,
        session.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SignedIn {
        session: row.id.into(),
        user: row.user_id.into(),
        provider: row.provider_id.map(Into::into),
        name: match (row.subject, row.issuer) {
            (Some(subject), Some(issuer)) => {
                display_name(&row.claimed_email.unwrap_or_default(), &subject, &issuer)
            }
            _ => row.email,
        },
        tenant: row.tenant_id.map(TenantId::from),
        expires_at: row.expires_at.into(),
        ended: row.ended,
        standing: Arc::new(Standing {
            only_project: row.only_project,
            ..read_standing(row.platform, row.memberships)?
        }),
    }))
}

/// What a user is on the platform and, as far as its password reaches, in tenants; nothing where there is no such user.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn standing(tx: &mut PlatformTx, user: UserId) -> Result<Option<Standing>, Error> {
    let row = sqlx::query!(
        r#"SELECT CASE WHEN u.password_of IS NULL THEN coalesce(o.permissions, 0) ELSE 0 END AS "platform!",
                  coalesce((SELECT jsonb_agg(jsonb_build_array(m.tenant_id, m.roles, r.ids, r.permissions, r.inherited) ORDER BY m.tenant_id)
                            FROM memberships m
                            LEFT JOIN LATERAL (SELECT jsonb_agg(id) AS ids, bit_or(permissions) AS permissions, bit_or(inherited) AS inherited
                                               FROM roles WHERE tenant_id = m.tenant_id AND key = ANY (m.roles)) r ON true
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

/// A membership as the queries above tell it: tenant, roles, and of those that the tenant defined ids and bitmaps.
type Told = (
    Uuid,
    Vec<String>,
    Option<Vec<RoleId>>,
    Option<i64>,
    Option<i64>,
);

fn read_standing(platform: i64, memberships: serde_json::Value) -> Result<Standing, Error> {
    let memberships: Vec<Told> =
        serde_json::from_value(memberships).map_err(tenantry_store::Error::Corrupt)?;
    Ok(Standing {
        platform: permissions(platform),
        memberships: memberships.into_iter().map(membership).collect(),
        only_project: None,
    })
}

fn membership((tenant, words, own_roles, here, inherited): Told) -> Membership {
    let roles = roles(words);
    let own = Grants {
        permissions: permissions(here.unwrap_or_default()),
        inherited: permissions(inherited.unwrap_or_default()),
    };
    let built_in = roles.iter().filter_map(RoleKey::built_in).map(Grants::of);
    Membership {
        tenant: tenant.into(),
        grants: built_in.fold(own, Grants::union),
        own_roles: own_roles.unwrap_or_default(),
        roles,
    }
}

/// A key with the hashes of its secrets. One of a service account permits no more than the account, and nothing where that
/// is disabled or gone.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn key(tx: &mut PlatformTx, id: ApiKeyId) -> Result<Option<StoredKey>, Error> {
    let row = sqlx::query!(
        r#"SELECT k.tenant_id, k.id, k.hash, k.previous_hash, k.previous_until, k.expires_at, k.service_account_id,
                  CASE WHEN k.service_account_id IS NULL THEN k.permissions
                       ELSE k.permissions & coalesce(a.permissions, 0) END AS "permissions!",
                  k.revoked_at IS NOT NULL OR (k.service_account_id IS NOT NULL AND coalesce(a.disabled, true)) AS "revoked!"
           FROM api_keys k
           LEFT JOIN service_accounts a ON a.tenant_id = k.tenant_id AND a.id = k.service_account_id
           WHERE k.id = $1"#,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| StoredKey {
        key: Key {
            id: row.id.into(),
            tenant: row.tenant_id.into(),
            permissions: permissions(row.permissions),
            service_account: row.service_account_id.map(Into::into),
            expires_at: row.expires_at.map(Into::into),
            revoked: row.revoked,
        },
        hash: row.hash,
        previous_hash: row.previous_hash.unwrap_or_default(),
        previous_until: row.previous_until.map(Into::into),
    }))
}

/// A service account; nothing where there is none, or it is disabled.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn account(
    tx: &mut PlatformTx,
    id: ServiceAccountId,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query!(
        "SELECT tenant_id, permissions FROM service_accounts WHERE id = $1 AND NOT disabled",
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Account {
        tenant: row.tenant_id.into(),
        permissions: permissions(row.permissions),
    }))
}
