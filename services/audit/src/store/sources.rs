//! How far the log has each source's streams.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::app::sources::{Position, Stream};
use crate::domain::stream::Source;

/// A source's streams of these tenants; one that never came is left out.
#[tracing::instrument(name = "sources.of", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of(
    conn: &mut PgConnection,
    source: &str,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, Source>, Error> {
    let ids: Vec<_> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT tenant_id, epoch, last_n, stopped_at IS NOT NULL AS "stopped!" FROM sources
           WHERE source = $1 AND tenant_id = ANY($2)"#,
        source,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let source = Source {
            epoch: row.epoch,
            last_n: row.last_n,
            stopped: row.stopped,
        };
        (row.tenant_id.into(), source)
    });
    Ok(rows.collect())
}

/// Writes how far a source's streams were taken.
#[tracing::instrument(name = "sources.save", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn save(
    conn: &mut PgConnection,
    source: &str,
    streams: &[(TenantId, Source)],
) -> Result<(), Error> {
    let ids: Vec<_> = streams.iter().map(|(id, _)| id.uuid()).collect();
    let epochs: Vec<_> = streams.iter().map(|(_, stream)| stream.epoch).collect();
    let lasts: Vec<_> = streams.iter().map(|(_, stream)| stream.last_n).collect();
    sqlx::query!(
        "INSERT INTO sources (tenant_id, source, epoch, last_n)
         SELECT tenant_id, $1, epoch, last_n FROM unnest($2::uuid[], $3::integer[], $4::bigint[]) AS s (tenant_id, epoch, last_n)
         ON CONFLICT (tenant_id, source) DO UPDATE SET epoch = excluded.epoch, last_n = excluded.last_n",
        source,
        &ids,
        &epochs,
        &lasts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops a stream, until an operator begins a new epoch of it.
#[tracing::instrument(name = "sources.stop", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn stop(
    conn: &mut PgConnection,
    source: &str,
    tenant: TenantId,
    state: Source,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO sources AS s (tenant_id, source, epoch, last_n, stopped_at) VALUES ($1, $2, $3, $4, clock_timestamp())
         ON CONFLICT (tenant_id, source) DO UPDATE SET stopped_at = excluded.stopped_at",
        tenant.uuid(),
        source,
        state.epoch,
        state.last_n,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The digests of a stream's events from this number on, so many, as far as the log still has them, by number. It looks from
/// the end of the log, where they are, and stops once it has found them.
#[tracing::instrument(name = "events.digests", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn digests(
    conn: &mut PgConnection,
    (tenant, source, epoch): (TenantId, &str, i32),
    from_n: i64,
    count: i64,
) -> Result<HashMap<i64, Vec<u8>>, Error> {
    let rows = sqlx::query!(
        "SELECT n, digest FROM events WHERE tenant_id = $1 AND source = $2 AND epoch = $3 AND n >= $4
         ORDER BY index DESC LIMIT $5",
        tenant.uuid(),
        source,
        epoch,
        from_n,
        count,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.n, row.digest)).collect())
}

/// The streams that an alarm has stopped, the longest stopped first.
#[tracing::instrument(name = "sources.stopped", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn stopped(
    conn: &mut PgConnection,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Stream>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, source, epoch, last_n, stopped_at AS "stopped_at!: PgTime" FROM sources
           WHERE stopped_at IS NOT NULL
             AND ($1::timestamptz IS NULL OR (stopped_at, tenant_id, source) > ($1, $2::uuid, $3::text))
           ORDER BY stopped_at, tenant_id, source LIMIT $4"#,
        after.map(|after| PgTime(after.stopped_at)) as Option<PgTime>,
        after.map(|after| after.tenant.uuid()),
        after.map(|after| after.source.as_str()),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Stream {
        source: row.source,
        tenant: row.tenant_id.into(),
        epoch: row.epoch,
        expected_n: row.last_n + 1,
        stopped_at: Some(row.stopped_at.into()),
    });
    Ok(rows.collect())
}

/// Lets a stream go on, in this state.
#[tracing::instrument(name = "sources.resume", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn resume(
    conn: &mut PgConnection,
    source: &str,
    tenant: TenantId,
    state: Source,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE sources SET epoch = $3, last_n = $4, stopped_at = NULL WHERE tenant_id = $1 AND source = $2",
        tenant.uuid(),
        source,
        state.epoch,
        state.last_n,
    )
    .execute(conn)
    .await?;
    Ok(())
}
