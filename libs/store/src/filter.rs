//! Filters of lists (AIP-160), as SQL. What each field is compared with is the list's to say; whatever a caller said is a bound
//! value.

use jiff::Timestamp;
use sqlx::{Postgres, QueryBuilder};
use tenantry_core::Refusal;
use tenantry_core::filter::{Filter, Op, Term, refuse};

use crate::time::PgTime;

/// A statement that is put together.
pub type Sql = QueryBuilder<Postgres>;

/// The start of the common era: nothing that is kept is older, and Postgres ends a few millennia before it.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// Adds the condition that a filter is; `term` adds that of one comparison.
///
/// # Errors
/// INVALID_FILTER, as `term` says; and for what no stored text has.
pub fn push_filter(
    sql: &mut Sql,
    filter: &Filter,
    term: fn(&mut Sql, &Term) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match filter {
        Filter::All(parts) => push_joined(sql, (parts, " AND "), term),
        Filter::Any(parts) => push_joined(sql, (parts, " OR "), term),
        Filter::Not(part) => {
            // A comparison with an absent value is neither true nor false; its negation is true.
            sql.push("coalesce(NOT ");
            push_filter(sql, part, term)?;
            sql.push(", true)");
            Ok(())
        }
        Filter::Term(one) if one.field.contains('\0') || one.value.contains('\0') => {
            Err(refuse("it has a NUL character, which nothing stored has"))
        }
        Filter::Term(one) => term(sql, one),
    }
}

fn push_joined(
    sql: &mut Sql,
    (parts, word): (&[Filter], &str),
    term: fn(&mut Sql, &Term) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    sql.push("(");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            sql.push(word);
        }
        push_filter(sql, part, term)?;
    }
    sql.push(")");
    Ok(())
}

/// Adds that a column is this value, or isn't.
///
/// # Errors
/// INVALID_FILTER for another comparison.
pub fn push_equality(
    sql: &mut Sql,
    column: &str,
    term: &Term,
    value: String,
) -> Result<(), Refusal> {
    match term.op {
        Op::Eq | Op::Has => sql.push(column).push(" = ").push_bind(value),
        Op::Ne => sql.push(column).push(" <> ").push_bind(value),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            return Err(refuse(format!("`{}` is compared with = or !=", term.field)));
        }
    };
    Ok(())
}

/// Adds how a column's instant compares with that of the term: a time, or the beginning of a day in UTC.
///
/// # Errors
/// INVALID_FILTER for what is no time.
pub fn push_time(sql: &mut Sql, column: &str, term: &Term) -> Result<(), Refusal> {
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
