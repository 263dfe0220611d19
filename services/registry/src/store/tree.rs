//! Look-ups that span tenants, on the platform's connection: names before the tenant is known, and the tree.

use sqlx::PgConnection;
use tenantry_core::{TenantId, TenantRef};
use tenantry_store::Error;

use super::row::tenants;
use super::tenants::find;
use crate::domain::tenant::{MAX_LEVELS, Tenant};

/// The tenant of this name in a project; an id needs no project.
#[tracing::instrument(name = "tree.resolve", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn resolve(
    conn: &mut PgConnection,
    project: &str,
    name: &TenantRef,
) -> Result<Option<Tenant>, Error> {
    match name {
        TenantRef::Id(id) => find(conn, *id).await,
        // Postgres takes no NUL, so nothing is called by one.
        TenantRef::Slug(slug) if slug.contains('\0') || project.contains('\0') => Ok(None),
        TenantRef::Slug(slug) => select_tenants!("WHERE project = $1 AND slug = $2", project, slug)
            .fetch_optional(conn)
            .await?
            .map(Tenant::try_from)
            .transpose(),
    }
}

/// The tenants of a project that have one of these external ids.
#[tracing::instrument(name = "tree.of_external_ids", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of_external_ids(
    conn: &mut PgConnection,
    project: &str,
    external_ids: &[&str],
) -> Result<Vec<Tenant>, Error> {
    let rows = select_tenants!(
        "WHERE project = $1 AND external_id = ANY ($2)",
        project,
        external_ids as &[&str],
    )
    .fetch_all(conn)
    .await?;
    tenants(rows)
}

/// A tenant and all above it, nearest first.
#[tracing::instrument(name = "tree.lineage", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lineage(conn: &mut PgConnection, id: TenantId) -> Result<Vec<Tenant>, Error> {
    let rows = select_tenants!(
        "JOIN (
             WITH RECURSIVE up AS (
                 SELECT tenant_id AS id, parent_id AS above, 1 AS level FROM tenants WHERE tenant_id = $1
                 UNION ALL
                 SELECT p.tenant_id, p.parent_id, up.level + 1 FROM tenants AS p JOIN up ON p.tenant_id = up.above
                 WHERE up.level <= $2
             )
             SELECT id, level FROM up
         ) AS line ON t.tenant_id = line.id ORDER BY line.level",
        id.uuid(),
        MAX_LEVELS as i32,
    )
    .fetch_all(conn)
    .await?;
    tenants(rows)
}

/// Number of direct children that aren't deleted.
#[tracing::instrument(name = "tree.children", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn children(conn: &mut PgConnection, id: TenantId) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenants WHERE parent_id = $1 AND status <> 'deleted'"#,
        id.uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// Whether `id` is `root` or one of its descendants that a role in `root` reaches: none below a tenant out of use.
#[tracing::instrument(name = "tree.reaches", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn reaches(
    conn: &mut PgConnection,
    root: TenantId,
    id: TenantId,
) -> Result<bool, Error> {
    let reached = sqlx::query_scalar!(
        r#"
        WITH RECURSIVE up AS (
            SELECT tenant_id, parent_id, 1 AS level FROM tenants WHERE tenant_id = $2
            UNION ALL
            SELECT t.tenant_id, t.parent_id, up.level + 1 FROM tenants AS t JOIN up ON t.tenant_id = up.parent_id
            WHERE up.level <= $3 AND up.tenant_id <> $1 AND t.status IN ('trial', 'active')
        )
        SELECT EXISTS (SELECT FROM up WHERE tenant_id = $1) AS "reached!"
        "#,
        root.uuid(),
        id.uuid(),
        MAX_LEVELS as i32,
    )
    .fetch_one(conn)
    .await?;
    Ok(reached)
}

/// Holds the place below a parent: shared by those who add children, exclusive for one who deletes it, so that no child
/// appears below a tenant that is just going. Ends with the transaction.
#[tracing::instrument(name = "tree.hold", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold(
    conn: &mut PgConnection,
    parent: TenantId,
    exclusive: bool,
) -> Result<(), Error> {
    lock(conn, &parent.to_string(), exclusive).await
}

/// A page of all tenants of all projects behind this id, for followers that begin.
#[tracing::instrument(name = "tree.snapshot", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn snapshot(
    conn: &mut PgConnection,
    after: TenantId,
    limit: i64,
) -> Result<Vec<Tenant>, Error> {
    let rows = select_tenants!(
        "WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2",
        after.uuid(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    tenants(rows)
}

/// Holds the tree of a project: shared by those who add to it, exclusive for one who moves a part of it, so that depth and
/// descent are decided on what is. Take it before the place below a parent. Ends with the transaction.
#[tracing::instrument(name = "tree.hold_project", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold_project(
    conn: &mut PgConnection,
    project: &str,
    exclusive: bool,
) -> Result<(), Error> {
    lock(conn, &format!("project {project}"), exclusive).await
}

async fn lock(conn: &mut PgConnection, key: &str, exclusive: bool) -> Result<(), Error> {
    if exclusive {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key)
            .execute(conn)
            .await?;
    } else {
        sqlx::query!(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))",
            key
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// A tenant and all below it, deleted ones included, at most this many.
#[tracing::instrument(name = "tree.subtree", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn subtree(
    conn: &mut PgConnection,
    root: TenantId,
    most: i64,
) -> Result<Vec<TenantId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"
        WITH RECURSIVE down AS (
            SELECT tenant_id, 1 AS level FROM tenants WHERE tenant_id = $1
            UNION ALL
            SELECT c.tenant_id, down.level + 1 FROM tenants AS c JOIN down ON c.parent_id = down.tenant_id
            WHERE down.level <= $2
        )
        SELECT tenant_id AS "id!" FROM down LIMIT $3
        "#,
        root.uuid(),
        MAX_LEVELS as i32,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// How many levels a tenant's own tree has, itself and deleted ones included.
#[tracing::instrument(name = "tree.levels", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn levels(conn: &mut PgConnection, root: TenantId) -> Result<usize, Error> {
    let levels = sqlx::query_scalar!(
        r#"
        WITH RECURSIVE down AS (
            SELECT tenant_id, 1 AS level FROM tenants WHERE tenant_id = $1
            UNION ALL
            SELECT c.tenant_id, down.level + 1 FROM tenants AS c JOIN down ON c.parent_id = down.tenant_id
            WHERE down.level <= $2
        )
        SELECT coalesce(max(level), 0) AS "level!" FROM down
        "#,
        root.uuid(),
        MAX_LEVELS as i32,
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(levels).unwrap_or(usize::MAX))
}

/// Number of direct children, deleted ones included: those can come back.
#[tracing::instrument(name = "tree.places_taken", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn places_taken(conn: &mut PgConnection, id: TenantId) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenants WHERE parent_id = $1"#,
        id.uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}
