//! Projects.

use sqlx::PgConnection;
use tenantry_core::ProjectId;
use tenantry_store::Error;

use crate::domain::project::Project;

/// Writes a new project and returns it with its time.
#[tracing::instrument(name = "projects.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    key: &str,
    name: &str,
) -> Result<Project, Error> {
    let id = ProjectId::new();
    let row = sqlx::query!(
        "INSERT INTO projects (id, key, name) VALUES ($1, $2, $3) RETURNING created_at",
        id.uuid(),
        key,
        name,
    )
    .fetch_one(conn)
    .await?;
    Ok(Project {
        id,
        key: key.to_owned(),
        name: name.to_owned(),
        created_at: row.created_at.into(),
    })
}

/// A page of projects behind this key.
#[tracing::instrument(name = "projects.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    after: &str,
    limit: i64,
) -> Result<Vec<Project>, Error> {
    let rows = sqlx::query!(
        "SELECT id, key, name, created_at FROM projects WHERE key > $1 ORDER BY key LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Project {
            id: row.id.into(),
            key: row.key,
            name: row.name,
            created_at: row.created_at.into(),
        })
        .collect())
}

/// Whether a project of this key exists.
#[tracing::instrument(name = "projects.exists", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn exists(conn: &mut PgConnection, key: &str) -> Result<bool, Error> {
    if key.contains('\0') {
        return Ok(false); // Postgres takes none, so nothing is called by one.
    }
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM projects WHERE key = $1) AS "found!""#,
        key
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}
