//! Filters of lists, as SQL: which fields there are, and what each can be compared with.

use jiff::Timestamp;
use tenantry_core::filter::{Filter, Op, Term, refuse};
use tenantry_core::{Refusal, TenantId, TenantStatus};
use tenantry_store::time::PgTime;

use super::Sql;
use super::search::push_text_has;
use crate::domain::search;

/// The start of the common era: no tenant is older, and Postgres ends a few millennia before it.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// Whether nothing passes the filter but what the index of texts finds.
pub(super) fn seeks_text(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().any(seeks_text),
        Filter::Any(parts) => parts.iter().all(seeks_text),
        Filter::Not(_) => false,
        Filter::Term(term) => {
            matches!(term.field.as_str(), "name" | "slug")
                && term.op == Op::Has
                && search::indexed(&term.value)
        }
    }
}

pub(super) fn push_filter(sql: &mut Sql, filter: &Filter) -> Result<(), Refusal> {
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
        "name" => push_named(sql, "t.name", term),
        "slug" => push_named(sql, "t.slug", term),
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

/// A name for people or for machines: what it has is searched for.
fn push_named(sql: &mut Sql, column: &str, term: &Term) -> Result<(), Refusal> {
    if term.op == Op::Has {
        push_text_has(sql, column, &term.value);
        return Ok(());
    }
    push_text(sql, column, term)
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
            sql.push(column)
                .push(" ILIKE ")
                .push_bind(search::containing(&term.value));
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
