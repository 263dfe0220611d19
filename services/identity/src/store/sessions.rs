//! Sessions: of users, in no tenant's scope.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use tenantry_core::{Origin, SessionId, TenantId, UserId};
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::session::{Begun, BegunBy, Session};
use crate::error::Error;

/// Writes a new session that this password hash began; `false` where the user has another by now. Whoever replaces the
/// password waits for this transaction, and ends the session with the others, or this one waits for them.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    session: &Session,
    password_hash: &str,
    from: &Origin,
    network: &str,
) -> Result<bool, Error> {
    let written = sqlx::query!(
        "INSERT INTO sessions (id, user_id, tenant_id, family_hash, refresh_hash, expires_at, ip, user_agent, network)
         SELECT $1, id, $3, $4, $5, $6, $8, $9, $10 FROM users WHERE id = $2 AND password_hash = $7 FOR SHARE",
        session.id.uuid(),
        session.user_id.uuid(),
        session.tenant_id.map(TenantId::uuid),
        session.family_hash,
        session.refresh_hash,
        PgTime(session.expires_at) as PgTime,
        password_hash,
        from.ip,
        from.user_agent,
        network,
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Reads a session and locks it until the transaction's end, so that a token refreshes once.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(conn: &mut PgConnection, id: SessionId) -> Result<Option<Session>, Error> {
    let row = sqlx::query!(
        r#"SELECT id, user_id, tenant_id, family_hash, refresh_hash, expires_at, created_at, provider_id,
                coalesce(ended_at, (SELECT e.at FROM provider_ends e
                                    WHERE e.provider_id = s.provider_id AND s.created_at <= e.at)) AS "ended_at: PgTime"
         FROM sessions s WHERE id = $1 FOR UPDATE OF s"#,
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    let by = |provider: Option<Uuid>| match provider {
        Some(_) => BegunBy::Provider,
        None => BegunBy::Password,
    };
    Ok(row.map(|row| Session {
        id: row.id.into(),
        user_id: row.user_id.into(),
        tenant_id: row.tenant_id.map(TenantId::from),
        family_hash: row.family_hash,
        refresh_hash: row.refresh_hash,
        expires_at: row.expires_at.into(),
        last_end: by(row.provider_id).last_end(row.created_at.into()),
        ended_at: row.ended_at.map(Into::into),
    }))
}

/// Writes the secret that replaced the last one, and the session's new end.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn rotate(conn: &mut PgConnection, session: &Session) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sessions SET refresh_hash = $2, expires_at = $3, refreshed_at = clock_timestamp() WHERE id = $1",
        session.id.uuid(),
        session.refresh_hash,
        PgTime(session.expires_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a session; `false` where it had ended before.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn end(conn: &mut PgConnection, id: SessionId) -> Result<bool, Error> {
    let ended = sqlx::query!(
        "UPDATE sessions SET ended_at = clock_timestamp() WHERE id = $1 AND ended_at IS NULL",
        id.uuid()
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Whether one session sees another of the same user: one that a provider began sees those that it began.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sees(
    conn: &mut PgConnection,
    own: SessionId,
    other: SessionId,
) -> Result<bool, Error> {
    let sees = sqlx::query_scalar!(
        r#"SELECT o.provider_id IS NULL OR o.provider_id = s.provider_id AS "sees!"
           FROM sessions o JOIN sessions s ON s.user_id = o.user_id WHERE o.id = $1 AND s.id = $2"#,
        own.uuid(),
        other.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(sees == Some(true))
}

/// Ends all sessions of a user but one, or of those only that a session sees; returns the ids of those that went on until now, by the tenant that each was for.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn end_all(
    conn: &mut PgConnection,
    user: UserId,
    but: Option<SessionId>,
    seen_by: Option<SessionId>,
) -> Result<BTreeMap<Option<TenantId>, Vec<SessionId>>, Error> {
    let rows = sqlx::query!(
        "UPDATE sessions s SET ended_at = clock_timestamp()
         WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL AND expires_at > clock_timestamp()
           AND ($3::uuid IS NULL OR EXISTS (SELECT FROM sessions o WHERE o.id = $3
                                            AND (o.provider_id IS NULL OR o.provider_id = s.provider_id)))
         RETURNING id, tenant_id",
        user.uuid(),
        but.map(SessionId::uuid),
        seen_by.map(SessionId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let mut ended: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let tenant = row.tenant_id.map(TenantId::from);
        ended.entry(tenant).or_default().push(row.id.into());
    }
    Ok(ended)
}

/// One page of a user's sessions that go on, as far as one of them sees, from the newest.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    user: UserId,
    seen_by: SessionId,
    before: Option<SessionId>,
    most: i64,
) -> Result<Vec<Begun>, Error> {
    let rows = sqlx::query!(
        "SELECT id, tenant_id, ip, user_agent, created_at, refreshed_at, expires_at FROM sessions s
         WHERE user_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ended_at IS NULL AND expires_at > clock_timestamp()
           AND EXISTS (SELECT FROM sessions o WHERE o.id = $4 AND (o.provider_id IS NULL OR o.provider_id = s.provider_id))
         ORDER BY id DESC LIMIT $3",
        user.uuid(),
        before.map(SessionId::uuid),
        most,
        seen_by.uuid(),
    )
    .fetch_all(conn)
    .await?;
    let begun = rows.into_iter().map(|row| Begun {
        id: row.id.into(),
        tenant_id: row.tenant_id.map(TenantId::from),
        ip: row.ip,
        user_agent: row.user_agent,
        created_at: row.created_at.into(),
        refreshed_at: row.refreshed_at.into(),
        expires_at: row.expires_at.into(),
    });
    Ok(begun.collect())
}

/// Removes sessions whose refresh tokens are past their time; returns how many.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < clock_timestamp() LIMIT $1)",
        most
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
