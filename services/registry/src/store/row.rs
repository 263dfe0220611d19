//! A tenant's row and the tenant.

use serde_json::Value;
use sqlx::FromRow;
use tenantry_core::TenantStatus;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::tenant::Tenant;

/// A row of `tenants`.
#[derive(Debug, FromRow)]
pub(crate) struct TenantRow {
    pub(crate) tenant_id: Uuid,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) status: String,
    pub(crate) suspended_from: Option<String>,
    pub(crate) suspended_by: Option<Uuid>,
    pub(crate) archived_from: Option<String>,
    pub(crate) deleted_from: Option<String>,
    pub(crate) plan: String,
    pub(crate) parent_id: Option<Uuid>,
    pub(crate) external_id: Option<String>,
    pub(crate) email: String,
    pub(crate) billing_email: String,
    pub(crate) contact_phone: String,
    pub(crate) timezone: String,
    pub(crate) locale: String,
    pub(crate) region: String,
    pub(crate) trial_ends_at: Option<PgTime>,
    pub(crate) labels: Value,
    pub(crate) metadata: Value,
    pub(crate) suspend_reason: String,
    pub(crate) created_at: PgTime,
    pub(crate) updated_at: PgTime,
    pub(crate) archived_at: Option<PgTime>,
    pub(crate) deleted_at: Option<PgTime>,
    pub(crate) purge_at: Option<PgTime>,
    pub(crate) purge_started_at: Option<PgTime>,
    pub(crate) version: i64,
    pub(crate) plan_version: i32,
    pub(crate) domains: Vec<String>,
    pub(crate) requested_limits: Value,
    pub(crate) held: bool,
}

/// Hands the columns of a [`TenantRow`] to a macro, before what else it is to have. Each is named: a statement that was prepared
/// with `*` fails on every replica from the moment a migration adds a column.
macro_rules! with_tenant_columns {
    ($then:ident! $($more:tt)*) => {
        $then!(
            "t.tenant_id, t.project, t.name, t.slug, t.status, t.suspended_from, t.suspended_by, \
             t.archived_from, t.deleted_from, t.plan, t.parent_id, t.external_id, t.email, \
             t.billing_email, t.contact_phone, t.timezone, t.locale, t.region, t.trial_ends_at, \
             t.labels, t.metadata, t.suspend_reason, t.created_at, t.updated_at, t.archived_at, \
             t.deleted_at, t.purge_at, t.purge_started_at, t.version, t.plan_version, t.domains, \
             t.requested_limits, t.held",
            $($more)*
        )
    };
}

/// The columns, for statements that are put together as they run.
pub(super) const COLUMNS: &str = with_tenant_columns!(concat!);

/// A checked statement that reads tenants, called `t`: what comes behind `FROM tenants AS t`, and its values.
macro_rules! select_tenants {
    ($($rest:tt)*) => { with_tenant_columns!(query_tenants! $($rest)*) };
}

macro_rules! query_tenants {
    ($columns:tt, $rest:tt $($values:tt)*) => {
        sqlx::query_as!(
            $crate::store::row::TenantRow,
            "SELECT " + $columns + " FROM tenants AS t " + $rest $($values)*
        )
    };
}

/// The tenants of these rows.
pub(super) fn tenants(rows: Vec<TenantRow>) -> Result<Vec<Tenant>, Error> {
    rows.into_iter().map(Tenant::try_from).collect()
}

impl TryFrom<TenantRow> for Tenant {
    type Error = Error;

    fn try_from(row: TenantRow) -> Result<Self, Error> {
        let word = |text: String| serde_json::from_value::<TenantStatus>(Value::String(text));
        Ok(Self {
            id: row.tenant_id.into(),
            project: row.project,
            name: row.name,
            slug: row.slug,
            status: word(row.status)?,
            suspended_from: row.suspended_from.map(word).transpose()?,
            suspended_by: row.suspended_by.map(Into::into),
            archived_from: row.archived_from.map(word).transpose()?,
            deleted_from: row.deleted_from.map(word).transpose()?,
            plan: row.plan,
            parent_id: row.parent_id.map(Into::into),
            external_id: row.external_id,
            email: row.email,
            billing_email: row.billing_email,
            contact_phone: row.contact_phone,
            timezone: row.timezone,
            locale: row.locale,
            region: row.region,
            trial_ends_at: row.trial_ends_at.map(Into::into),
            labels: serde_json::from_value(row.labels)?,
            metadata: row.metadata,
            suspend_reason: row.suspend_reason,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            archived_at: row.archived_at.map(Into::into),
            deleted_at: row.deleted_at.map(Into::into),
            purge_at: row.purge_at.map(Into::into),
            domains: row.domains,
            held: row.held,
            requested_limits: serde_json::from_value(row.requested_limits)?,
            purge_started_at: row.purge_started_at.map(Into::into),
            version: row.version,
            plan_version: row.plan_version,
        })
    }
}
