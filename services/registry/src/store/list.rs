//! Lists of tenants. The statement is put together from constant pieces; whatever a caller said is a bound value.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use tenantry_core::filter::{Filter, Op, Term, refuse};
use tenantry_core::{Refusal, TenantId, TenantStatus};
use tenantry_store::time::PgTime;

use super::row::TenantRow;
use crate::domain::list::{Order, Query, Reach, SortKey, SortValue};
use crate::domain::tenant::{MAX_LEVELS, Tenant};
use crate::error::Error;

type Sql = QueryBuilder<Postgres>;

/// The start of the common era: no tenant is older, and Postgres ends a few millennia before it.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A page of tenants, on the platform's connection: the reach in the query is what the caller may see.
#[tracing::instrument(name = "tenants.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
pub(crate) async fn page(conn: &mut PgConnection, query: &Query) -> Result<Vec<Tenant>, Error> {
    let mut sql = statement(query)?;
    let rows: Vec<TenantRow> = sql.build_query_as().fetch_all(conn).await?;
    Ok(rows
        .into_iter()
        .map(Tenant::try_from)
        .collect::<Result<_, _>>()?)
}

fn statement(query: &Query) -> Result<Sql, Refusal> {
    let mut sql = Sql::new("");
    match (query.reach, query.below) {
        (Reach::Project, None) => flat(&mut sql, query),
        (Reach::Project, Some((parent, false))) => {
            flat(&mut sql, query);
            sql.push(" AND t.parent_id = ").push_bind(parent.uuid());
        }
        (Reach::Own(own), None) => {
            flat(&mut sql, query);
            sql.push(" AND t.tenant_id = ").push_bind(own.uuid());
        }
        (Reach::Subtree(root), None) => tree(&mut sql, query.reach, root, 1..=MAX_LEVELS),
        (reach, Some((root, true))) => tree(&mut sql, reach, root, 2..=MAX_LEVELS),
        (reach, Some((root, false))) => tree(&mut sql, reach, root, 2..=2),
    }
    if let Some(status) = query.status {
        sql.push(" AND t.status = ").push_bind(status.name());
    } else if !query.show_deleted {
        sql.push(" AND t.status <> 'deleted'");
    }
    if let Some(plan) = &query.plan {
        sql.push(" AND t.plan = ").push_bind(plan.clone());
    }
    if let Some(filter) = &query.filter {
        sql.push(" AND ");
        push_filter(&mut sql, filter)?;
    }
    push_order(&mut sql, query);
    Ok(sql)
}

/// Begins a statement over the tenants of a project.
fn flat(sql: &mut Sql, query: &Query) {
    sql.push("SELECT t.* FROM tenants AS t WHERE t.project = ")
        .push_bind(query.project.clone());
}

/// Begins a statement over these levels of the tree whose first is `root`. A role reaches none below a tenant out of use,
/// operators see all.
fn tree(sql: &mut Sql, reach: Reach, root: TenantId, levels: RangeInclusive<usize>) {
    let in_use = match reach {
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
        .push(") SELECT t.* FROM tree JOIN tenants AS t USING (tenant_id) WHERE tree.level >= ")
        .push_bind(*levels.start() as i32);
}

fn push_order(sql: &mut Sql, query: &Query) {
    let column = column(query.order.key);
    let (than, direction) = if query.order.descending {
        (" < (", " DESC")
    } else {
        (" > (", " ASC")
    };
    if let Some(after) = &query.after {
        sql.push(" AND (")
            .push(column)
            .push(", t.tenant_id)")
            .push(than);
        match &after.value {
            SortValue::Text(text) => sql.push_bind(text.clone()),
            SortValue::Micros(micros) => sql.push_bind(PgTime(
                Timestamp::from_microsecond(*micros).unwrap_or_default(),
            )),
        };
        sql.push(", ").push_bind(after.id.uuid()).push(")");
    }
    sql.push(" ORDER BY ")
        .push(column)
        .push(direction)
        .push(", t.tenant_id")
        .push(direction);
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

fn push_filter(sql: &mut Sql, filter: &Filter) -> Result<(), Refusal> {
    match filter {
        Filter::All(parts) => push_joined(sql, parts, " AND "),
        Filter::Any(parts) => push_joined(sql, parts, " OR "),
        Filter::Not(part) => {
            // A comparison with an absent value is neither true nor false; its negation is true.
            sql.push("coalesce(NOT ");
            push_filter(sql, part)?;
            sql.push(", true)");
            Ok(())
        }
        Filter::Term(term) => push_term(sql, term),
    }
}

fn push_joined(sql: &mut Sql, parts: &[Filter], word: &str) -> Result<(), Refusal> {
    sql.push("(");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            sql.push(word);
        }
        push_filter(sql, part)?;
    }
    sql.push(")");
    Ok(())
}

