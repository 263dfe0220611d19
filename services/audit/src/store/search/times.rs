//! When the events of runs happened.

use sqlx::PgConnection;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::query::{Filter, Scope};
use crate::domain::search::way::Contents;
use crate::domain::search::{Run, key};

/// Writes the times of a short run, or takes them away where there are none any more.
#[tracing::instrument(name = "search_times.put", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn put(
    conn: &mut PgConnection,
    scope: Scope,
    short: Run,
    contents: Option<&Contents>,
    times: &[u8],
) -> Result<(), Error> {
    let Some(contents) = contents else {
        sqlx::query!(
            "DELETE FROM search_times WHERE tenant_id = $1 AND until = $2",
            key(scope),
            short.until,
        )
        .execute(conn)
        .await?;
        return Ok(());
    };
    sqlx::query!(
        "INSERT INTO search_times (tenant_id, until, at_from, at_to, times) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, until) DO UPDATE SET at_from = excluded.at_from, at_to = excluded.at_to,
             times = excluded.times",
        key(scope),
        short.until,
        PgTime(contents.happened.0) as PgTime,
        PgTime(contents.happened.1) as PgTime,
        times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The times of the short runs in this run some of whose events may have happened when a filter asks: place behind the short
/// run's last, and its times.
#[tracing::instrument(name = "search_times.within", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn within(
    conn: &mut PgConnection,
    scope: Scope,
    run: Run,
    filter: &Filter,
) -> Result<Vec<(i64, Vec<u8>)>, Error> {
    let rows = sqlx::query!(
        "SELECT until, times FROM search_times WHERE tenant_id = $1 AND until > $2 AND until <= $3
         AND ($4::timestamptz IS NULL OR at_to >= $4) AND ($5::timestamptz IS NULL OR at_from < $5)",
        key(scope),
        run.first(),
        run.until,
        filter.start.map(PgTime) as Option<PgTime>,
        filter.end.map(PgTime) as Option<PgTime>,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.until, row.times)).collect())
}
