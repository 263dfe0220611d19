//! Plans, their versions and their names. A version is written once; the roles that serve requests can't change one.

use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use tenantry_core::PlanId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::plan::{Definition, Plan};

#[derive(Debug, FromRow)]
struct PlanRow {
    id: Uuid,
    project: String,
    version: i32,
    definition: Value,
    created_at: PgTime,
}

impl TryFrom<PlanRow> for Plan {
    type Error = Error;

    fn try_from(row: PlanRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            project: row.project,
            version: row.version,
            created_at: row.created_at.into(),
            definition: serde_json::from_value(row.definition)?,
        })
    }
}

/// The plan of this key or alias in a project, at this version or the newest.
#[tracing::instrument(name = "plans.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    project: &str,
    name: &str,
    version: Option<i32>,
) -> Result<Option<Plan>, Error> {
    if project.contains('\0') || name.contains('\0') {
        return Ok(None); // Postgres takes none, so nothing is called by one.
    }
    sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.project, v.version, v.definition, v.created_at
         FROM plan_names AS n
         JOIN plans AS p ON p.id = n.plan_id
         JOIN plan_versions AS v ON v.plan_id = p.id AND v.version = coalesce($3, p.version)
         WHERE n.project = $1 AND n.name = $2",
        project,
        name,
        version,
    )
    .fetch_optional(conn)
    .await?
    .map(Plan::try_from)
    .transpose()
}

/// The newest version, with the plan locked until the transaction ends: changes of one plan wait for each other.
#[tracing::instrument(name = "plans.find_for_update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find_for_update(
    conn: &mut PgConnection,
    project: &str,
    name: &str,
) -> Result<Option<Plan>, Error> {
    if project.contains('\0') || name.contains('\0') {
        return Ok(None);
    }
    // Locked first and read in a later statement: one that waited for the lock would join the old version to the new row.
    let locked = sqlx::query_scalar!(
        "SELECT p.id FROM plan_names AS n JOIN plans AS p ON p.id = n.plan_id
         WHERE n.project = $1 AND n.name = $2 FOR UPDATE OF p",
        project,
        name,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(id) = locked else { return Ok(None) };
    sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.project, v.version, v.definition, v.created_at
         FROM plans AS p JOIN plan_versions AS v ON v.plan_id = p.id AND v.version = p.version WHERE p.id = $1",
        id,
    )
    .fetch_optional(conn)
    .await?
    .map(Plan::try_from)
    .transpose()
}

/// A project's plans, each at its newest version, the oldest plan first.
#[tracing::instrument(name = "plans.of_project", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of_project(conn: &mut PgConnection, project: &str) -> Result<Vec<Plan>, Error> {
    sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.project, v.version, v.definition, v.created_at
         FROM plans AS p JOIN plan_versions AS v ON v.plan_id = p.id AND v.version = p.version
         WHERE p.project = $1 ORDER BY p.created_at, p.id",
        project,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Plan::try_from)
    .collect()
}

/// What the catalogue file said last of a project's plans; none for one that it never named.
#[tracing::instrument(name = "plans.in_file", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn in_file(
    conn: &mut PgConnection,
    project: &str,
) -> Result<Vec<(PlanId, Option<Definition>)>, Error> {
    sqlx::query!("SELECT id, in_file FROM plans WHERE project = $1", project)
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let said = row.in_file.map(serde_json::from_value).transpose()?;
            Ok((row.id.into(), said))
        })
        .collect()
}

/// Locks all plans of a project, so that what is read of them next stays.
#[tracing::instrument(name = "plans.hold_all", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold_all(conn: &mut PgConnection, project: &str) -> Result<(), Error> {
    sqlx::query!(
        "SELECT id FROM plans WHERE project = $1 ORDER BY id FOR UPDATE",
        project
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// How many plans a project has.
#[tracing::instrument(name = "plans.count", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn count(conn: &mut PgConnection, project: &str) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM plans WHERE project = $1"#,
        project
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// A page of a plan's versions below this one, the newest first.
#[tracing::instrument(name = "plans.versions", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn versions(
    conn: &mut PgConnection,
    plan: PlanId,
    below: Option<i32>,
    limit: i64,
) -> Result<Vec<Plan>, Error> {
    sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.project, v.version, v.definition, v.created_at
         FROM plans AS p JOIN plan_versions AS v ON v.plan_id = p.id
         WHERE p.id = $1 AND v.version < coalesce($2, 2147483647) ORDER BY v.version DESC LIMIT $3",
        plan.uuid(),
        below,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Plan::try_from)
    .collect()
}

/// A page of all versions of all plans behind this one, for followers that begin.
#[tracing::instrument(name = "plans.snapshot", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn snapshot(
    conn: &mut PgConnection,
    after: (PlanId, i32),
    limit: i64,
) -> Result<Vec<Plan>, Error> {
    sqlx::query_as!(
        PlanRow,
        "SELECT p.id, p.project, v.version, v.definition, v.created_at
         FROM plan_versions AS v JOIN plans AS p ON p.id = v.plan_id
         WHERE (v.plan_id, v.version) > ($1, $2) ORDER BY v.plan_id, v.version LIMIT $3",
        after.0.uuid(),
        after.1,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Plan::try_from)
    .collect()
}

/// Writes a new plan with its first version; `in_file` is what the catalogue file says of it, if it comes from there.
#[tracing::instrument(name = "plans.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(
    conn: &mut PgConnection,
    plan: &Plan,
    in_file: Option<&Definition>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO plans (id, project, version, in_file, created_at) VALUES ($1, $2, $3, $4, $5)",
        plan.id.uuid(),
        plan.project,
        plan.version,
        in_file.map(serde_json::to_value).transpose()?,
        PgTime(plan.created_at) as PgTime,
    )
    .execute(&mut *conn)
    .await?;
    insert_version(conn, plan).await
}

/// Writes the next version of a plan that this transaction holds locked.
#[tracing::instrument(name = "plans.advance", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn advance(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE plans SET version = $2 WHERE id = $1",
        plan.id.uuid(),
        plan.version,
    )
    .execute(&mut *conn)
    .await?;
    insert_version(conn, plan).await
}

/// Keeps what the catalogue file says of a plan now.
#[tracing::instrument(name = "plans.set_in_file", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn set_in_file(
    conn: &mut PgConnection,
    plan: PlanId,
    said: &Definition,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE plans SET in_file = $2 WHERE id = $1",
        plan.uuid(),
        serde_json::to_value(said)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_version(conn: &mut PgConnection, plan: &Plan) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO plan_versions (plan_id, version, definition, created_at) VALUES ($1, $2, $3, $4)",
        plan.id.uuid(),
        plan.version,
        serde_json::to_value(&plan.definition)?,
        PgTime(plan.created_at) as PgTime,
    )
    .execute(&mut *conn)
    .await?;
    let names: Vec<_> = plan.definition.names().cloned().collect();
    sqlx::query!(
        "DELETE FROM plan_names WHERE plan_id = $1 AND name <> ALL($2)",
        plan.id.uuid(),
        &names,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO plan_names (project, name, plan_id)
         SELECT $1, wanted.name, $2 FROM unnest($3::text[]) AS wanted (name)
         WHERE NOT EXISTS (SELECT FROM plan_names AS own WHERE own.plan_id = $2 AND own.name = wanted.name)",
        plan.project,
        plan.id.uuid(),
        &names,
    )
    .execute(conn)
    .await?;
    Ok(())
}
