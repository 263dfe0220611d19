//! Reading events.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::query::{Filter, Scope};

type Sql = QueryBuilder<Postgres>;

/// An event as it stands in its row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) tenant_id: Uuid,
    pub(crate) index: i64,
    pub(crate) position: i64,
    pub(crate) leaf: String,
    pub(crate) disclosed: Option<String>,
}

const COLUMNS: &str =
    "SELECT e.tenant_id, e.index, e.position, e.leaf, e.disclosed FROM events AS e";

/// Where a page begins, and how much it shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Only what lies before this place: an index of one log, a position among all.
    pub(crate) before: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) limit: i64,
    /// Only what came since.
    pub(crate) since: Timestamp,
}

/// A page of events, the newest first.
#[tracing::instrument(name = "events.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    cut: Cut,
) -> Result<Vec<Row>, Error> {
    let mut sql = Sql::new(COLUMNS);
    let place = match scope {
        Scope::Log(tenant) => {
            sql.push(" WHERE e.tenant_id = ").push_bind(tenant.uuid());
            "e.index"
        }
        Scope::All => {
            sql.push(" WHERE true");
            "e.position"
        }
    };
    sql.push(" AND e.received_at >= ")
        .push_bind(PgTime(cut.since));
    if let Some(before) = cut.before {
        sql.push(" AND ").push(place).push(" < ").push_bind(before);
    }
    push_filter(&mut sql, filter);
    sql.push(" ORDER BY ").push(place).push(" DESC LIMIT ");
    sql.push_bind(cut.limit)
        .push(" OFFSET ")
        .push_bind(cut.offset);
    Ok(sql.build_query_as().fetch_all(conn).await?)
}

fn push_filter(sql: &mut Sql, filter: &Filter) {
    if !filter.terms.is_empty() {
        sql.push(" AND e.terms @> ").push_bind(filter.terms.clone());
    }
    if let Some(start) = filter.start {
        sql.push(" AND e.at >= ").push_bind(PgTime(start));
    }
    if let Some(end) = filter.end {
        sql.push(" AND e.at < ").push_bind(PgTime(end));
    }
}

/// The events of a log from this place on, in order.
#[tracing::instrument(name = "events.from", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn from(
    conn: &mut PgConnection,
    tenant: TenantId,
    index: i64,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let mut sql = Sql::new(COLUMNS);
    sql.push(" WHERE e.tenant_id = ").push_bind(tenant.uuid());
    sql.push(" AND e.index >= ").push_bind(index);
    sql.push(" AND e.received_at >= ").push_bind(PgTime(since));
    sql.push(" ORDER BY e.index LIMIT ").push_bind(limit);
    Ok(sql.build_query_as().fetch_all(conn).await?)
}

/// How many events a log has: the index of the next one.
#[tracing::instrument(name = "logs.size", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn size(conn: &mut PgConnection, tenant: TenantId) -> Result<i64, Error> {
    let size = sqlx::query_scalar!("SELECT size FROM logs WHERE tenant_id = $1", tenant.uuid());
    Ok(size.fetch_optional(conn).await?.unwrap_or(0))
}

/// The end of what was appended, over all logs.
#[tracing::instrument(name = "log_head.read", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn head(conn: &mut PgConnection) -> Result<i64, Error> {
    let head = sqlx::query_scalar!("SELECT position FROM log_head");
    Ok(head.fetch_one(conn).await?)
}

/// The logs that grew between two positions.
#[tracing::instrument(name = "events.grown", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn grown(
    conn: &mut PgConnection,
    from: i64,
    to: i64,
) -> Result<HashSet<TenantId>, Error> {
    let rows = sqlx::query_scalar!(
        "SELECT DISTINCT tenant_id FROM events WHERE position > $1 AND position <= $2",
        from,
        to
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(TenantId::from).collect())
}
