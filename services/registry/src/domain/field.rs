//! Rules of single fields: each says what is wrong and what would be right.

use std::collections::BTreeMap;

use email_address::{EmailAddress, Options};
use serde_json::Value;

/// Longest name.
pub(crate) const MAX_NAME_CHARS: usize = 200;
const MAX_TEXT_CHARS: usize = 128;
const MAX_REASON_CHARS: usize = 500;
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

/// An e-mail address (RFC 5321 and 5322), or none.
pub(crate) fn email(text: &str) -> Check {
    if text.is_empty() {
        return Ok(());
    }
    EmailAddress::parse_with_options(text, Options::default().without_display_text())
        .map(drop)
        .map_err(|_| "must be an e-mail address, as ops@example.com".to_owned())
}

/// A telephone number (E.164), or none.
pub(crate) fn phone(text: &str) -> Check {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let valid = (7..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() || valid {
        return Ok(());
    }
    Err("must be an E.164 number: + and 7 to 15 digits, as +491701234567".to_owned())
}

/// An IANA time zone.
pub(crate) fn timezone(text: &str) -> Check {
    jiff::tz::TimeZone::get(text)
        .map(drop)
        .map_err(|_| "must be an IANA time zone, as Europe/Berlin or UTC".to_owned())
}

/// A language tag (BCP 47, RFC 5646).
pub(crate) fn locale(text: &str) -> Check {
    if text.len() > MAX_TEXT_CHARS || oxilangtag::LanguageTag::parse(text).is_err() {
        return Err("must be a BCP 47 language tag, as en-US".to_owned());
    }
    Ok(())
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
