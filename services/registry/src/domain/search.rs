//! Looking for a text in names and slugs: what can be looked for, and where it is looked for.
//!
//! The index knows texts by their trigrams: three letters or digits in a row. A text that has none is looked for at the
//! beginning of names and slugs only, where the beginning itself stands in for what is missing.

use tenantry_core::Refusal;

use super::field::MAX_NAME_CHARS;

/// Letters or digits in a row that the index needs to find a text anywhere.
const RUN: usize = 3;
/// What begins a name and a slug where both are searched as one.
const BEGINNING: char = '\n';

/// A text to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchText(String);

impl SearchText {
    /// Reads what a caller typed; `None` where that is nothing.
    pub(crate) fn parse(typed: &str) -> Result<Option<Self>, Refusal> {
        let text = typed.trim();
        let refused = |why: &str| Err(Refusal::field("q", why));
        if text.is_empty() {
            Ok(None)
        } else if text.chars().count() > MAX_NAME_CHARS {
            refused(&format!("must be at most {MAX_NAME_CHARS} characters"))
        } else if text.chars().any(char::is_control) {
            refused("must not contain control characters")
        } else if !text.chars().any(char::is_alphanumeric) {
            refused("must have at least one letter or digit")
        } else {
            Ok(Some(Self(text.to_owned())))
        }
    }

    /// What name and slug, a line each, are like where they have the text.
    pub(crate) fn pattern(&self) -> String {
        if indexed(&self.0) {
            containing(&self.0)
        } else {
            format!("%{BEGINNING}{}%", escaped(&self.0))
        }
    }
}

/// Whether the index finds the text wherever it stands.
pub(crate) fn indexed(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric())
        .any(|run| run.chars().count() >= RUN)
}

/// What a text is like that has this one somewhere in it, to SQL's `LIKE`.
pub(crate) fn containing(text: &str) -> String {
    format!("%{}%", escaped(text))
}

/// The text with `LIKE`'s own signs made plain.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(typed: &str) -> String {
        SearchText::parse(typed).unwrap().unwrap().pattern()
    }

    #[test]
    fn a_text_of_three_letters_is_looked_for_anywhere_a_shorter_one_at_the_beginning() {
        assert_eq!(pattern(" acme "), "%acme%");
        assert_eq!(pattern("a b abc"), "%a b abc%");
        assert_eq!(pattern("株式会社"), "%株式会社%");
        assert_eq!(pattern("ab"), "%\nab%");
        assert_eq!(pattern("c++ a"), "%\nc++ a%");
    }

    #[test]
    fn the_signs_of_patterns_are_letters_like_others() {
        assert_eq!(pattern("100%_\\"), "%100\\%\\_\\\\%");
    }

    #[test]
    fn what_can_t_be_looked_for_is_refused_and_nothing_is_no_search() {
        assert_eq!(SearchText::parse(" \t ").unwrap(), None);
        let long = "x".repeat(MAX_NAME_CHARS + 1);
        for bad in ["%", "_", "---", "a\nb", "a\0b", "\u{301}", long.as_str()] {
            assert!(SearchText::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SearchText::parse(&"ü".repeat(MAX_NAME_CHARS)).is_ok());
    }
}
