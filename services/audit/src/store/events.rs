//! Reading events.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use tenantry_core::TenantId;
use tenantry_store::Error;
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::query::{Filter, Scope};
use crate::domain::search::way::Between;

/// What a value of JSON takes on the wire beyond its text, at most: a number is eight bytes and two tags there.
const VALUE_BYTES: usize = 10;

pub(super) type Sql = QueryBuilder<Postgres>;

/// What is read of an event that is found.
pub(crate) trait Hit: for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin {
    /// The columns of it, each of `e`; `index` and `position` are among them, for the order.
    const COLUMNS: &'static str;

    /// Its place: an index in one log, a position among all.
    fn place(&self, scope: Scope) -> i64;

    /// Whose log it is in, and when it came.
    fn came(&self) -> (TenantId, Timestamp);

    /// About how many bytes of an answer it becomes, and no fewer where those are many.
    fn bytes(&self) -> usize;
}

/// An event as it stands in its row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) tenant_id: Uuid,
    pub(crate) index: i64,
    pub(crate) position: i64,
    pub(crate) received_at: PgTime,
    pub(crate) leaf: String,
    pub(crate) disclosed: Option<String>,
}

impl Hit for Row {
    const COLUMNS: &'static str =
        "e.tenant_id, e.index, e.position, e.received_at, e.leaf, e.disclosed";

    fn place(&self, scope: Scope) -> i64 {
        match scope {
            Scope::Log(_) => self.index,
            Scope::All => self.position,
        }
    }

    fn came(&self) -> (TenantId, Timestamp) {
        (self.tenant_id.into(), self.received_at.0)
    }

    fn bytes(&self) -> usize {
        let texts = [self.leaf.as_str(), self.disclosed.as_deref().unwrap_or("")];
        let values = texts.map(|text| text.len() + VALUE_BYTES * text.matches(',').count());
        values.iter().sum()
    }
}

/// Where an event is.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Place {
    tenant_id: Uuid,
    index: i64,
    position: i64,
    received_at: PgTime,
}

impl Hit for Place {
    const COLUMNS: &'static str = "e.tenant_id, e.index, e.position, e.received_at";

    fn place(&self, scope: Scope) -> i64 {
        match scope {
            Scope::Log(_) => self.index,
            Scope::All => self.position,
        }
    }

    fn came(&self) -> (TenantId, Timestamp) {
        (self.tenant_id.into(), self.received_at.0)
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// Has the transaction's statements planned once, along the indexes of places: with parameters left open the partitions are chosen
/// when a statement begins, which costs little, where planning over all of them anew each time would take longer than the
/// reading; and the plan doesn't depend on whether a partition was empty when it was made. Over many partitions a plan looks dear
/// enough to be compiled and to be given workers, each of which takes far longer than the reading: neither is wanted.
#[tracing::instrument(name = "events.steady_plans", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn steady_plans(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql(
        "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
         SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Places one after the other, and when what is there came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    /// The place behind the last one; none at the end of what was appended.
    pub(crate) before: Option<i64>,
    pub(crate) came: Between,
}

/// The events of a span that a filter lets through, the newest first.
#[tracing::instrument(name = "events.in_order", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn in_order<H: Hit>(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    span: Span,
    limit: i64,
) -> Result<Vec<H>, Error> {
    let mut sql = Sql::new("");
    push_select::<H>(&mut sql, scope, filter, span.came);
    sql.push(" AND ").push(place(scope)).push(" >= ");
    sql.push_bind(span.from).push(" AND ").push(place(scope));
    sql.push(" < ").push_bind(span.before.unwrap_or(i64::MAX));
    newest(sql, scope, limit, conn).await
}

/// The events at these places, each of them once, that a filter lets through, the newest first.
#[tracing::instrument(name = "events.among", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn among<H: Hit>(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    (places, came): (&[i64], Between),
    limit: i64,
) -> Result<Vec<H>, Error> {
    // Each place is looked up by itself, whatever the planner thinks of how many events a tenant has: `OFFSET 0` keeps it from
    // walking through a whole log instead. What is found is little, so putting it in order costs nothing.
    let mut sql = Sql::new("SELECT ");
    sql.push(H::COLUMNS).push(" FROM unnest(");
    sql.push_bind(places.to_vec())
        .push(") AS p (place) CROSS JOIN LATERAL (");
    push_select::<H>(&mut sql, scope, filter, came);
    sql.push(" AND ")
        .push(place(scope))
        .push(" = p.place OFFSET 0) AS e");
    newest(sql, scope, limit, conn).await
}

/// The column that places are in.
const fn place(scope: Scope) -> &'static str {
    match scope {
        Scope::Log(_) => "e.index",
        Scope::All => "e.position",
    }
}

/// The events that came between two instants and that a filter lets through, to go on with. One text whatever the filter asks:
/// each has a plan over all partitions on each connection.
fn push_select<H: Hit>(sql: &mut Sql, scope: Scope, filter: &Filter, came: Between) {
    sql.push("SELECT ").push(H::COLUMNS);
    sql.push(" FROM events AS e WHERE e.received_at >= ");
    sql.push_bind(PgTime(came.0)).push(" AND e.received_at <= ");
    sql.push_bind(PgTime(came.1));
    push_filter(sql, filter);
    if let Scope::Log(tenant) = scope {
        sql.push(" AND e.tenant_id = ").push_bind(tenant.uuid());
    }
}

/// Adds what an event has to be to be let through.
pub(super) fn push_filter(sql: &mut Sql, filter: &Filter) {
    sql.push(" AND e.terms @> ").push_bind(filter.terms.clone());
    for (holds, time) in [("e.at >= ", filter.start), ("e.at < ", filter.end)] {
        let time = time.map(PgTime);
        sql.push(" AND (").push_bind(time).push(" IS NULL OR ");
        sql.push(holds).push_bind(time).push(")");
    }
}

async fn newest<H: Hit>(
    mut sql: Sql,
    scope: Scope,
    limit: i64,
    conn: &mut PgConnection,
) -> Result<Vec<H>, Error> {
    sql.push(" ORDER BY ")
        .push(place(scope))
        .push(" DESC LIMIT ");
    sql.push_bind(limit);
    Ok(sql.build_query_as().fetch_all(conn).await?)
}

/// What an event is found by.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Facts {
    pub(crate) place: i64,
    pub(crate) received_at: PgTime,
    pub(crate) at: PgTime,
    pub(crate) terms: Vec<i64>,
}

/// What the events at these places are found by, in order, as far as there are any still.
#[tracing::instrument(name = "events.facts", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn facts(
    conn: &mut PgConnection,
    scope: Scope,
    from: i64,
    before: i64,
) -> Result<Vec<Facts>, Error> {
    let (mut sql, place) = (Sql::new("SELECT "), place(scope));
    sql.push(place)
        .push(" AS place, e.received_at, e.at, e.terms FROM events AS e WHERE ");
    if let Scope::Log(tenant) = scope {
        sql.push("e.tenant_id = ")
            .push_bind(tenant.uuid())
            .push(" AND ");
    }
    sql.push(place).push(" >= ").push_bind(from);
    sql.push(" AND ").push(place).push(" < ").push_bind(before);
    sql.push(" ORDER BY ").push(place);
    Ok(sql.build_query_as().fetch_all(conn).await?)
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
    let mut sql = Sql::new("SELECT ");
    sql.push(Row::COLUMNS)
        .push(" FROM events AS e WHERE e.tenant_id = ");
    sql.push_bind(tenant.uuid());
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
