//! Custom domains.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::custom_domain::{Domain, MAX_DOMAINS};
use crate::domain::tenant::Tenant;

/// A row of `domains`.
#[derive(Debug, FromRow)]
struct DomainRow {
    tenant_id: Uuid,
    name: String,
    id: Uuid,
    status: String,
    token: String,
    created_at: PgTime,
    verified_at: Option<PgTime>,
    failing_since: Option<PgTime>,
    checked_at: Option<PgTime>,
    next_check_at: Option<PgTime>,
    problem: String,
    shown_at: Option<PgTime>,
    unanswered: i32,
}

/// A checked statement that gives domains, called `d`, with each column by its name between its two halves: one that was
/// prepared with `*` fails from the moment a migration adds a column.
macro_rules! rows {
    ($before:tt, $after:tt, $($values:tt)*) => {
        sqlx::query_as!(
            DomainRow,
            $before
                + " d.tenant_id, d.name, d.id, d.status, d.token, d.created_at, d.verified_at, d.failing_since, d.checked_at, \
                    d.next_check_at, d.problem, d.shown_at, d.unanswered "
                + $after,
            $($values)*
        )
    };
}

impl TryFrom<DomainRow> for Domain {
    type Error = Error;

    fn try_from(row: DomainRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            name: row.name,
            status: serde_json::from_value(Value::String(row.status))?,
            token: row.token,
            created_at: row.created_at.into(),
            verified_at: row.verified_at.map(Into::into),
            failing_since: row.failing_since.map(Into::into),
            checked_at: row.checked_at.map(Into::into),
            next_check_at: row.next_check_at.map(Into::into),
            problem: row.problem,
            shown_at: row.shown_at.map(Into::into),
            unanswered: row.unanswered,
        })
    }
}

/// The domain of this name, if this transaction sees it.
#[tracing::instrument(name = "domains.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Domain>, Error> {
    rows!(
        "SELECT",
        "FROM domains AS d WHERE tenant_id = $1 AND name = $2",
        tenant.uuid(),
        name,
    )
    .fetch_optional(conn)
    .await?
    .map(Domain::try_from)
    .transpose()
}

/// The tenant's domains, by name.
#[tracing::instrument(name = "domains.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn list(conn: &mut PgConnection, tenant: TenantId) -> Result<Vec<Domain>, Error> {
    rows!(
        "SELECT",
        "FROM domains AS d WHERE tenant_id = $1 ORDER BY name LIMIT $2",
        tenant.uuid(),
        MAX_DOMAINS,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Domain::try_from)
    .collect()
}

/// Adds a domain; `false` where the tenant has it already.
#[tracing::instrument(name = "domains.insert", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn insert(conn: &mut PgConnection, domain: &Domain) -> Result<bool, Error> {
    let added = sqlx::query!(
        "INSERT INTO domains (tenant_id, name, id, status, token, created_at, next_check_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, name) DO NOTHING",
        domain.tenant_id.uuid(),
        domain.name,
        domain.id.uuid(),
        domain.status.name(),
        domain.token,
        PgTime(domain.created_at) as PgTime,
        domain.next_check_at.map(PgTime) as Option<PgTime>,
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Writes the new state of a domain of a tenant that this transaction holds locked.
#[tracing::instrument(name = "domains.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn update(conn: &mut PgConnection, domain: &Domain) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE domains
         SET status = $3, verified_at = $4, failing_since = $5, checked_at = $6, next_check_at = $7, problem = $8,
             shown_at = $9, unanswered = $10
         WHERE tenant_id = $1 AND name = $2",
        domain.tenant_id.uuid(),
        domain.name,
        domain.status.name(),
        domain.verified_at.map(PgTime) as Option<PgTime>,
        domain.failing_since.map(PgTime) as Option<PgTime>,
        domain.checked_at.map(PgTime) as Option<PgTime>,
        domain.next_check_at.map(PgTime) as Option<PgTime>,
        domain.problem,
        domain.shown_at.map(PgTime) as Option<PgTime>,
        domain.unanswered,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a domain away.
#[tracing::instrument(name = "domains.delete", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM domains WHERE tenant_id = $1 AND name = $2",
        tenant.uuid(),
        name,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The tenant's own domain of this name and, of another, the one that names its tenant now; on the platform's connection.
#[tracing::instrument(name = "domains.standing", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn standing(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<Vec<Domain>, Error> {
    rows!(
        "SELECT",
        "FROM domains AS d WHERE d.name = $2 AND (d.tenant_id = $1 OR d.status <> 'pending')",
        tenant.uuid(),
        name,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Domain::try_from)
    .collect()
}

/// Writes which domains name a tenant that this transaction holds locked.
#[tracing::instrument(name = "domains.set_names", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn set_names(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE tenants SET domains = $2, version = $3, updated_at = $4 WHERE tenant_id = $1",
        tenant.id.uuid(),
        &tenant.domains,
        tenant.version,
        PgTime(tenant.updated_at) as PgTime,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the domain that has been due the longest, if one is, of another tenant than these, on the platform's connection:
/// nobody else takes it before `until`. Without `silent_too` those are left whose last look nobody answered.
#[tracing::instrument(name = "domains.take_due", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn take_due(
    conn: &mut PgConnection,
    now: Timestamp,
    until: Timestamp,
    but_of: &[TenantId],
    silent_too: bool,
) -> Result<Option<Domain>, Error> {
    let but_of: Vec<Uuid> = but_of.iter().map(|tenant| tenant.uuid()).collect();
    rows!(
        "UPDATE domains AS d SET next_check_at = $2
         FROM (SELECT tenant_id, name FROM domains
               WHERE next_check_at <= $1 AND tenant_id <> ALL ($3) AND ($4 OR unanswered = 0)
               ORDER BY next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS due
         WHERE d.tenant_id = due.tenant_id AND d.name = due.name
         RETURNING",
        "",
        PgTime(now) as PgTime,
        PgTime(until) as PgTime,
        &but_of,
        silent_too,
    )
    .fetch_optional(conn)
    .await?
    .map(Domain::try_from)
    .transpose()
}
