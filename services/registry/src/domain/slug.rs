//! Slugs: a tenant's name for machines. Lower-case letters, digits and inner dashes, 3 to 63 characters (what a DNS label
//! of RFC 1123 allows), no word that the API or the platform uses, and nothing that stands for something else: no UUID, and no
//! label in the encoded form of other scripts (`xn--`), which people would be shown as letters that look like these.

use tenantry_core::{Reason, Refusal};
use tenantry_proto::methods::RESERVED_SLUGS;
use uuid::Uuid;

const MIN: usize = 3;
const MAX: usize = 63;

/// Words besides those of the API's own paths: what the API will use, and what people would take for the platform.
const RESERVED: &[&str] = &[
    "admin",
    "analytics",
    "api",
    "app",
    "audit-log",
    "auth",
    "billing",
    "broadcast",
    "bulk",
    "console",
    "dashboard",
    "default",
    "docs",
    "health",
    "health-summary",
    "help",
    "login",
    "mail",
    "metrics",
    "operator",
    "operators",
    "platform",
    "provision-from-template",
    "root",
    "security",
    "status",
    "support",
    "system",
    "tenant",
    "tenantry",
    "tenants",
    "test",
    "www",
];

/// Checks a slug that a caller chose.
pub(crate) fn check(text: &str) -> Result<(), Refusal> {
    if !well_formed(text) {
        return Err(Refusal::field(
            "slug",
            "must be 3 to 63 characters: lower-case letters, digits and inner dashes, and not a UUID",
        ));
    }
    if is_encoded(text) {
        return Err(Refusal::field(
            "slug",
            "must not have two dashes at its third place, as xn-- has, which marks names in other letters",
        ));
    }
    if is_reserved(text) {
        let mut refusal = Refusal::new(
            Reason::SlugReserved,
            "slug: this word is kept for the platform itself. Choose another.",
        );
        refusal.violations = Refusal::field("slug", "is a reserved word").violations;
        return Err(refusal);
    }
    Ok(())
}

pub(crate) fn well_formed(text: &str) -> bool {
    (MIN..=MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.parse::<Uuid>().is_err()
}

/// Whether the DNS keeps such labels for encodings (RFC 5891, section 4.2.3.1).
pub(crate) fn is_encoded(text: &str) -> bool {
    text.get(2..4) == Some("--")
}

fn is_reserved(text: &str) -> bool {
    RESERVED.contains(&text) || RESERVED_SLUGS.contains(&text)
}

/// A slug made from a tenant's name; with a suffix of its id where the plain one can't be had.
pub(crate) fn from_name(name: &str, suffix: Option<&str>) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let room = MAX - suffix.map_or(0, |s| s.len() + 1);
    slug.truncate(room);
    let slug = slug.trim_end_matches('-');
    match suffix {
        Some(suffix) if slug.is_empty() => format!("tenant-{suffix}"),
        Some(suffix) => format!("{slug}-{suffix}"),
        None => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_isn_t_a_slug_is_refused() {
        let uuid = "01900000-0000-7000-8000-000000000001";
        let long = "a".repeat(64);
        for bad in [
            "",
            "ab",
            "-ab",
            "ab-",
            "Abc",
            "a_b",
            "a b",
            "àbc",
            "аbс",
            "a.b",
            uuid,
            &long,
            "current",
            "admin",
            "xn--80ak6aa92e",
            "ab--cd",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for good in ["abc", "a-1", "acme-corp", "1st", "a--b", "abc--d"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_name_becomes_a_slug() {
        assert_eq!(from_name("Acme, Inc.", None), "acme-inc");
        assert_eq!(from_name("Ünïcode GmbH", Some("1a2b")), "n-code-gmbh-1a2b");
        assert_eq!(from_name("漢字", Some("1a2b")), "tenant-1a2b");
        assert_eq!(from_name(&"x".repeat(200), Some("1a2b")).len(), 63);
    }
}
