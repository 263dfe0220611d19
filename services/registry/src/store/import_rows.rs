//! Rows of imports, and what became of each.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::{TenantId, TenantImportId};
use tenantry_store::Error;
use uuid::Uuid;

use crate::domain::import::{Decision, Draft, NewRow, Outcome, Row, RowRefusal};

/// Writes the rows of an import that begins. Those that are no tenants are refused with it.
#[tracing::instrument(name = "import_rows.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    scope: Uuid,
    import: TenantImportId,
    rows: &[NewRow],
) -> Result<(), Error> {
    fn all<T>(rows: &[NewRow], field: impl FnMut(&NewRow) -> T) -> Vec<T> {
        rows.iter().map(field).collect()
    }
    let json = |draft: &Draft| serde_json::to_value(draft);
    let drafts: Vec<Option<Value>> = rows
        .iter()
        .map(|row| row.draft.as_ref().ok().map(json).transpose())
        .collect::<Result<_, _>>()?;
    let refusals: Vec<Option<Value>> = rows
        .iter()
        .map(|row| {
            let refusal = row.draft.as_ref().err().cloned().map(RowRefusal::from);
            refusal.map(serde_json::to_value).transpose()
        })
        .collect::<Result<_, _>>()?;
    sqlx::query!(
        "INSERT INTO tenant_import_rows (tenant_id, import_id, row_number, line, name, slug, external_id, draft, refusal,
             outcome)
         SELECT $1, $2, g.place, g.line, g.name, g.slug, g.external_id, g.draft, g.refusal,
                CASE WHEN g.draft IS NULL THEN 'refused' ELSE 'pending' END
         FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[]) WITH ORDINALITY
             AS g (line, name, slug, external_id, draft, refusal, place)",
        scope,
        import.uuid(),
        &all(rows, |row| i32::try_from(row.line).unwrap_or(i32::MAX)),
        &all(rows, |row| row.name.clone()),
        &all(rows, |row| row.slug.clone()),
        &all(rows, |row| row.external_id.clone()),
        &drafts as &[Option<Value>],
        &refusals as &[Option<Value>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The first row that nobody decided about, and what it asks for. Read it with the import locked: it stays the first then.
#[tracing::instrument(name = "import_rows.next", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn next(
    conn: &mut PgConnection,
    import: TenantImportId,
) -> Result<Option<(i32, Draft)>, Error> {
    let row = sqlx::query!(
        r#"SELECT row_number, draft AS "draft!" FROM tenant_import_rows
           WHERE import_id = $1 AND outcome = 'pending' ORDER BY row_number LIMIT 1"#,
        import.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok((row.row_number, serde_json::from_value(row.draft)?)))
        .transpose()
}

/// Writes what became of a row, once, and counts it; the import's lease goes on for this long.
#[tracing::instrument(name = "import_rows.decide", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn decide(
    conn: &mut PgConnection,
    import: TenantImportId,
    row: i32,
    decision: &Decision,
    lease: Duration,
) -> Result<(), Error> {
    let (made, slug, parent, level, refusal) = match decision {
        Decision::Created {
            tenant,
            slug,
            parent,
            level,
        } => {
            let level = i32::try_from(*level).unwrap_or(i32::MAX);
            (Some(*tenant), Some(slug), *parent, Some(level), None)
        }
        Decision::Exists { tenant, slug } => (Some(*tenant), Some(slug), None, None, None),
        Decision::Refused(refusal) => {
            (None, None, None, None, Some(serde_json::to_value(refusal)?))
        }
    };
    sqlx::query!(
        "WITH decided AS (
             UPDATE tenant_import_rows
             SET outcome = $3, made = $4, slug = coalesce($5, slug), parent = $6, level = $7, refusal = $8, draft = NULL
             WHERE import_id = $1 AND row_number = $2 AND outcome = 'pending'
             RETURNING outcome
         )
         UPDATE tenant_imports AS i
         SET created_count = i.created_count + (d.outcome = 'created')::int,
             existing_count = i.existing_count + (d.outcome = 'exists')::int,
             refused_count = i.refused_count + (d.outcome = 'refused')::int,
             failures = 0, due_at = clock_timestamp() + make_interval(secs => $9)
         FROM decided AS d WHERE i.import_id = $1",
        import.uuid(),
        row,
        decision.outcome().name(),
        made.map(TenantId::uuid),
        slug,
        parent.map(TenantId::uuid),
        level,
        refusal,
        lease.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An earlier row whose tenant has this slug, and one whose tenant has this external id; neither where they are empty.
#[tracing::instrument(name = "import_rows.repeated", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn repeated(
    conn: &mut PgConnection,
    import: TenantImportId,
    slug: &str,
    external_id: &str,
) -> Result<(Option<i32>, Option<i32>), Error> {
    let rows = sqlx::query!(
        "SELECT (SELECT row_number FROM tenant_import_rows
                 WHERE import_id = $1 AND outcome = 'created' AND slug = $2 AND $2 <> '' LIMIT 1) AS slug,
                (SELECT row_number FROM tenant_import_rows
                 WHERE import_id = $1 AND outcome = 'created' AND external_id = $3 AND external_id <> '' LIMIT 1)
                    AS external_id",
        import.uuid(),
        slug,
        external_id,
    )
    .fetch_one(conn)
    .await?;
    Ok((rows.slug, rows.external_id))
}

/// A stand-in for a tenant that a row of a dry run would make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandIn {
    pub(crate) id: TenantId,
    pub(crate) level: usize,
}

/// The stand-in that is called so, by slug or by external id; the other one is empty.
#[tracing::instrument(name = "import_rows.stand_in", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn stand_in(
    conn: &mut PgConnection,
    import: TenantImportId,
    slug: &str,
    external_id: &str,
) -> Result<Option<StandIn>, Error> {
    let row = sqlx::query!(
        r#"SELECT made AS "made!", level AS "level!" FROM tenant_import_rows
           WHERE import_id = $1 AND outcome = 'created'
             AND ((slug = $2 AND $2 <> '') OR (external_id = $3 AND external_id <> '')) LIMIT 1"#,
        import.uuid(),
        slug,
        external_id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| StandIn {
        id: row.made.into(),
        level: usize::try_from(row.level).unwrap_or(usize::MAX),
    }))
}

/// How many tenants the rows of a dry run would make below this one.
#[tracing::instrument(name = "import_rows.children", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn children(
    conn: &mut PgConnection,
    import: TenantImportId,
    parent: TenantId,
) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenant_import_rows
           WHERE import_id = $1 AND outcome = 'created' AND parent = $2"#,
        import.uuid(),
        parent.uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// A page of rows behind this one; of one outcome where one is named.
#[tracing::instrument(name = "import_rows.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    import: TenantImportId,
    outcome: Option<Outcome>,
    after: i32,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        "SELECT row_number, line, name, slug, external_id, outcome, made, refusal FROM tenant_import_rows
         WHERE import_id = $1 AND row_number > $2 AND outcome = coalesce($3, outcome) ORDER BY row_number LIMIT $4",
        import.uuid(),
        after,
        outcome.map(Outcome::name),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Row {
                number: row.row_number,
                line: row.line,
                name: row.name,
                slug: row.slug,
                external_id: row.external_id,
                outcome: serde_json::from_value(row.outcome.into())?,
                tenant: row.made.map(TenantId::from),
                refusal: row.refusal.map(serde_json::from_value).transpose()?,
            })
        })
        .collect()
}
