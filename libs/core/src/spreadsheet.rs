//! Texts in the cells of CSV files, which people open with spreadsheets: those take some cells for formulas.

/// What a cell mustn't begin with: what begins a formula somewhere, also in full width, and the guard itself.
const GUARDED: [char; 12] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', GUARD,
];
const GUARD: char = '\'';

/// A text that no spreadsheet takes for a formula. One that begins with what they begin with, or with an apostrophe, has an
/// apostrophe before it: take one away, and the text is as it was.
#[must_use]
pub fn guarded(mut text: String) -> String {
    if text.starts_with(GUARDED) {
        text.insert(0, GUARD);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_has_one_apostrophe_more_and_all_else_is_as_it_was() {
        for text in ["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\u{ff1d}1", "'quoted"] {
            assert_eq!(guarded(text.to_owned()), format!("'{text}"));
        }
        for text in ["", "plain", "1-1", " =1", "a'b"] {
            assert_eq!(guarded(text.to_owned()), text);
        }
    }
}
