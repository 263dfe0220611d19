//! Limits that stand apart from the plan's.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use crate::domain::limit::LimitOverride;

struct Row {
    override_id: uuid::Uuid,
    resource_type: String,
    limit: i64,
    reset_period: String,
    shared: bool,
    policy: Value,
    reason: String,
    expires_at: Option<PgTime>,
    created_at: PgTime,
    created_by: Value,
    by_operator: bool,
}

impl TryFrom<Row> for LimitOverride {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.override_id.into(),
            resource_type: row.resource_type,
            limit: row.limit,
            reset_period: serde_json::from_value(Value::String(row.reset_period))?,
            shared: row.shared,
            policy: serde_json::from_value(row.policy)?,
            reason: row.reason,
            expires_at: row.expires_at.map(Into::into),
            created_at: row.created_at.into(),
            created_by: serde_json::from_value(row.created_by)?,
            by_operator: row.by_operator,
        })
    }
}

/// The override of a tenant's limit on a resource type.
#[tracing::instrument(name = "limit_overrides.find", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_type: &str,
) -> Result<Option<LimitOverride>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT override_id, resource_type, "limit", reset_period, shared, policy, reason, expires_at AS "expires_at: PgTime",
                  created_at AS "created_at: PgTime", created_by, by_operator
           FROM limit_overrides WHERE tenant_id = $1 AND resource_type = $2"#,
        tenant.uuid(),
        resource_type,
    )
    .fetch_optional(conn)
    .await?;
    row.map(LimitOverride::try_from).transpose()
}

/// The same, and nobody else sets or takes one there until the transaction ends, be there one or not.
#[tracing::instrument(name = "limit_overrides.lock", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_type: &str,
) -> Result<Option<LimitOverride>, Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock('limit_overrides'::regclass::oid::integer, hashtext($1))::text AS locked",
        format!("{tenant} {resource_type}"),
    )
    .fetch_one(&mut *conn)
    .await?;
    find(conn, tenant, resource_type).await
}

/// All overrides of a tenant.
#[tracing::instrument(name = "limit_overrides.of", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn of(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<LimitOverride>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT override_id, resource_type, "limit", reset_period, shared, policy, reason, expires_at AS "expires_at: PgTime",
                  created_at AS "created_at: PgTime", created_by, by_operator
           FROM limit_overrides WHERE tenant_id = $1"#,
        tenant.uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(LimitOverride::try_from).collect()
}

/// All overrides of all tenants behind this tenant and resource type, in their order.
#[tracing::instrument(name = "limit_overrides.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    (tenant, resource_type): (TenantId, &str),
    limit: i64,
) -> Result<Vec<(TenantId, LimitOverride)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, override_id, resource_type, "limit", reset_period, shared, policy, reason, expires_at AS "expires_at: PgTime",
                  created_at AS "created_at: PgTime", created_by, by_operator
           FROM limit_overrides WHERE (tenant_id, resource_type) > ($1, $2) ORDER BY tenant_id, resource_type LIMIT $3"#,
        tenant.uuid(),
        resource_type,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let set = Row {
            override_id: row.override_id,
            resource_type: row.resource_type,
            limit: row.limit,
            reset_period: row.reset_period,
            shared: row.shared,
            policy: row.policy,
            reason: row.reason,
            expires_at: row.expires_at,
            created_at: row.created_at,
            created_by: row.created_by,
            by_operator: row.by_operator,
        };
        Ok((row.tenant_id.into(), set.try_into()?))
    });
    rows.collect()
}

/// Keeps an override, in the place of an earlier one.
#[tracing::instrument(name = "limit_overrides.put", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    set: &LimitOverride,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO limit_overrides (tenant_id, resource_type, override_id, "limit", reset_period, shared, reason, expires_at,
                                        created_at, created_by, by_operator, policy)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           ON CONFLICT (tenant_id, resource_type) DO UPDATE
               SET override_id = excluded.override_id, "limit" = excluded."limit", reset_period = excluded.reset_period,
                   shared = excluded.shared, reason = excluded.reason, expires_at = excluded.expires_at,
                   created_at = excluded.created_at, created_by = excluded.created_by, by_operator = excluded.by_operator,
                   policy = excluded.policy"#,
        tenant.uuid(),
        set.resource_type,
        set.id.uuid(),
        set.limit,
        set.reset_period.word(),
        set.shared,
        set.reason,
        set.expires_at.map(PgTime) as Option<PgTime>,
        PgTime(set.created_at) as PgTime,
        serde_json::to_value(&set.created_by)?,
        set.by_operator,
        serde_json::to_value(set.policy)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes an override away.
#[tracing::instrument(name = "limit_overrides.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    resource_type: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM limit_overrides WHERE tenant_id = $1 AND resource_type = $2",
        tenant.uuid(),
        resource_type,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Overrides whose time has passed.
#[tracing::instrument(name = "limit_overrides.expired", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn expired(
    conn: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(TenantId, String)>, Error> {
    let rows = sqlx::query!(
        "SELECT tenant_id, resource_type FROM limit_overrides WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1",
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.tenant_id.into(), row.resource_type))
        .collect())
}
