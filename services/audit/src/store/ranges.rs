//! Ranges of a log, which are taken out of it.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;

use super::events::{Hit as _, Row, Sql, push_filter};
use crate::domain::query::Filter;

/// Which events of a log.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) tenant: TenantId,
    /// From this place on, and before that one.
    pub(crate) from: i64,
    pub(crate) below: i64,
    /// Only what came since.
    pub(crate) since: Timestamp,
}

/// The first events of a range that a filter lets through, in order.
#[tracing::instrument(name = "events.range", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn first(
    conn: &mut PgConnection,
    range: &Range,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let mut sql = Sql::new("SELECT ");
    sql.push(Row::COLUMNS)
        .push(" FROM events AS e WHERE e.tenant_id = ");
    sql.push_bind(range.tenant.uuid());
    sql.push(" AND e.index >= ").push_bind(range.from);
    sql.push(" AND e.index < ").push_bind(range.below);
    let since = PgTime(range.since);
    sql.push(" AND e.received_at >= ").push_bind(since);
    push_filter(&mut sql, filter);
    sql.push(" ORDER BY e.index LIMIT ").push_bind(limit);
    Ok(sql.build_query_as().fetch_all(conn).await?)
}

/// The last event before the first one of a range that came in its time. What is said to have come earlier behind that one isn't
/// hidden: events come in the order of their indexes, so that somebody changed it, and whoever looks is to see that it is missing.
#[tracing::instrument(name = "events.hidden", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn hidden(conn: &mut PgConnection, range: &Range) -> Result<Option<i64>, Error> {
    let hidden = sqlx::query_scalar!(
        "SELECT max(index) FROM events
         WHERE tenant_id = $1 AND index >= $2 AND received_at < $4
           AND index < coalesce((SELECT min(index) FROM events
                                 WHERE tenant_id = $1 AND index >= $2 AND index < $3 AND received_at >= $4), $3)",
        range.tenant.uuid(),
        range.from,
        range.below,
        PgTime(range.since) as PgTime,
    );
    Ok(hidden.fetch_one(conn).await?)
}
