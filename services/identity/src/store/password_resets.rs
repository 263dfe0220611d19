//! One-time links that replace a password: of people, in no tenant's scope.

use sqlx::PgConnection;
use tenantry_core::UserId;

use crate::error::Error;

/// Writes a person's newest link; the one before works no more.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn put(
    conn: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    valid_minutes: i32,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO password_resets (user_id, hash, expires_at)
         VALUES ($1, $2, clock_timestamp() + make_interval(mins => $3))
         ON CONFLICT (user_id) DO UPDATE
             SET hash = excluded.hash, created_at = clock_timestamp(), expires_at = excluded.expires_at, used_at = NULL",
        user.uuid(),
        hash,
        valid_minutes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whose link this is, and whether it still works.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    hash: &[u8],
) -> Result<Option<(UserId, bool)>, Error> {
    let row = sqlx::query!(
        r#"SELECT user_id, used_at IS NULL AND expires_at > clock_timestamp() AS "works!"
           FROM password_resets WHERE hash = $1"#,
        hash
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.user_id.into(), row.works)))
}

/// Uses a link; `false` where it works no more. Of two at once the second waits, and finds it used.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn consume(
    conn: &mut PgConnection,
    hash: &[u8],
    network: &str,
) -> Result<bool, Error> {
    let used = sqlx::query!(
        "UPDATE password_resets SET used_at = clock_timestamp(), network = $2
         WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp()",
        hash,
        network,
    )
    .execute(conn)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Ends a person's link, where there is one.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn void(conn: &mut PgConnection, user: UserId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE password_resets SET expires_at = clock_timestamp() WHERE user_id = $1 AND used_at IS NULL AND expires_at > clock_timestamp()",
        user.uuid()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes links long past their time; returns how many.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, days: i32, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM password_resets WHERE user_id IN (
             SELECT user_id FROM password_resets WHERE expires_at < clock_timestamp() - make_interval(days => $1) LIMIT $2)",
        days,
        most,
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
