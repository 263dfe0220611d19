//! Searching a project for a text. Row-level security keeps the planner from its statistics here (what compares texts isn't
//! leakproof), so it can't know a rare text from one that every tenant has, and a wrong guess reads a million rows. So this
//! doesn't leave the choice to it: first the rows next in order are read, which gives a page of any text that is common, then
//! the index of texts, which gives all of one that isn't.

use sqlx::PgConnection;
use tenantry_core::Refusal;

use super::filter::seeks_text;
use super::{COLUMNS, Sql, push_after, push_narrow, push_order, push_page, push_wanted, read};
use crate::domain::list::{Query, Reach};
use crate::domain::search::{self, SearchText};
use crate::domain::tenant::Tenant;
use crate::error::Error;

/// Rows read next in order for each one wanted: a text that one in ten has fills the page.
const FIRST_READ: i64 = 10;
/// Most rows read in order, where the first ones had the text so often that these fill the page and what its offset leaves out:
/// for a usual first page, one in two hundred.
const MOST_READ: i64 = 10_000;

/// Most tenants of one page, with what stands before it, that are read in order: all of them come from the database. Pages
/// further behind are cut there, by the index.
const MOST_WANTED: i64 = 2_000;

/// Name and slug as the index has them.
const TEXT: &str = r"search_form(E'\n' || t.name || E'\n' || t.slug)";

/// Whether the query is a search among all tenants of a project.
pub(super) fn is_search(query: &Query) -> bool {
    matches!((query.reach, query.below), (Reach::Project, None)) && has_text(query)
}

/// Whether nothing is found but what has a text that the index knows.
pub(super) fn has_text(query: &Query) -> bool {
    query.text.is_some() || query.filter.as_ref().is_some_and(seeks_text)
}

/// A page of what is found.
pub(super) async fn page(conn: &mut PgConnection, query: &Query) -> Result<Vec<Tenant>, Error> {
    // With the page what stands before it, so that what is counted is what the rows have.
    let wanted = i64::from(query.limit) + 1 + query.offset;
    if wanted > MOST_WANTED {
        return read(conn, query, indexed(query)?).await;
    }
    let mut rows = (wanted * FIRST_READ).min(MOST_READ);
    loop {
        let mut found = read(conn, query, in_order(query, rows, wanted)?).await?;
        let count = found.len() as i64;
        if count == wanted {
            found.drain(..usize::try_from(query.offset).unwrap_or(found.len()));
            return Ok(found);
        }
        if rows == MOST_READ || count * MOST_READ < wanted * rows {
            return read(conn, query, indexed(query)?).await;
        }
        rows = MOST_READ;
    }
}

/// What is found first, and no more than this, among this many rows that come next in order.
fn in_order(query: &Query, rows: i64, wanted: i64) -> Result<Sql, Refusal> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM (");
    push_narrow(&mut sql, query);
    push_after(&mut sql, query);
    push_order(&mut sql, query);
    sql.push(" LIMIT ")
        .push_bind(rows)
        .push(") AS t WHERE true");
    push_wanted(&mut sql, query)?;
    push_order(&mut sql, query);
    sql.push(" LIMIT ").push_bind(wanted);
    Ok(sql)
}

/// What the index finds, whatever the order is: `OFFSET 0` keeps the planner from walking along the order instead.
fn indexed(query: &Query) -> Result<Sql, Refusal> {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM (");
    push_narrow(&mut sql, query);
    push_wanted(&mut sql, query)?;
    push_after(&mut sql, query);
    sql.push(" OFFSET 0) AS t");
    push_order(&mut sql, query);
    push_page(&mut sql, query);
    Ok(sql)
}

/// The tenant has the text in its name or its slug.
pub(super) fn push_text(sql: &mut Sql, text: &SearchText) {
    sql.push(" AND ");
    push_like(sql, TEXT, text.pattern());
}

/// This column has the text. What both have together has it too, and that is what the index knows.
pub(super) fn push_text_has(sql: &mut Sql, column: &str, text: &str) {
    let pattern = search::containing(text);
    sql.push("(");
    if search::indexed(text) {
        push_like(sql, TEXT, pattern.clone());
        sql.push(" AND ");
    }
    push_like(sql, &format!("search_form({column})"), pattern);
    sql.push(")");
}

fn push_like(sql: &mut Sql, text: &str, pattern: String) {
    sql.push(text)
        .push(" LIKE search_form(")
        .push_bind(pattern)
        .push(")");
}
