//! One-time tokens that make the first operator.

use sqlx::PgConnection;

use crate::error::Error;

/// Writes the hash of a new token, and forgets those past their time.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    hash: &[u8; 32],
    valid_minutes: i32,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM bootstrap_tokens WHERE expires_at < clock_timestamp()")
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "INSERT INTO bootstrap_tokens (hash, expires_at) VALUES ($1, clock_timestamp() + make_interval(mins => $2))",
        &hash[..],
        valid_minutes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a token was ever printed, be it used or past its time by now: the caller is no stranger.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn is_ours(conn: &mut PgConnection, hash: &[u8; 32]) -> Result<bool, Error> {
    let ours = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM bootstrap_tokens WHERE hash = $1) AS "ours!""#,
        &hash[..],
    )
    .fetch_one(conn)
    .await?;
    Ok(ours)
}

/// Uses a token up; `false` where it is wrong, past its time or used.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn consume(conn: &mut PgConnection, hash: &[u8; 32]) -> Result<bool, Error> {
    let used = sqlx::query!(
        "UPDATE bootstrap_tokens SET used_at = clock_timestamp()
         WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp()",
        &hash[..],
    )
    .execute(conn)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Whether an operator exists. Whoever asks second waits for the first one's transaction, so that two tokens don't make
/// two first operators.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn operator_exists(conn: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query!("LOCK TABLE operators IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *conn)
        .await?;
    let exists = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM operators) AS "exists!""#)
        .fetch_one(conn)
        .await?;
    Ok(exists)
}
