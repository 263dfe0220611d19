//! The filter language of lists, AIP-160 (<https://google.aip.dev/160>): comparisons of fields with literals, joined by
//! `AND`, `OR`, `NOT` and parentheses. As there, `OR` binds tighter than `AND`, and a blank between terms means `AND`.
//!
//! The parser knows no fields: a list gives its own to [`Filter::resolve`] by way of its SQL.

mod lexer;
mod parser;

use crate::refusal::{Reason, Refusal};

/// Longest filter, in bytes.
pub const MAX_BYTES: usize = 2048;
/// Most comparisons in one filter.
pub const MAX_TERMS: usize = 32;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 8;

/// A parsed filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them hold.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It doesn't hold.
    Not(Box<Filter>),
    /// One comparison.
    Term(Term),
}

/// One comparison of a field with a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field, with dots, as `labels.tier`.
    pub field: String,
    /// The comparison.
    pub op: Op,
    /// The literal, unquoted.
    pub value: String,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `:`, has: a text contains, a label exists.
    Has,
}

impl Op {
    /// The comparison as SQL writes it; `None` for [`Op::Has`], which is not one operator there.
    #[must_use]
    pub const fn sql(self) -> Option<&'static str> {
        match self {
            Self::Eq => Some("="),
            Self::Ne => Some("<>"),
            Self::Lt => Some("<"),
            Self::Le => Some("<="),
            Self::Gt => Some(">"),
            Self::Ge => Some(">="),
            Self::Has => None,
        }
    }
}

impl Filter {
    /// Parses a filter; `None` for an empty one.
    ///
    /// # Errors
    /// INVALID_FILTER, with the place where it stops making sense.
    pub fn parse(text: &str) -> Result<Option<Self>, Refusal> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        if text.len() > MAX_BYTES {
            return Err(refuse(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let tokens = lexer::tokens(text).map_err(refuse)?;
        parser::parse(tokens).map(Some).map_err(refuse)
    }
}

/// The refusal of a filter, with what is wrong about it.
#[must_use]
pub fn refuse(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        Reason::InvalidFilter,
        format!(
            "The filter can't be used: {why}. Write it like `status = \"active\" AND name : \"acme\"` (AIP-160)."
        ),
    )
}

#[cfg(test)]
mod tests;
