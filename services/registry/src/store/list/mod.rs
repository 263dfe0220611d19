//! Lists of tenants. The statement is put together from constant pieces; whatever a caller said is a bound value.

mod filter;
mod search;

use std::ops::RangeInclusive;

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::{Refusal, TenantId};
use tenantry_store::filter::{Sql, push_filter};
use tenantry_store::time::PgTime;

use self::filter::push_term;
use super::row::{COLUMNS, tenants};
use crate::domain::list::{Order, Query, Reach, SortKey, SortValue};
use crate::domain::tenant::{MAX_LEVELS, Tenant};
use crate::error::Error;

/// A page of tenants, on the platform's connection: the reach in the query is what the caller may see.
#[tracing::instrument(name = "tenants.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(conn: &mut PgConnection, query: &Query) -> Result<Vec<Tenant>, Error> {
    if search::is_search(query) {
        return search::page(conn, query).await;
    }
    let sql = statement(query)?;
    read(conn, query, sql).await
}

async fn read(conn: &mut PgConnection, query: &Query, mut sql: Sql) -> Result<Vec<Tenant>, Error> {
    let rows = sql
        .build_query_as()
        // A plan for any text at all knows nothing of this one's trigrams.
        .persistent(!search::has_text(query))
        .fetch_all(conn)
        .await?;
    Ok(tenants(rows)?)
}

fn statement(query: &Query) -> Result<Sql, Refusal> {
    let mut sql = Sql::new("");
    match (query.reach, query.below) {
        (Reach::Project, None) => push_narrow(&mut sql, query),
        (Reach::Project, Some((parent, false))) => {
            push_narrow(&mut sql, query);
            sql.push(" AND t.parent_id = ").push_bind(parent.uuid());
        }
        (Reach::Own(own), None) => {
            push_narrow(&mut sql, query);
            sql.push(" AND t.tenant_id = ").push_bind(own.uuid());
        }
        (Reach::Subtree(root), None) => tree(&mut sql, query, root, 1..=MAX_LEVELS),
        (_, Some((root, true))) => tree(&mut sql, query, root, 2..=MAX_LEVELS),
        (_, Some((root, false))) => tree(&mut sql, query, root, 2..=2),
    }
    push_wanted(&mut sql, query)?;
    push_after(&mut sql, query);
    push_order(&mut sql, query);
    push_page(&mut sql, query);
    Ok(sql)
}

/// Begins a statement over the tenants of a project, with the conditions that its indexes lead to in order.
fn push_narrow(sql: &mut Sql, query: &Query) {
    sql.push("SELECT ")
        .push(COLUMNS)
        .push(" FROM tenants AS t WHERE t.project = ")
        .push_bind(query.project.clone());
    push_status_and_plan(sql, query);
}

fn push_status_and_plan(sql: &mut Sql, query: &Query) {
    if let Some(status) = query.status {
        sql.push(" AND t.status = ").push_bind(status.name());
    }
    if let Some(plan) = &query.plan {
        sql.push(" AND t.plan = ").push_bind(plan.clone());
    }
}

/// The conditions that each row is held against.
fn push_wanted(sql: &mut Sql, query: &Query) -> Result<(), Refusal> {
    if query.status.is_none() && !query.show_deleted {
        sql.push(" AND t.status <> 'deleted'");
    }
    if let Some(text) = &query.text {
        search::push_text(sql, text);
    }
    if let Some(filter) = &query.filter {
        sql.push(" AND ");
        push_filter(sql, filter, push_term)?;
    }
    Ok(())
}

/// Begins a statement over these levels of the tree whose first is `root`. A role reaches none below a tenant out of use,
/// operators see all.
fn tree(sql: &mut Sql, query: &Query, root: TenantId, levels: RangeInclusive<usize>) {
    let in_use = match query.reach {
        Reach::Project => "",
        Reach::Own(_) | Reach::Subtree(_) => "tree.status IN ('trial', 'active') AND ",
    };
    sql.push("WITH RECURSIVE tree AS (SELECT tenant_id, status, 1 AS level FROM tenants WHERE tenant_id = ")
        .push_bind(root.uuid())
        .push(
            " UNION ALL SELECT c.tenant_id, c.status, tree.level + 1 FROM tenants AS c \
             JOIN tree ON c.parent_id = tree.tenant_id WHERE ",
        )
        .push(in_use)
        .push("tree.level < ")
        .push_bind(*levels.end() as i32)
        .push(") SELECT ")
        .push(COLUMNS)
        .push(" FROM tree JOIN tenants AS t USING (tenant_id) WHERE tree.level >= ")
        .push_bind(*levels.start() as i32);
    push_status_and_plan(sql, query);
}

/// Only what comes behind the page before.
fn push_after(sql: &mut Sql, query: &Query) {
    let Some(after) = &query.after else {
        return;
    };
    sql.push(" AND (")
        .push(column(query.order.key))
        .push(", t.tenant_id)")
        .push(if query.order.descending {
            " < ("
        } else {
            " > ("
        });
    match &after.value {
        SortValue::Text(text) => sql.push_bind(text.clone()),
        SortValue::Micros(micros) => sql.push_bind(PgTime(
            Timestamp::from_microsecond(*micros).unwrap_or_default(),
        )),
    };
    sql.push(", ").push_bind(after.id.uuid()).push(")");
}

fn push_order(sql: &mut Sql, query: &Query) {
    let direction = if query.order.descending {
        " DESC"
    } else {
        " ASC"
    };
    sql.push(" ORDER BY ")
        .push(column(query.order.key))
        .push(direction)
        .push(", t.tenant_id")
        .push(direction);
}

/// One more than the page has, which tells whether there is another.
fn push_page(sql: &mut Sql, query: &Query) {
    sql.push(" LIMIT ").push_bind(i64::from(query.limit) + 1);
    if query.offset > 0 {
        sql.push(" OFFSET ").push_bind(query.offset);
    }
}

const fn column(key: SortKey) -> &'static str {
    match key {
        SortKey::Name => "t.name",
        SortKey::Slug => "t.slug",
        SortKey::CreatedAt => "t.created_at",
        SortKey::UpdatedAt => "t.updated_at",
    }
}

/// The value that a tenant is sorted by.
pub(crate) fn sort_value(order: Order, tenant: &Tenant) -> SortValue {
    match order.key {
        SortKey::Name => SortValue::Text(tenant.name.clone()),
        SortKey::Slug => SortValue::Text(tenant.slug.clone()),
        SortKey::CreatedAt => SortValue::Micros(tenant.created_at.as_microsecond()),
        SortKey::UpdatedAt => SortValue::Micros(tenant.updated_at.as_microsecond()),
    }
}
