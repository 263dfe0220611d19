//! Imports: how far each is, and which replica may take it up.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_core::TenantImportId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::import::Import;

struct ImportRow {
    import_id: Uuid,
    project: String,
    format: String,
    dry_run: bool,
    state: String,
    row_count: i32,
    created_count: i32,
    existing_count: i32,
    refused_count: i32,
    started_by: serde_json::Value,
    created_at: PgTime,
    started_at: Option<PgTime>,
    finished_at: Option<PgTime>,
    failures: i32,
}

impl ImportRow {
    fn import(self) -> Result<Import, Error> {
        Ok(self.with_failures()?.0)
    }

    fn with_failures(self) -> Result<(Import, i32), Error> {
        let import = Import {
            id: self.import_id.into(),
            project: self.project,
            format: serde_json::from_value(self.format.into())?,
            dry_run: self.dry_run,
            state: serde_json::from_value(self.state.into())?,
            rows: self.row_count,
            created: self.created_count,
            existing: self.existing_count,
            refused: self.refused_count,
            started_by: serde_json::from_value(self.started_by)?,
            created_at: self.created_at.into(),
            started_at: self.started_at.map(Into::into),
            finished_at: self.finished_at.map(Into::into),
        };
        Ok((import, self.failures))
    }
}

/// Writes an import that begins, due at once.
#[tracing::instrument(name = "imports.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    scope: Uuid,
    import: &Import,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO tenant_imports (tenant_id, import_id, project, format, dry_run, state, row_count, created_count,
             existing_count, refused_count, started_by, created_at, due_at, failures)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp(), 0)",
        scope,
        import.id.uuid(),
        import.project,
        import.format.name(),
        import.dry_run,
        import.state.name(),
        import.rows,
        import.created,
        import.existing,
        import.refused,
        serde_json::to_value(&import.started_by)?,
        PgTime(import.created_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many imports haven't ended.
#[tracing::instrument(name = "imports.under_way", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn under_way(conn: &mut PgConnection) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenant_imports WHERE finished_at IS NULL"#
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// One import.
#[tracing::instrument(name = "imports.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    id: TenantImportId,
) -> Result<Option<Import>, Error> {
    sqlx::query_as!(
        ImportRow,
        "SELECT import_id, project, format, dry_run, state, row_count, created_count, existing_count, refused_count,
             started_by, created_at, started_at, finished_at, failures
         FROM tenant_imports WHERE import_id = $1",
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(ImportRow::import)
    .transpose()
}

/// The same, locked until the transaction ends: whoever decides about a row or the whole waits for the others.
#[tracing::instrument(name = "imports.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    id: TenantImportId,
) -> Result<Option<Import>, Error> {
    sqlx::query_as!(
        ImportRow,
        "SELECT import_id, project, format, dry_run, state, row_count, created_count, existing_count, refused_count,
             started_by, created_at, started_at, finished_at, failures
         FROM tenant_imports WHERE import_id = $1 FOR UPDATE",
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(ImportRow::import)
    .transpose()
}

/// A page of imports older than this one, the newest first.
#[tracing::instrument(name = "imports.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    before: Option<TenantImportId>,
    limit: i64,
) -> Result<Vec<Import>, Error> {
    sqlx::query_as!(
        ImportRow,
        "SELECT import_id, project, format, dry_run, state, row_count, created_count, existing_count, refused_count,
             started_by, created_at, started_at, finished_at, failures
         FROM tenant_imports WHERE import_id < $1 ORDER BY import_id DESC LIMIT $2",
        before.map_or(Uuid::max(), TenantImportId::uuid),
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(ImportRow::import)
    .collect()
}

/// Takes up an import that is due, if one is, for at most this long: then another replica may. Beside it the turns of it
/// that came to nothing. One that is being decided about just now isn't waited for.
#[tracing::instrument(name = "imports.take", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn take(
    conn: &mut PgConnection,
    lease: Duration,
) -> Result<Option<(Import, i32)>, Error> {
    sqlx::query_as!(
        ImportRow,
        "UPDATE tenant_imports
         SET state = 'running', started_at = coalesce(started_at, clock_timestamp()),
             due_at = clock_timestamp() + make_interval(secs => $1)
         WHERE import_id = (SELECT import_id FROM tenant_imports WHERE finished_at IS NULL AND due_at <= clock_timestamp()
                            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING import_id, project, format, dry_run, state, row_count, created_count, existing_count, refused_count,
             started_by, created_at, started_at, finished_at, failures",
        lease.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?
    .map(ImportRow::with_failures)
    .transpose()
}

/// Gives an import up until this much later: to the others at the end of a turn, or after one that failed.
#[tracing::instrument(name = "imports.put_back", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn put_back(
    conn: &mut PgConnection,
    id: TenantImportId,
    failed: bool,
    pause: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE tenant_imports
         SET failures = failures + $2::boolean::int, due_at = clock_timestamp() + make_interval(secs => $3)
         WHERE import_id = $1",
        id.uuid(),
        failed,
        pause.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the end of an import that this transaction holds locked. Rows that nobody decided about lose what they asked for
/// with the import itself.
#[tracing::instrument(name = "imports.end", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn end(conn: &mut PgConnection, import: &Import) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE tenant_imports SET state = $2, finished_at = $3 WHERE import_id = $1",
        import.id.uuid(),
        import.state.name(),
        import.finished_at.map(PgTime) as Option<PgTime>,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes some imports that ended more than this many days ago, and their rows.
#[tracing::instrument(name = "imports.sweep", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn sweep(conn: &mut PgConnection, days: i32, most: i64) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM tenant_imports WHERE import_id IN (
             SELECT import_id FROM tenant_imports WHERE finished_at < clock_timestamp() - make_interval(days => $1)
             ORDER BY finished_at LIMIT $2)",
        days,
        most,
    )
    .execute(conn)
    .await?;
    Ok(())
}
