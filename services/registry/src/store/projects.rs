//! Projects.

use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::project::{Project, SignUp};

#[derive(Debug, FromRow)]
struct ProjectRow {
    id: Uuid,
    key: String,
    name: String,
    sign_up: String,
    created_at: PgTime,
    updated_at: PgTime,
    version: i64,
}

impl TryFrom<ProjectRow> for Project {
    type Error = Error;

    fn try_from(row: ProjectRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            key: row.key,
            name: row.name,
            sign_up: sign_up(row.sign_up)?,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            version: row.version,
        })
    }
}

fn sign_up(word: String) -> Result<SignUp, Error> {
    Ok(serde_json::from_value(Value::String(word))?)
}

/// Writes a new project.
#[tracing::instrument(name = "projects.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, project: &Project) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO projects (id, key, name, sign_up, created_at, updated_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        project.id.uuid(),
        project.key,
        project.name,
        project.sign_up.name(),
        PgTime(project.created_at) as PgTime,
        PgTime(project.updated_at) as PgTime,
        project.version,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the new state of a project that this transaction holds locked.
#[tracing::instrument(name = "projects.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn update(conn: &mut PgConnection, project: &Project) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE projects SET name = $2, sign_up = $3, updated_at = $4, version = $5 WHERE key = $1",
        project.key,
        project.name,
        project.sign_up.name(),
        PgTime(project.updated_at) as PgTime,
        project.version,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The project of this key.
#[tracing::instrument(name = "projects.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(conn: &mut PgConnection, key: &str) -> Result<Option<Project>, Error> {
    if key.contains('\0') {
        return Ok(None); // Postgres takes none, so nothing is called by one.
    }
    sqlx::query_as!(ProjectRow, "SELECT id, key, name, sign_up, created_at, updated_at, version FROM projects WHERE key = $1", key)
        .fetch_optional(conn)
        .await?
        .map(Project::try_from)
        .transpose()
}

/// A page of projects behind this key.
#[tracing::instrument(name = "projects.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    after: &str,
    limit: i64,
) -> Result<Vec<Project>, Error> {
    sqlx::query_as!(
        ProjectRow,
        "SELECT id, key, name, sign_up, created_at, updated_at, version FROM projects WHERE key > $1 ORDER BY key LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Project::try_from)
    .collect()
}

/// Locks a project until the transaction ends, so that what it may have only so many of is counted by one at a time. False
/// where there is none of this key.
#[tracing::instrument(name = "projects.hold", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold(conn: &mut PgConnection, key: &str) -> Result<bool, Error> {
    if key.contains('\0') {
        return Ok(false);
    }
    // Not its key: tenants that are just made refer to it.
    let held = sqlx::query_scalar!(
        "SELECT key FROM projects WHERE key = $1 FOR NO KEY UPDATE",
        key
    )
    .fetch_optional(conn)
    .await?;
    Ok(held.is_some())
}

/// Whether one may sign up in the project of this key, if there is one. It stays so until the transaction ends: who closes
/// sign-up waits for those that are under way.
#[tracing::instrument(name = "projects.hold_sign_up", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold_sign_up(
    conn: &mut PgConnection,
    key: &str,
) -> Result<Option<SignUp>, Error> {
    if key.contains('\0') {
        return Ok(None); // Postgres takes none, so nothing is called by one.
    }
    sqlx::query_scalar!("SELECT sign_up FROM projects WHERE key = $1 FOR SHARE", key)
        .fetch_optional(conn)
        .await?
        .map(sign_up)
        .transpose()
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