fn push_term(sql: &mut Sql, term: &Term) -> Result<(), Refusal> {
    if term.field.contains('\0') || term.value.contains('\0') {
        return Err(refuse("it has a NUL character, which nothing stored has"));
    }
    match term.field.as_str() {
        "name" => push_text(sql, "t.name", term),
        "slug" => push_text(sql, "t.slug", term),
        "email" => push_text(sql, "t.email", term),
        "region" => push_text(sql, "t.region", term),
        "subscription_tier" => push_text(sql, "t.plan", term),
        "external_id" => push_text(sql, "coalesce(t.external_id, '')", term),
        "status" => {
            let status: TenantStatus = term
                .value
                .parse()
                .map_err(|_| refuse(format!("`status` is {}", TenantStatus::words())))?;
            push_equality(sql, "t.status", term, status.name().to_owned())
        }
        "id" => push_id(sql, "t.tenant_id", term),
        "parent_id" => push_id(sql, "t.parent_id", term),
        "created_at" => push_time(sql, "t.created_at", term),
        "updated_at" => push_time(sql, "t.updated_at", term),
        field => match field.strip_prefix("labels.") {
            Some(key) => push_label(sql, key, term),
            None => Err(refuse(format!("there is no field `{field}`"))),
        },
    }
}

fn push_text(sql: &mut Sql, column: &str, term: &Term) -> Result<(), Refusal> {
    match term.op.sql() {
        Some(op) => {
            sql.push(column)
                .push(" ")
                .push(op)
                .push(" ")
                .push_bind(term.value.clone());
        }
        None => {
            let escaped = term
                .value
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_");
            sql.push(column)
                .push(" ILIKE ")
                .push_bind(format!("%{escaped}%"));
        }
    }
    Ok(())
}

fn push_equality(sql: &mut Sql, column: &str, term: &Term, value: String) -> Result<(), Refusal> {
    match term.op {
        Op::Eq | Op::Has => sql.push(column).push(" = ").push_bind(value),
        Op::Ne => sql.push(column).push(" <> ").push_bind(value),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            return Err(refuse(format!("`{}` is compared with = or !=", term.field)));
        }
    };
    Ok(())
}

fn push_id(sql: &mut Sql, column: &str, term: &Term) -> Result<(), Refusal> {
    let id: TenantId = term
        .value
        .parse()
        .map_err(|_| refuse(format!("`{}` is compared with a UUID", term.field)))?;
    let op = match term.op {
        Op::Eq | Op::Has => " = ",
        Op::Ne => " IS DISTINCT FROM ",
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            return Err(refuse(format!("`{}` is compared with = or !=", term.field)));
        }
    };
    sql.push(column).push(op).push_bind(id.uuid());
    Ok(())
}

fn push_time(sql: &mut Sql, column: &str, term: &Term) -> Result<(), Refusal> {
    let day = || -> Option<Timestamp> {
        let date: jiff::civil::Date = term.value.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let parsed = term.value.parse().ok().or_else(day);
    let at = parsed.filter(|at| *at >= EARLIEST).ok_or_else(|| {
        refuse(format!(
            "`{}` is compared with a time, as \"2026-01-31T12:00:00Z\" or 2026-01-31",
            term.field
        ))
    })?;
    let op = term
        .op
        .sql()
        .ok_or_else(|| refuse(format!("`{}` has no parts to search with `:`", term.field)))?;
    sql.push(column)
        .push(" ")
        .push(op)
        .push(" ")
        .push_bind(PgTime(at));
    Ok(())
}

fn push_label(sql: &mut Sql, key: &str, term: &Term) -> Result<(), Refusal> {
    match term.op {
        Op::Has if term.value == "*" => {
            sql.push("jsonb_exists(t.labels, ")
                .push_bind(key.to_owned())
                .push(")");
        }
        Op::Eq | Op::Has => {
            sql.push("t.labels ->> ")
                .push_bind(key.to_owned())
                .push(" = ")
                .push_bind(term.value.clone());
        }
        Op::Ne => {
            sql.push("t.labels ->> ")
                .push_bind(key.to_owned())
                .push(" IS DISTINCT FROM ")
                .push_bind(term.value.clone());
        }
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            return Err(refuse(format!(
                "`{}` is compared with =, != or :*",
                term.field
            )));
        }
    }
    Ok(())
}
