//! What all tenants use together.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

/// What all tenants use, in the windows that are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) api_calls: i64,
    pub(crate) storage_bytes: i64,
    /// How many tenants use something.
    pub(crate) tenants: i64,
}

/// The sums of all accounts that are under way. That of a pool has what the tenants below use, which have accounts of their own: of these
/// pools it is what the tenant itself used, by what the log adds up to.
#[tracing::instrument(name = "accounts.totals", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn totals(
    conn: &mut PgConnection,
    now: Timestamp,
    pools: &[(TenantId, String)],
) -> Result<Totals, Error> {
    let tenants: Vec<_> = pools.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let types: Vec<_> = pools.iter().map(|(_, name)| name.as_str()).collect();
    sqlx::query_as!(
        Totals,
        r#"WITH pools AS (SELECT tenant_id, resource_type FROM unnest($2::uuid[], $3::text[]) AS pool (tenant_id, resource_type)),
                -- The indexes of accounts by their end are of open ones, and of closed ones.
                under_way AS (
                    SELECT tenant_id, resource_type, window_start, superseded, settled::numeric + committed AS used FROM accounts
                    WHERE opening IS NULL AND window_end > $1
                    UNION ALL
                    SELECT tenant_id, resource_type, window_start, superseded, settled::numeric + committed FROM accounts
                    WHERE opening IS NOT NULL AND window_end > $1
                    UNION ALL
                    SELECT tenant_id, resource_type, window_start, superseded, settled::numeric + committed FROM accounts
                    WHERE opening IS NULL AND window_end IS NULL
                    UNION ALL
                    SELECT tenant_id, resource_type, window_start, superseded, settled::numeric + committed FROM accounts
                    WHERE opening IS NOT NULL AND window_end IS NULL),
                used AS (
                    SELECT a.tenant_id, a.resource_type, CASE WHEN pool.tenant_id IS NULL
                        THEN a.used
                        ELSE (SELECT coalesce(sum(s.amount), 0) FROM usage_series AS s
                              WHERE s.tenant_id = a.tenant_id AND s.resource_type = a.resource_type AND s.minutes = 15
                                AND s.start >= a.window_start) END AS amount
                    FROM under_way AS a LEFT JOIN pools AS pool USING (tenant_id, resource_type)
                    WHERE NOT a.superseded)
           SELECT least(coalesce(sum(amount) FILTER (WHERE resource_type = 'api_calls'), 0), 9223372036854775807)::bigint AS "api_calls!",
                  least(coalesce(sum(amount) FILTER (WHERE resource_type = 'storage_bytes'), 0), 9223372036854775807)::bigint
                      AS "storage_bytes!",
                  count(DISTINCT tenant_id) FILTER (WHERE amount > 0) AS "tenants!"
           FROM used"#,
        PgTime(now) as PgTime,
        &tenants,
        &types as &[&str],
    )
    .fetch_one(conn)
    .await
    .map_err(Into::into)
}
