//! How people are reached and addressed: each rule says what would be right. Libraries know the forms; the same ones for every
//! service.

use email_address::{EmailAddress, Options};
use jiff::tz::TimeZoneDatabase;

/// Longest address (RFC 5321, section 4.5.3.1, less the angle brackets of a path).
const MAX_EMAIL_BYTES: usize = 254;
/// Longest language tag; the longest that is registered has a third of this.
const MAX_LOCALE_BYTES: usize = 128;

/// An e-mail address (RFC 5321 and 5322), as it is written into a form.
///
/// # Errors
/// What is wrong.
pub fn email(text: &str) -> Result<(), String> {
    // Not `Ann <ann@example.com>`, which is a mailbox, nor `ann@[192.0.2.1]`.
    let options = Options::default()
        .without_display_text()
        .without_domain_literal();
    if text.len() > MAX_EMAIL_BYTES || EmailAddress::parse_with_options(text, options).is_err() {
        return Err("must be an e-mail address, as ops@example.com".to_owned());
    }
    Ok(())
}

/// A time zone of the IANA's database, under its own name there. The database is the one that was built in, so that every
/// replica knows the same zones, whatever its machine has.
///
/// # Errors
/// What is wrong, with the name where only its case is.
pub fn timezone(text: &str) -> Result<(), String> {
    let zone = TimeZoneDatabase::bundled().get(text);
    match zone.as_ref().ok().and_then(|zone| zone.iana_name()) {
        Some(name) if name == text => Ok(()),
        Some(name) => Err(format!("must be an IANA time zone; write {name}")),
        None => Err("must be an IANA time zone, as Europe/Berlin or UTC".to_owned()),
    }
}

/// A language tag (BCP 47, RFC 5646).
///
/// # Errors
/// What is wrong.
pub fn locale(text: &str) -> Result<(), String> {
    if text.len() > MAX_LOCALE_BYTES || oxilangtag::LanguageTag::parse(text).is_err() {
        return Err("must be a BCP 47 language tag, as en-US".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_mail_can_be_sent_to() {
        for good in ["ops@example.com", "a.b+c@x.example", "Ann@Example.COM"] {
            assert_eq!(email(good), Ok(()), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(250));
        for bad in [
            "",
            "ann",
            "ann@",
            "a b@c.example",
            "Ann <a@b.example>",
            "a@[192.0.2.1]",
            "a\0@b.example",
            " a@b.example",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_zone_is_one_of_the_iana_whatever_the_machine_has() {
        for good in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Ushuaia",
            "Asia/Kolkata",
            "Etc/GMT+12",
            "Asia/Calcutta",
        ] {
            assert_eq!(timezone(good), Ok(()), "{good}");
        }
        assert!(
            timezone("europe/berlin")
                .unwrap_err()
                .ends_with("write Europe/Berlin")
        );
        for bad in [
            "",
            "Berlin",
            "Mars/Base",
            "UTC+1",
            "+01:00",
            "posix/UTC",
            "../etc/passwd",
            "Europe/Berlin\0",
        ] {
            assert!(timezone(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_language_is_a_tag_of_bcp_47() {
        for good in ["en", "en-US", "zh-Hant-TW", "de-CH-1996", "x-private"] {
            assert_eq!(locale(good), Ok(()), "{good}");
        }
        for bad in ["", "e", "en_US", "en-", "english language", "\u{e4}"] {
            assert!(locale(bad).is_err(), "{bad:?}");
        }
    }
}
