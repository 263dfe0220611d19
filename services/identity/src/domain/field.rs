//! Rules of single fields: each says what is wrong and what would be right.

use std::str::FromStr;

use jiff::Timestamp;
use tenantry_core::{Permission, Permissions, clock, contact};

const MAX_NAME_CHARS: usize = 200;
const MAX_DESCRIPTION_CHARS: usize = 1_000;
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=64;
/// 0001-01-01T00:00:00Z in seconds since 1970; the last year is that of the calendar in use.
const YEAR_ONE: i64 = -62_135_596_800;

/// An e-mail address in the one spelling that it is stored and looked up in: lower case.
pub(crate) fn email(text: &str) -> Result<String, String> {
    let text = text.trim();
    contact::email(text)?;
    Ok(text.to_lowercase())
}

/// Whether an address, as it is stored, is of one of these domains: of the very domain, not of one above or below.
pub(crate) fn is_of(email: &str, domains: &[String]) -> bool {
    let domain = email.rsplit_once('@').map(|(_, domain)| domain);
    domain.is_some_and(|domain| domains.iter().any(|one| one == domain))
}

/// A name of a person; the part of the address before the @ where none is given.
pub(crate) fn person(text: &str, email: &str) -> Result<String, String> {
    if text.is_empty() {
        let local = email.split('@').next().unwrap_or_default();
        return Ok(local.to_owned());
    }
    name(text)
}

pub(crate) fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME_CHARS {
        return Err(format!(
            "must be 1 to {MAX_NAME_CHARS} characters and not blank"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// What something is for, in a few sentences; none is fine.
pub(crate) fn description(text: &str) -> Result<String, String> {
    let text = text.trim();
    let unfit = |c: char| c.is_control() && c != '\n';
    if text.chars().count() > MAX_DESCRIPTION_CHARS || text.chars().any(unfit) {
        return Err(format!(
            "must be at most {MAX_DESCRIPTION_CHARS} characters, line ends the only control characters"
        ));
    }
    Ok(text.to_owned())
}

/// A name besides the address: never one, and the same however it is typed.
pub(crate) fn username(text: &str) -> Result<String, String> {
    let name = text.trim().to_lowercase();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if USERNAME_CHARS.contains(&name.len()) && name.starts_with(first) && name.chars().all(inner) {
        return Ok(name);
    }
    Err(format!(
        "must be {} to {} letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        USERNAME_CHARS.start(),
        USERNAME_CHARS.end()
    ))
}

/// Permissions by name; `None` where none is given.
pub(crate) fn permissions(names: &[String]) -> Result<Option<Permissions>, String> {
    if names.is_empty() {
        return Ok(None);
    }
    names
        .iter()
        .map(|name| permission(name))
        .collect::<Result<Permissions, _>>()
        .map(Some)
}

/// A permission by name.
pub(crate) fn permission(name: &str) -> Result<Permission, String> {
    name.parse().map_err(|_| {
        let known: Vec<_> = Permission::ALL.iter().map(|p| p.name()).collect();
        format!("must be some of {}", known.join(", "))
    })
}

/// An id.
pub(crate) fn id<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse()
        .map_err(|_| "must be an id: a UUID, as in the answer that you have it from")
}

/// An instant of the years 1 to 9999, which are all that the wire format has, as a row keeps it, to the microsecond: an
/// answer, its event and a later reading then agree.
pub(crate) fn as_stored(at: Timestamp) -> Result<Timestamp, String> {
    if at.as_second() < YEAR_ONE {
        return Err("must be an instant of the years 1 to 9999".to_owned());
    }
    Ok(clock::as_stored(at))
}

/// Whether an end is yet to come.
pub(crate) fn in_future(at: Timestamp, now: Timestamp) -> Result<(), String> {
    if at > now {
        Ok(())
    } else {
        Err("must be in the future".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_however_it_is_typed() {
        assert_eq!(email(" Ann@Example.COM "), Ok("ann@example.com".to_owned()));
        for bad in [
            "",
            "ann",
            "ann@",
            "a\0@b.example",
            "a b@c.example",
            "Ann <a@b.example>",
            "a@[192.0.2.1]",
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_instant_has_a_year_that_the_wire_format_has() {
        let first = Timestamp::from_second(YEAR_ONE).unwrap();
        assert_eq!(first.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(as_stored(first), Ok(first));
        for bad in [
            Timestamp::MIN,
            Timestamp::from_second(YEAR_ONE - 1).unwrap(),
        ] {
            assert!(as_stored(bad).is_err(), "{bad}");
        }
        let fine: Timestamp = "2026-01-31T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(
            as_stored(fine).unwrap().to_string(),
            "2026-01-31T12:00:00.123456Z"
        );
        assert!(as_stored(Timestamp::MAX).is_ok());
    }

    #[test]
    fn a_username_is_no_address_and_one_however_it_is_typed() {
        assert_eq!(username(" Ann.B_2 "), Ok("ann.b_2".to_owned()));
        for bad in [
            "",
            "ab",
            "-ann",
            "a@b",
            "änn",
            "a b c",
            "a\0b",
            &"x".repeat(65),
        ] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
    }
}
