//! What a new password must be (NIST SP 800-63B, section 3.1.1): long enough, and not among those that are guessed first.
//! Nothing is asked of its characters, and a password that signs in already is never judged again.

use zxcvbn::{Score, zxcvbn};

/// The upper bound keeps hashing short.
const CHARS: std::ops::RangeInclusive<usize> = 10..=256;
/// What the library calls safe against guessing, after its lists of breached passwords, names and common words.
const ENOUGH: Score = Score::Three;
/// Shortest part of an address or name that is looked for in the password.
const PART_CHARS: usize = 3;
/// Most parts that are looked for.
const MOST_PARTS: usize = 32;
/// Words that every installation has in common.
const PRODUCT: &[&str] = &["tenantry", "tenant"];

/// Whether it has the length of a password.
pub(crate) fn length(text: &str) -> Result<(), String> {
    if CHARS.contains(&text.chars().count()) {
        return Ok(());
    }
    Err(format!(
        "must be {} to {} characters",
        CHARS.start(),
        CHARS.end()
    ))
}

/// Whether a text could be a password at all.
pub(crate) fn could_be(text: &str) -> bool {
    text.chars().count() <= *CHARS.end()
}

/// Whether it is hard enough to guess for who knows what stands in `about`: the person's address and name. Takes some
/// milliseconds at most; only the first hundred characters count.
pub(crate) fn strength(text: &str, about: &[&str]) -> Result<(), String> {
    let known = known_words(about);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let judged = zxcvbn(text, &known);
    // What is known adds nothing, however it is put together: the rest has to be enough.
    let rest = known
        .iter()
        .fold(text.to_lowercase(), |rest, word| rest.replace(word, ""));
    if judged.score() >= ENOUGH && zxcvbn(&rest, &[]).score() >= ENOUGH {
        return Ok(());
    }
    let mut why = "is too easy to guess; take several words that have nothing to do with you or with this product"
        .to_owned();
    if let Some(feedback) = judged.feedback() {
        let warning = feedback.warning().map(|warning| warning.to_string());
        for advice in warning
            .into_iter()
            .chain(feedback.suggestions().iter().map(ToString::to_string))
        {
            why.push_str(". ");
            why.push_str(advice.trim_end_matches('.'));
        }
    }
    Err(why)
}

/// What a guesser tries first, in lower case, the longest first.
fn known_words(about: &[&str]) -> Vec<String> {
    let parts = about
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let mut words: Vec<String> = about
        .iter()
        .copied()
        .chain(PRODUCT.iter().copied())
        .chain(parts)
        .filter(|word| word.chars().count() >= PART_CHARS)
        .take(MOST_PARTS)
        .map(str::to_lowercase)
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &[&str] = &["ann.example@acme-school.test", "Ann Example"];

    #[test]
    fn a_password_is_judged_by_its_length_in_characters() {
        assert!(length(&"ü".repeat(10)).is_ok());
        assert!(length(&"x".repeat(9)).is_err());
        assert!(length(&"x".repeat(257)).is_err());
    }

    #[test]
    fn what_is_guessed_first_is_refused_with_what_to_do() {
        for bad in [
            "1234567890",
            "passwordpassword",
            "Password123!",
            "qwertyuiop",
            "iloveyou12",
            "aaaaaaaaaaaaaaaa",
            "abcdefghijklmnop",
        ] {
            let why = strength(bad, &[]).unwrap_err();
            assert!(why.contains("several words"), "{bad}: {why}");
            assert!(!why.contains(bad), "{why}");
        }
    }

    #[test]
    fn a_password_made_of_the_person_or_the_product_is_refused() {
        for bad in [
            "ann.example@acme-school.test",
            "AnnExample1",
            "acmeschool2026",
            "tenantrytenant",
            "Tenantry2026!",
        ] {
            assert!(strength(bad, ANN).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_that_say_nothing_of_anyone_pass_whatever_characters_they_have() {
        for good in [
            "correct horse battery",
            "purple lantern seldom",
            "velvet-otter-cinema",
            "Kaffee über Brücken",
            "日本語のとても長い合言葉です",
        ] {
            assert_eq!(strength(good, ANN), Ok(()), "{good}");
        }
        assert!(strength(&"long ".repeat(51), ANN).is_err());
    }
}
