//! Sessions: of users, in no tenant's scope.

use sqlx::PgConnection;
use tenantry_core::{SessionId, TenantId};
use tenantry_store::time::PgTime;

use crate::domain::session::Session;
use crate::error::Error;

/// Writes a new session that this password hash began; `false` where the user has another by now. Whoever replaces the
/// password waits for this transaction, and ends the session with the others, or this one waits for them.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    session: &Session,
    password_hash: &str,
) -> Result<bool, Error> {
    let written = sqlx::query!(
        "INSERT INTO sessions (id, user_id, tenant_id, family_hash, refresh_hash, expires_at)
         SELECT $1, id, $3, $4, $5, $6 FROM users WHERE id = $2 AND password_hash = $7 FOR SHARE",
        session.id.uuid(),
        session.user_id.uuid(),
        session.tenant_id.map(TenantId::uuid),
        session.family_hash,
        session.refresh_hash,
        PgTime(session.expires_at) as PgTime,
        password_hash,
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Reads a session and locks it until the transaction's end, so that a token refreshes once.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn lock(conn: &mut PgConnection, id: SessionId) -> Result<Option<Session>, Error> {
    let row = sqlx::query!(
        "SELECT id, user_id, tenant_id, family_hash, refresh_hash, expires_at, ended_at
         FROM sessions WHERE id = $1 FOR UPDATE",
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Session {
        id: row.id.into(),
        user_id: row.user_id.into(),
        tenant_id: row.tenant_id.map(TenantId::from),
        family_hash: row.family_hash,
        refresh_hash: row.refresh_hash,
        expires_at: row.expires_at.into(),
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
