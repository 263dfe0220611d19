//! Filters of lists, as SQL: which fields there are, and what each can be compared with.

use tenantry_core::filter::{Filter, Op, Term, refuse};
use tenantry_core::{Refusal, TenantId, TenantStatus};
use tenantry_store::filter::{Sql, push_equality, push_time};

use super::search::push_text_has;
use crate::domain::search;

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

/// Adds one comparison.
pub(super) fn push_term(sql: &mut Sql, term: &Term) -> Result<(), Refusal> {
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
