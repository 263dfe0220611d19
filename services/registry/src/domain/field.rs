//! Rules of single fields: each says what is wrong and what would be right.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_core::contact;

/// Longest name.
pub(crate) const MAX_NAME_CHARS: usize = 200;
const MAX_TEXT_CHARS: usize = 128;
const MAX_REASON_CHARS: usize = 500;
/// Country code and national number together (E.164, section 6).
const MAX_PHONE_DIGITS: usize = 15;
const MAX_LABELS: usize = 64;
const MAX_LABEL_CHARS: usize = 63;
const MAX_METADATA_BYTES: usize = 16 * 1024;

type Check = Result<(), String>;

pub(crate) fn name(text: &str) -> Check {
    if text.trim().is_empty() || text.chars().count() > MAX_NAME_CHARS {
        return Err(format!(
            "must be 1 to {MAX_NAME_CHARS} characters and not blank"
        ));
    }
    printable(text)
}

/// A short text that may be absent.
pub(crate) fn text(text: &str) -> Check {
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("must be at most {MAX_TEXT_CHARS} characters"));
    }
    printable(text)
}

pub(crate) fn reason(text: &str) -> Check {
    if text.chars().count() > MAX_REASON_CHARS {
        return Err(format!("must be at most {MAX_REASON_CHARS} characters"));
    }
    printable(text)
}

fn printable(text: &str) -> Check {
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

/// An e-mail address, or none.
pub(crate) fn email(text: &str) -> Check {
    if text.is_empty() {
        return Ok(());
    }
    contact::email(text)
}

/// A telephone number that is in use somewhere, in the form of E.164, or none.
pub(crate) fn phone(text: &str) -> Check {
    let e164 = text.strip_prefix('+').is_some_and(|digits| {
        digits.len() <= MAX_PHONE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let known = || phonenumber::parse(None, text).is_ok_and(|number| number.is_valid());
    if text.is_empty() || (e164 && known()) {
        return Ok(());
    }
    Err("must be a telephone number in the form of E.164: + and the digits with country and area, as +491701234567".to_owned())
}

pub(crate) fn labels(labels: &BTreeMap<String, String>) -> Check {
    if labels.len() > MAX_LABELS {
        return Err(format!("must be at most {MAX_LABELS}"));
    }
    for (key, value) in labels {
        let inner = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | '/')
        };
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if key.len() > MAX_LABEL_CHARS
            || !edge(key.chars().next())
            || !edge(key.chars().last())
            || !key.chars().all(inner)
        {
            return Err(format!(
                "the key {key:?} must be 1 to {MAX_LABEL_CHARS} lower-case letters, digits, and inner dashes, dots, underscores and slashes"
            ));
        }
        if value.is_empty() || value.chars().count() > MAX_LABEL_CHARS {
            return Err(format!(
                "the value of {key:?} must be 1 to {MAX_LABEL_CHARS} characters; to drop a label, leave it out"
            ));
        }
        printable(value).map_err(|why| format!("the value of {key:?} {why}"))?;
    }
    Ok(())
}

pub(crate) fn metadata(object: &Value) -> Check {
    if object.to_string().len() > MAX_METADATA_BYTES {
        return Err(format!(
            "must be at most {MAX_METADATA_BYTES} bytes of JSON"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_number_is_one_that_a_country_gives() {
        for good in [
            "",
            "+491701234567",
            "+12025550123",
            "+442079460018",
            "+81312345678",
        ] {
            assert_eq!(phone(good), Ok(()), "{good}");
        }
        for bad in [
            "0170 1234567",
            "491701234567",
            "+",
            "+0123456789",
            "+49 170 1234567",
            "+49-170-1234567",
            "+491701234567;ext=7",
            "+1234567890123456",
            "+999123456789",
            "+4917",
            "tel:+491701234567",
            "+\u{ff14}\u{ff19}1701234567",
        ] {
            assert!(phone(bad).is_err(), "{bad:?}");
        }
    }
}
