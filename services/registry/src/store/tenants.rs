//! One tenant's row.

use sqlx::PgConnection;
use tenantry_core::{TenantId, TenantStatus};
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use super::row::tenants;
use crate::domain::tenant::Tenant;

/// The tenant of this id, if this transaction sees it.
#[tracing::instrument(name = "tenants.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(conn: &mut PgConnection, id: TenantId) -> Result<Option<Tenant>, Error> {
    select_tenants!("WHERE tenant_id = $1", id.uuid())
        .fetch_optional(conn)
        .await?
        .map(Tenant::try_from)
        .transpose()
}

/// The same, locked until the transaction ends: changes of one tenant wait for each other.
#[tracing::instrument(name = "tenants.find_for_update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find_for_update(
    conn: &mut PgConnection,
    id: TenantId,
) -> Result<Option<Tenant>, Error> {
    select_tenants!("WHERE tenant_id = $1 FOR UPDATE", id.uuid())
        .fetch_optional(conn)
        .await?
        .map(Tenant::try_from)
        .transpose()
}

/// Writes a new tenant.
#[tracing::instrument(name = "tenants.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO tenants (tenant_id, project, name, slug, status, plan, parent_id, external_id, email, billing_email,
             contact_phone, timezone, locale, region, trial_ends_at, labels, metadata, suspend_reason, created_at,
             updated_at, version, plan_version, requested_limits)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, '', $18, $18, $19, $20, $21)",
        tenant.id.uuid(),
        tenant.project,
        tenant.name,
        tenant.slug,
        tenant.status.name(),
        tenant.plan,
        tenant.parent_id.map(TenantId::uuid),
        tenant.external_id,
        tenant.email,
        tenant.billing_email,
        tenant.contact_phone,
        tenant.timezone,
        tenant.locale,
        tenant.region,
        tenant.trial_ends_at.map(PgTime) as Option<PgTime>,
        serde_json::to_value(&tenant.labels)?,
        tenant.metadata,
        PgTime(tenant.created_at) as PgTime,
        tenant.version,
        tenant.plan_version,
        serde_json::to_value(&tenant.requested_limits)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the new state of a tenant that this transaction holds locked.
#[tracing::instrument(name = "tenants.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn update(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE tenants
         SET name = $2, slug = $3, status = $4, suspended_from = $5, deleted_from = $6, plan = $7, external_id = $8,
             email = $9, billing_email = $10, contact_phone = $11, timezone = $12, locale = $13, region = $14,
             labels = $15, metadata = $16, suspend_reason = $17, updated_at = $18, deleted_at = $19, purge_at = $20,
             version = $21, suspended_by = $22, archived_from = $23, archived_at = $24, trial_ends_at = $25,
             parent_id = $26, plan_version = $27
         WHERE tenant_id = $1",
        tenant.id.uuid(),
        tenant.name,
        tenant.slug,
        tenant.status.name(),
        tenant.suspended_from.map(|status| status.name()),
        tenant.deleted_from.map(|status| status.name()),
        tenant.plan,
        tenant.external_id,
        tenant.email,
        tenant.billing_email,
        tenant.contact_phone,
        tenant.timezone,
        tenant.locale,
        tenant.region,
        serde_json::to_value(&tenant.labels)?,
        tenant.metadata,
        tenant.suspend_reason,
        PgTime(tenant.updated_at) as PgTime,
        tenant.deleted_at.map(PgTime) as Option<PgTime>,
        tenant.purge_at.map(PgTime) as Option<PgTime>,
        tenant.version,
        tenant.suspended_by.map(TenantId::uuid),
        tenant.archived_from.map(|status| status.name()),
        tenant.archived_at.map(PgTime) as Option<PgTime>,
        tenant.trial_ends_at.map(PgTime) as Option<PgTime>,
        tenant.parent_id.map(TenantId::uuid),
        tenant.plan_version,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// These tenants, locked in the order of their ids until the transaction ends.
#[tracing::instrument(name = "tenants.find_all_for_update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find_all_for_update(
    conn: &mut PgConnection,
    ids: &[TenantId],
) -> Result<Vec<Tenant>, Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = select_tenants!(
        "WHERE tenant_id = ANY ($1) ORDER BY tenant_id FOR UPDATE",
        &ids
    )
    .fetch_all(conn)
    .await?;
    tenants(rows)
}

/// Writes the new statuses of tenants that this transaction holds locked, and what belongs to a suspension.
#[tracing::instrument(name = "tenants.update_statuses", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn update_statuses(
    conn: &mut PgConnection,
    tenants: &[Tenant],
) -> Result<(), Error> {
    fn all<T>(tenants: &[Tenant], field: impl FnMut(&Tenant) -> T) -> Vec<T> {
        tenants.iter().map(field).collect()
    }
    let name = |status: TenantStatus| status.name().to_owned();
    sqlx::query!(
        "UPDATE tenants AS t
         SET status = g.status, suspended_from = g.suspended_from, suspended_by = g.suspended_by,
             archived_from = g.archived_from, archived_at = g.archived_at, suspend_reason = g.suspend_reason,
             updated_at = g.updated_at, version = g.version
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::timestamptz[], $7::text[],
                     $8::timestamptz[], $9::bigint[])
             AS g (tenant_id, status, suspended_from, suspended_by, archived_from, archived_at, suspend_reason,
                   updated_at, version)
         WHERE t.tenant_id = g.tenant_id",
        &all(tenants, |t| t.id.uuid()),
        &all(tenants, |t| name(t.status)),
        &all(tenants, |t| t.suspended_from.map(name)) as &[Option<String>],
        &all(tenants, |t| t.suspended_by.map(TenantId::uuid)) as &[Option<Uuid>],
        &all(tenants, |t| t.archived_from.map(name)) as &[Option<String>],
        &all(tenants, |t| t.archived_at.map(PgTime)) as &[Option<PgTime>],
        &all(tenants, |t| t.suspend_reason.clone()),
        &all(tenants, |t| PgTime(t.updated_at)) as &[PgTime],
        &all(tenants, |t| t.version),
    )
    .execute(conn)
    .await?;
    Ok(())
}
