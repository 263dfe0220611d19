//! How far the log has each source's streams.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::stream::{Position, Source, Stream};

/// A source's streams of these tenants; one that never came is left out.
#[tracing::instrument(name = "sources.of", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of(
    conn: &mut PgConnection,
    source: &str,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, Source>, Error> {
    let ids: Vec<_> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT tenant_id, epoch, first_n, last_n, last_index, stopped_n FROM sources WHERE source = $1 AND tenant_id = ANY($2)",
        source,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let source = Source {
            epoch: row.epoch,
            first_n: row.first_n,
            last_n: row.last_n,
            last_index: row.last_index,
            stopped_n: row.stopped_n,
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
    let firsts: Vec<_> = streams.iter().map(|(_, stream)| stream.first_n).collect();
    let lasts: Vec<_> = streams.iter().map(|(_, stream)| stream.last_n).collect();
    let indexes: Vec<_> = streams
        .iter()
        .map(|(_, stream)| stream.last_index)
        .collect();
    sqlx::query!(
        "INSERT INTO sources (tenant_id, source, epoch, first_n, last_n, last_index)
         SELECT tenant_id, $1, epoch, first_n, last_n, last_index
         FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])
              AS s (tenant_id, epoch, first_n, last_n, last_index)
         ON CONFLICT (tenant_id, source) DO UPDATE SET last_n = excluded.last_n, last_index = excluded.last_index",
        source,
        &ids,
        &epochs,
        &firsts,
        &lasts,
        &indexes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops a stream at this number, until an operator begins a new epoch of it.
#[tracing::instrument(name = "sources.stop", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn stop(
    conn: &mut PgConnection,
    source: &str,
    tenant: TenantId,
    state: Source,
    stopped_n: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO sources AS s (tenant_id, source, epoch, first_n, last_n, last_index, stopped_n, stopped_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
         ON CONFLICT (tenant_id, source) DO UPDATE SET stopped_n = excluded.stopped_n, stopped_at = excluded.stopped_at",
        tenant.uuid(),
        source,
        state.epoch,
        state.first_n,
        state.last_n,
        state.last_index,
        stopped_n,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Digests of events, by tenant and number; an empty one where it is erased.
pub(crate) type Digests = HashMap<(TenantId, i64), Vec<u8>>;

/// Numbers of a stream that come again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) tenant: TenantId,
    pub(crate) epoch: i32,
    pub(crate) from_n: i64,
    pub(crate) until_n: i64,
    /// The place in the log of the last event of the stream, behind which they aren't, and the one before which they aren't looked
    /// for.
    pub(crate) last_index: i64,
    pub(crate) from_index: i64,
}

/// The digests under which a source's events were taken, as far as the log still has them. It looks from the last event of each
/// stream, where they mostly are, and stops once it has found them, or at the place up to which it is to look.
#[tracing::instrument(name = "events.digests", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn digests(
    conn: &mut PgConnection,
    source: &str,
    repeated: &[Repeated],
) -> Result<Digests, Error> {
    if repeated.is_empty() {
        return Ok(Digests::new());
    }
    let ids: Vec<_> = repeated.iter().map(|one| one.tenant.uuid()).collect();
    let epochs: Vec<_> = repeated.iter().map(|one| one.epoch).collect();
    let froms: Vec<_> = repeated.iter().map(|one| one.from_n).collect();
    let untils: Vec<_> = repeated.iter().map(|one| one.until_n).collect();
    let indexes: Vec<_> = repeated.iter().map(|one| one.from_index).collect();
    let lasts: Vec<_> = repeated.iter().map(|one| one.last_index).collect();
    let rows = sqlx::query!(
        r#"SELECT r.tenant_id AS "tenant_id!", e.n, e.digest
           FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                AS r (tenant_id, epoch, from_n, until_n, from_index, last_index)
           CROSS JOIN LATERAL (
               SELECT n, digest FROM events AS e
               WHERE e.tenant_id = r.tenant_id AND e.source = $1 AND e.epoch = r.epoch AND e.n >= r.from_n AND e.n < r.until_n
                 AND e.index >= r.from_index AND e.index <= r.last_index
               ORDER BY e.index DESC LIMIT r.until_n - r.from_n) AS e"#,
        source,
        &ids,
        &epochs,
        &froms,
        &untils,
        &indexes,
        &lasts,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| ((row.tenant_id.into(), row.n), row.digest))
        .collect())
}

/// The streams that an alarm has stopped, the longest stopped first.
#[tracing::instrument(name = "sources.stopped", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn stopped(
    conn: &mut PgConnection,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Stream>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, source, epoch, last_n, stopped_n, stopped_at AS "stopped_at!: PgTime" FROM sources
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
        stopped_n: row.stopped_n,
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
        "UPDATE sources SET epoch = $3, first_n = $4, last_n = $5, stopped_n = NULL, stopped_at = NULL
         WHERE tenant_id = $1 AND source = $2",
        tenant.uuid(),
        source,
        state.epoch,
        state.first_n,
        state.last_n,
    )
    .execute(conn)
    .await?;
    Ok(())
}
