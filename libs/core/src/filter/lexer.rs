//! Cuts a filter into tokens.

use std::iter::Peekable;
use std::str::CharIndices;

use super::Op;

/// A piece of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: a field, a literal, or a keyword.
    Word(String),
    /// A quoted literal.
    Text(String),
    /// A comparison.
    Op(Op),
    /// `-` before a term.
    Minus,
    /// `(`
    Open,
    /// `)`
    Close,
}

/// All tokens of the text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut chars = text.char_indices().peekable();
    let mut tokens = Vec::new();
    while let Some((at, c)) = chars.next() {
        let token = match c {
            _ if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ':' => Token::Op(Op::Has),
            '=' => Token::Op(Op::Eq),
            '<' => Token::Op(if follows_equal(&mut chars) {
                Op::Le
            } else {
                Op::Lt
            }),
            '>' => Token::Op(if follows_equal(&mut chars) {
                Op::Ge
            } else {
                Op::Gt
            }),
            '!' if follows_equal(&mut chars) => Token::Op(Op::Ne),
            '"' | '\'' => Token::Text(quoted(&mut chars, c, at)?),
            '-' => Token::Minus,
            _ if is_word(c) => Token::Word(word(&mut chars, c)),
            _ => return Err(format!("unexpected {c:?} at position {at}")),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn follows_equal(chars: &mut Peekable<CharIndices<'_>>) -> bool {
    chars.next_if(|(_, c)| *c == '=').is_some()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '*' | '+' | '@' | '/')
}

fn word(chars: &mut Peekable<CharIndices<'_>>, first: char) -> String {
    let mut word = String::from(first);
    // A dash inside a word belongs to it: slugs, dates and UUIDs need no quotes.
    while let Some((_, c)) = chars.next_if(|(_, c)| is_word(*c) || *c == '-') {
        word.push(c);
    }
    word
}

fn quoted(chars: &mut Peekable<CharIndices<'_>>, quote: char, at: usize) -> Result<String, String> {
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok(text),
            '\\' => match chars.next() {
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            _ => text.push(c),
        }
    }
    Err(format!(
        "the text that begins at position {at} has no closing quote"
    ))
}
