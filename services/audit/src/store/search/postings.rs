//! The postings of runs.

use sqlx::PgConnection;
use tenantry_store::Error;

use crate::domain::query::Scope;
use crate::domain::search::postings::Bucket;
use crate::domain::search::{Level, Run, key};

/// Removes a run's postings, before others take their place.
#[tracing::instrument(name = "search_postings.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn remove(conn: &mut PgConnection, scope: Scope, run: Run) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM search_postings WHERE tenant_id = $1 AND level = $2 AND until = $3",
        key(scope),
        run.level.number(),
        run.until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes buckets of a run.
#[tracing::instrument(name = "search_postings.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    scope: Scope,
    run: Run,
    buckets: Vec<Bucket>,
) -> Result<(), Error> {
    let (numbers, postings): (Vec<_>, Vec<_>) = buckets.into_iter().unzip();
    sqlx::query!(
        "INSERT INTO search_postings (tenant_id, level, until, bucket, postings)
         SELECT $1, $2, $3, * FROM unnest($4::integer[], $5::bytea[])",
        key(scope),
        run.level.number(),
        run.until,
        &numbers,
        &postings,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Some buckets of a long run's short ones: number, place behind the run's last, and bytes, in the order of the numbers.
#[tracing::instrument(name = "search_postings.parts", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn parts(
    conn: &mut PgConnection,
    scope: Scope,
    long: Run,
    (first, count): (i32, i32),
) -> Result<Vec<(i32, i64, Vec<u8>)>, Error> {
    let rows = sqlx::query!(
        "SELECT bucket, until, postings FROM search_postings
         WHERE tenant_id = $1 AND level = $2 AND until > $3 AND until <= $4 AND bucket >= $5 AND bucket < $5 + $6
         ORDER BY bucket, until",
        key(scope),
        Level::Short.number(),
        long.first(),
        long.until,
        first,
        count,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.bucket, row.until, row.postings))
        .collect())
}
