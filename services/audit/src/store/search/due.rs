//! The runs that are to be made, or made anew.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::query::Scope;
use crate::domain::search::{Level, Run, key};

/// Puts runs down.
#[tracing::instrument(name = "search_due.add", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn add(conn: &mut PgConnection, due: &[(Scope, Run)]) -> Result<(), Error> {
    let scopes: Vec<_> = due.iter().map(|(scope, _)| key(*scope)).collect();
    let levels: Vec<_> = due.iter().map(|(_, run)| run.level.number()).collect();
    let untils: Vec<_> = due.iter().map(|(_, run)| run.until).collect();
    sqlx::query!(
        "INSERT INTO search_due (tenant_id, level, until) SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[])
         ON CONFLICT DO NOTHING",
        &scopes,
        &levels,
        &untils,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has every run made anew that has these places of a scope, whose events this transaction changed the terms of, or removed.
#[tracing::instrument(name = "search_due.anew", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn anew(
    conn: &mut PgConnection,
    scope: Scope,
    places: &[i64],
) -> Result<(), Error> {
    sqlx::query!("SELECT FROM search_anew($1, $2)", key(scope), places)
        .execute(conn)
        .await?;
    Ok(())
}

/// Has every run made anew that had events which came between these instants: this transaction dropped them.
#[tracing::instrument(name = "search_due.gone", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn gone(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "SELECT FROM search_gone($1, $2)",
        PgTime(from) as PgTime,
        PgTime(to) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The logs that have any, in the order of their tenants' ids, behind this one if one is given, so many.
#[tracing::instrument(name = "search_due.logs", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn logs(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<TenantId>, Error> {
    let logs = sqlx::query_scalar!(
        "SELECT DISTINCT tenant_id FROM search_due WHERE ($1::uuid IS NULL OR tenant_id > $1) AND tenant_id <> $2
         ORDER BY tenant_id LIMIT $3",
        after as Option<Uuid>,
        key(Scope::All),
        limit
    );
    let logs = logs.fetch_all(conn).await?;
    Ok(logs.into_iter().map(TenantId::from).collect())
}

/// Takes hold of a scope's runs until the transaction ends, unless someone else has: then it is `false`. What is read of the
/// events behind this has the terms that whoever held them before left.
#[tracing::instrument(name = "search_runs.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn try_lock(conn: &mut PgConnection, scope: Scope) -> Result<bool, Error> {
    let locked = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock('search_runs'::regclass::oid::integer, search_lock_key($1)) AS "locked!""#,
        key(scope)
    );
    Ok(locked.fetch_one(conn).await?)
}

/// The run of a scope that is to be made first: short ones come before the long one that they are part of, and what is new before
/// what is made anew, since what is new is read in order until then.
#[tracing::instrument(name = "search_due.next", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn next(conn: &mut PgConnection, scope: Scope) -> Result<Option<Run>, Error> {
    let row = sqlx::query!(
        "SELECT level, until FROM search_due WHERE tenant_id = $1 ORDER BY level, until DESC LIMIT 1",
        key(scope)
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Run {
        level: Level::of(row.level),
        until: row.until,
    }))
}

/// Takes a run off: it was made.
#[tracing::instrument(name = "search_due.done", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn done(conn: &mut PgConnection, scope: Scope, run: Run) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM search_due WHERE tenant_id = $1 AND level = $2 AND until = $3",
        key(scope),
        run.level.number(),
        run.until,
    )
    .execute(conn)
    .await?;
    Ok(())
}
