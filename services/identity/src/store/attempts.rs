//! Buckets of failed attempts: of no tenant.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::UserId;
use tenantry_store::time::PgTime;

use crate::domain::lockout::{Bucket, Buckets, Key};
use crate::error::Error;

/// How an attempt's buckets stand before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Milliseconds until the last lock ends; none where nothing is locked.
    pub(crate) wait_ms: Option<i64>,
    /// Whether there were failures lately.
    pub(crate) failed_lately: bool,
}

/// How the buckets stand. The lock of a whole account doesn't bind a network where its owner signed in, or used a link of
/// their mail.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn standing(
    conn: &mut PgConnection,
    buckets: &Buckets,
    user: Option<UserId>,
    network: &str,
) -> Result<Standing, Error> {
    let (accounts, networks) = columns(buckets);
    let row = sqlx::query!(
        r#"SELECT count(*) AS "rows!",
                  max(ceil(extract(epoch FROM a.locked_until - clock_timestamp()) * 1000)::bigint) FILTER (
                      WHERE a.locked_until > clock_timestamp()
                      AND NOT (a.network = '' AND EXISTS (
                          SELECT FROM sessions s WHERE s.user_id = $3 AND s.network = $4
                          UNION ALL SELECT FROM password_resets r WHERE r.user_id = $3 AND r.network = $4))) AS wait_ms
           FROM unnest($1::bytea[], $2::text[]) AS k(account, network) JOIN attempts a USING (account, network)"#,
        &accounts,
        &networks,
        user.map(UserId::uuid),
        network,
    )
    .fetch_one(conn)
    .await?;
    Ok(Standing {
        wait_ms: row.wait_ms,
        failed_lately: row.rows > 0,
    })
}

/// Takes the buckets for this transaction, made where there are none; and the present time by the database's clock.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn hold(
    conn: &mut PgConnection,
    buckets: &Buckets,
) -> Result<Vec<(Key, Bucket, Timestamp)>, Error> {
    let (accounts, networks) = columns(buckets);
    let rows = sqlx::query!(
        r#"INSERT INTO attempts (account, network, empty_at)
           SELECT account, network, clock_timestamp() FROM unnest($1::bytea[], $2::text[]) AS k(account, network)
           ON CONFLICT (account, network) DO UPDATE SET account = excluded.account
           RETURNING account, network, empty_at, locked_until, clock_timestamp() AS "now!""#,
        &accounts,
        &networks,
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let (account, network) = (row.account, row.network);
        let bucket = Bucket {
            empty_at: row.empty_at.into(),
            locked_until: row.locked_until.map(Into::into),
        };
        (Key { account, network }, bucket, row.now.into())
    });
    Ok(held.collect())
}

/// Writes one bucket that [`hold`] took.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn write(
    conn: &mut PgConnection,
    key: &Key,
    bucket: &Bucket,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE attempts SET empty_at = $3, locked_until = $4 WHERE account = $1 AND network = $2",
        key.account,
        key.network,
        PgTime(bucket.empty_at) as PgTime,
        bucket.locked_until.map(PgTime) as Option<PgTime>,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Empties the bucket of one network at an account, or all of the account's.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn clear(
    conn: &mut PgConnection,
    account: &[u8],
    network: Option<&str>,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM attempts WHERE account = $1 AND ($2::text IS NULL OR network = $2)",
        account,
        network,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes empty buckets; returns how many.
#[tracing::instrument(skip_all, fields(otel.kind = "client", db.system = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM attempts WHERE (account, network) IN (
             SELECT account, network FROM attempts WHERE empty_at < clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED)
         AND empty_at < clock_timestamp()",
        most
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}

fn columns(buckets: &Buckets) -> (Vec<Vec<u8>>, Vec<String>) {
    buckets
        .iter()
        .map(|(key, _)| (key.account.clone(), key.network.clone()))
        .unzip()
}
