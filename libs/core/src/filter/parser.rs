//! Builds a filter from tokens, by recursive descent over AIP-160's grammar.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lexer::Token;
use super::{Filter, MAX_DEPTH, MAX_TERMS, Op, Term};

/// Parses all tokens, which must not be none.
pub(super) fn parse(tokens: Vec<Token>) -> Result<Filter, String> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        terms: 0,
    };
    let filter = parser.expression(0)?;
    match parser.tokens.next() {
        None => Ok(filter),
        Some(token) => Err(format!("unexpected {}", shown(&token))),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    terms: usize,
}

impl Parser {
    /// Factors joined by `AND` or by nothing.
    fn expression(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it nests deeper than {MAX_DEPTH}"));
        }
        let mut all = vec![self.factor(depth)?];
        while !matches!(self.tokens.peek(), None | Some(Token::Close)) {
            self.keyword("AND");
            all.push(self.factor(depth)?);
        }
        Ok(joined(all, Filter::All))
    }

    /// Terms joined by `OR`.
    fn factor(&mut self, depth: usize) -> Result<Filter, String> {
        let mut any = vec![self.term(depth)?];
        while self.keyword("OR") {
            any.push(self.term(depth)?);
        }
        Ok(joined(any, Filter::Any))
    }

    /// A comparison or a parenthesis, perhaps negated.
    fn term(&mut self, depth: usize) -> Result<Filter, String> {
        if self.keyword("NOT") || self.tokens.next_if_eq(&Token::Minus).is_some() {
            if depth >= MAX_DEPTH {
                return Err(format!("it nests deeper than {MAX_DEPTH}"));
            }
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.expression(depth + 1)?;
            return match self.tokens.next() {
                Some(Token::Close) => Ok(inner),
                _ => Err("a parenthesis isn't closed".to_owned()),
            };
        }
        self.comparison().map(Filter::Term)
    }

    fn comparison(&mut self) -> Result<Term, String> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(format!("it has more than {MAX_TERMS} comparisons"));
        }
        let field = match self.tokens.next() {
            Some(Token::Word(word)) if !is_keyword(&word) => word,
            Some(token) => return Err(format!("a field was expected, not {}", shown(&token))),
            None => return Err("a field was expected at its end".to_owned()),
        };
        let op = match self.tokens.next() {
            Some(Token::Op(op)) => op,
            _ => {
                return Err(format!(
                    "a comparison (= != < <= > >= :) must follow `{field}`"
                ));
            }
        };
        match self.tokens.next() {
            Some(Token::Word(value) | Token::Text(value)) => Ok(Term { field, op, value }),
            Some(Token::Minus) => match self.tokens.next() {
                Some(Token::Word(value)) => Ok(Term {
                    field,
                    op,
                    value: format!("-{value}"),
                }),
                _ => Err(format!("a value must follow the comparison of `{field}`")),
            },
            Some(Token::Op(_) | Token::Open | Token::Close) | None => {
                Err(format!("a value must follow the comparison of `{field}`"))
            }
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Word(word) if word == keyword))
            .is_some()
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "AND" | "OR" | "NOT")
}

fn joined(mut parts: Vec<Filter>, join: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        join(parts)
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Text(text) => format!("the text {text:?}"),
        Token::Op(Op::Has) => "`:`".to_owned(),
        Token::Op(op) => format!("`{}`", op.sql().unwrap_or_default()),
        Token::Minus => "`-`".to_owned(),
        Token::Open => "`(`".to_owned(),
        Token::Close => "`)`".to_owned(),
    }
}
