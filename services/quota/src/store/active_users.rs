//! Which users used something, from the log.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

/// How many users used something in each of the spans between these instants, which are in order; and how many in any of them. Read
/// from the index `usage_log_users` alone.
#[tracing::instrument(name = "usage_log.active_users", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn in_spans(
    conn: &mut PgConnection,
    tenant: TenantId,
    bounds: &[Timestamp],
) -> Result<(Vec<i64>, i64), Error> {
    let mut spans = vec![0; bounds.len().saturating_sub(1)];
    let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else {
        return Ok((spans, 0));
    };
    let starts: Vec<_> = bounds.iter().copied().map(PgTime).collect();
    let rows = sqlx::query!(
        r#"SELECT span AS "span?", count(DISTINCT principal) AS "users!"
           FROM (SELECT DISTINCT width_bucket(occurred_at, $2::timestamptz[]) AS span, principal FROM usage_log
                 WHERE tenant_id = $1 AND principal LIKE 'user:%' AND occurred_at >= $3 AND occurred_at < $4) AS seen
           GROUP BY ROLLUP (span)"#,
        tenant.uuid(),
        &starts as &[PgTime],
        PgTime(*first) as PgTime,
        PgTime(*last) as PgTime,
    )
    .fetch_all(conn)
    .await?;
    let mut all = 0;
    for row in rows {
        match row.span {
            None => all = row.users,
            // Counted from 1.
            Some(span) => {
                let place = usize::try_from(span - 1).unwrap_or(usize::MAX);
                if let Some(users) = spans.get_mut(place) {
                    *users = row.users;
                }
            }
        }
    }
    Ok((spans, all))
}
