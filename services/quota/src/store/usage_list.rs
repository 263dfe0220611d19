//! Reading the log of what was used. The statement is put together from constant pieces; whatever a caller said is a bound value.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use tenantry_core::filter::{Filter, Term, refuse};
use tenantry_core::{Refusal, TenantId};
use tenantry_store::filter::{Sql, push_equality, push_filter, push_time};
use tenantry_store::time::PgTime;
use uuid::Uuid;

use crate::domain::entry::Kind;
use crate::domain::usage_log::{LogLine, Place, Query};
use crate::error::Error;

/// Most lines that are looked at for a page: a filter that few fit costs no more.
pub(crate) const LOOKED_AT: i64 = 50_000;

const COLUMNS: &str = "usage_id, line, resource_type, amount, kind, principal, description, occurred_at, recorded_at, request_id, refers_to";
/// As the index `usage_log_time` has them.
const NEWEST_FIRST: &str = " ORDER BY recorded_at DESC, usage_id DESC, line DESC";

struct Row(LogLine);

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(LogLine {
            usage_id: row.try_get("usage_id")?,
            line: row.try_get("line")?,
            resource_type: row.try_get("resource_type")?,
            amount: row.try_get("amount")?,
            kind: row.try_get("kind")?,
            principal: row.try_get("principal")?,
            description: row.try_get("description")?,
            occurred_at: row.try_get::<PgTime, _>("occurred_at")?.into(),
            recorded_at: row.try_get::<PgTime, _>("recorded_at")?.into(),
            request_id: row.try_get("request_id")?,
            refers_to: row.try_get("refers_to")?,
        }))
    }
}

/// The next lines of a tenant's log that fit, the newest first, and where to go on, unless that was all.
#[tracing::instrument(name = "usage_log.page", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(
    conn: &mut PgConnection,
    tenant: TenantId,
    query: &Query,
) -> Result<(Vec<LogLine>, Option<Place>), Error> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM (");
    push_looked_at(&mut sql, tenant, query.after);
    sql.push(") AS u");
    if let Some(filter) = &query.filter {
        sql.push(" WHERE ");
        push_filter(&mut sql, filter, push_term)?;
    }
    // One more than the page has, which tells whether there is another.
    sql.push(NEWEST_FIRST)
        .push(" LIMIT ")
        .push_bind(i64::from(query.limit) + 1)
        .push(" OFFSET ")
        .push_bind(query.skip());
    let rows: Vec<Row> = sql.build_query_as().fetch_all(&mut *conn).await?;
    let mut lines: Vec<_> = rows.into_iter().map(|row| row.0).collect();
    let size = usize::try_from(query.limit).unwrap_or(usize::MAX);
    if lines.len() > size {
        lines.truncate(size);
        let last = lines.last().map(LogLine::place);
        return Ok((lines, last));
    }
    let place = match &query.filter {
        Some(filter) => looked_to(conn, tenant, query, filter).await?,
        None => None,
    };
    Ok((lines, place))
}

/// The lines that are looked at from a place on.
fn push_looked_at(sql: &mut Sql, tenant: TenantId, after: Option<Place>) {
    sql.push("SELECT ")
        .push(COLUMNS)
        .push(" FROM usage_log WHERE tenant_id = ")
        .push_bind(tenant.uuid());
    if let Some(place) = after {
        let at = Timestamp::from_microsecond(place.recorded_micros).unwrap_or_default();
        sql.push(" AND (recorded_at, usage_id, line) < (")
            .push_bind(PgTime(at))
            .push(", ")
            .push_bind(place.usage_id)
            .push(", ")
            .push_bind(place.line)
            .push(")");
    }
    sql.push(NEWEST_FIRST).push(" LIMIT ").push_bind(LOOKED_AT);
}

/// Where a look that found too few ended, unless the log did.
async fn looked_to(
    conn: &mut PgConnection,
    tenant: TenantId,
    query: &Query,
    filter: &Filter,
) -> Result<Option<Place>, Error> {
    let mut sql = Sql::new(
        "SELECT recorded_at, usage_id, line, count(*) OVER () AS seen, count(*) FILTER (WHERE ",
    );
    push_filter(&mut sql, filter, push_term)?;
    sql.push(") OVER () AS fit FROM (");
    push_looked_at(&mut sql, tenant, query.after);
    sql.push(") AS u ORDER BY recorded_at, usage_id, line LIMIT 1");
    let last = sql.build().fetch_optional(conn).await?;
    let Some(last) = last else {
        return Ok(None);
    };
    if last.try_get::<i64, _>("seen")? < LOOKED_AT {
        return Ok(None);
    }
    let at: PgTime = last.try_get("recorded_at")?;
    let fit: i64 = last.try_get("fit")?;
    Ok(Some(Place {
        recorded_micros: at.0.as_microsecond(),
        usage_id: last.try_get::<Uuid, _>("usage_id")?,
        line: last.try_get("line")?,
        skip: (query.skip() - fit).max(0),
    }))
}

fn push_term(sql: &mut Sql, term: &Term) -> Result<(), Refusal> {
    match term.field.as_str() {
        "resource_type" => push_equality(sql, "resource_type", term, term.value.clone()),
        "principal" => push_equality(sql, "principal", term, term.value.clone()),
        "kind" => {
            let word = Value::String(term.value.clone());
            if serde_json::from_value::<Kind>(word).is_err() {
                return Err(refuse(format!("there is no kind `{}`", term.value)));
            }
            push_equality(sql, "kind", term, term.value.clone())
        }
        "occurred_at" => push_time(sql, "occurred_at", term),
        "recorded_at" => push_time(sql, "recorded_at", term),
        field => Err(refuse(format!("there is no field `{field}`"))),
    }
}
