//! Purges under way, and what is held of tenants that are gone.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::time::PgTime;
use tenantry_store::{Error, TenantTable};
use uuid::Uuid;

use crate::domain::purge::{Part, Purge};
use crate::domain::tenant::Tenant;

/// The tables that a purge empties of a tenant, in this order. What a purge leaves is reviewed beside the test that holds
/// this list against the schema.
pub const TENANT_TABLES: &[TenantTable] = &[
    TenantTable::of("request_record", "request_records"),
    TenantTable::of("domains", "domains"),
    TenantTable::of("purges", "purges"),
    TenantTable::of("tenant_import_rows", "tenant_import_rows"),
    TenantTable::of("tenant_imports", "tenant_imports"),
    TenantTable::of("tenants", "tenants"),
];

struct Row {
    tenant_id: Uuid,
    started_at: PgTime,
    started_by: serde_json::Value,
    services: serde_json::Value,
    failures: i32,
}

impl TryFrom<Row> for Purge {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            tenant: row.tenant_id.into(),
            started_at: row.started_at.into(),
            started_by: serde_json::from_value(row.started_by)?,
            parts: serde_json::from_value(row.services)?,
            failures: row.failures,
        })
    }
}

/// Writes a purge that begins, due at once, and marks its tenant.
#[tracing::instrument(name = "purges.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, purge: &Purge) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO purges (tenant_id, started_at, started_by, services, due_at, failures)
         VALUES ($1, $2, $3, $4, clock_timestamp(), 0)",
        purge.tenant.uuid(),
        PgTime(purge.started_at) as PgTime,
        serde_json::to_value(&purge.started_by)?,
        serde_json::to_value(&purge.parts)?,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE tenants SET purge_started_at = $2 WHERE tenant_id = $1",
        purge.tenant.uuid(),
        PgTime(purge.started_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The purge of a tenant, while it is under way.
#[tracing::instrument(name = "purges.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Purge>, Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, started_at, started_by, services, failures FROM purges WHERE tenant_id = $1"#,
        tenant.uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(Purge::try_from)
    .transpose()
}

/// Takes up a purge that is due, if one is, for at most this long: then another replica may. Sees all tenants.
#[tracing::instrument(name = "purges.take", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn take(conn: &mut PgConnection, lease: Duration) -> Result<Option<Purge>, Error> {
    sqlx::query_as!(
        Row,
        "UPDATE purges SET due_at = clock_timestamp() + make_interval(secs => $1)
         WHERE tenant_id = (SELECT tenant_id FROM purges WHERE due_at <= clock_timestamp()
                            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING tenant_id, started_at, started_by, services, failures",
        lease.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await?
    .map(Purge::try_from)
    .transpose()
}

/// Writes how far the services are, and goes on with the lease for this long: a turn that brought something on is no failure.
#[tracing::instrument(name = "purges.advance", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn advance(
    conn: &mut PgConnection,
    tenant: TenantId,
    parts: &[Part],
    lease: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE purges SET services = $2, failures = 0, due_at = clock_timestamp() + make_interval(secs => $3)
         WHERE tenant_id = $1",
        tenant.uuid(),
        serde_json::to_value(parts)?,
        lease.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up a turn that failed until this much later.
#[tracing::instrument(name = "purges.postpone", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn postpone(
    conn: &mut PgConnection,
    tenant: TenantId,
    pause: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE purges SET failures = failures + 1, due_at = clock_timestamp() + make_interval(secs => $2)
         WHERE tenant_id = $1",
        tenant.uuid(),
        pause.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Some deleted tenants whose time has come and that nothing keeps, oldest first. Sees all tenants.
#[tracing::instrument(name = "purges.overdue", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn overdue(conn: &mut PgConnection, most: i64) -> Result<Vec<TenantId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT tenant_id FROM tenants AS t
         WHERE purge_at <= clock_timestamp() AND purge_started_at IS NULL
           AND NOT EXISTS (SELECT FROM tenants AS c WHERE c.parent_id = t.tenant_id)
           AND NOT EXISTS (SELECT FROM legal_holds AS h WHERE h.tenant_id = t.tenant_id)
         ORDER BY purge_at LIMIT $1",
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Whether a tenant has children of any status. Sees all tenants.
#[tracing::instrument(name = "purges.has_children", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn has_children(conn: &mut PgConnection, id: TenantId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM tenants WHERE parent_id = $1) AS "found!""#,
        id.uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}

/// Holds the id and every slug of a tenant for good.
#[tracing::instrument(name = "purges.hold_names", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hold_names(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO purged_tenants (id, project) VALUES ($1, $2)",
        tenant.id.uuid(),
        tenant.project,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE slugs SET freed_at = clock_timestamp() WHERE tenant_id = $1 AND freed_at IS NULL",
        tenant.id.uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
