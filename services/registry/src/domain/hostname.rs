//! Names in the DNS that may be a tenant's own: under a public suffix, and not the platform's.

use tenantry_core::{Reason, Refusal};

/// Longest name (RFC 1035), less what stands before it in the challenge's record.
const MAX_BYTES: usize = 253 - CHALLENGE_LABEL.len() - 1;
/// Label below which the challenge's TXT record stands.
pub(crate) const CHALLENGE_LABEL: &str = "_tenantry-challenge";

/// The name in the one form that it is stored and compared in: ASCII (UTS 46, with the STD3 rules), lower case, no final
/// dot.
///
/// # Errors
/// INVALID_ARGUMENT for what is no host name, DOMAIN_RESERVED for a public suffix, a name that no public DNS has, and the
/// platform's own.
pub(crate) fn parse(text: &str, base_domain: &str) -> Result<String, Refusal> {
    let plain = text.strip_suffix('.').unwrap_or(text);
    let name = idna::domain_to_ascii_strict(plain)
        .ok()
        .filter(|name| (1..=MAX_BYTES).contains(&name.len()) && is_host_name(name))
        .ok_or_else(|| {
            Refusal::field(
                "domain",
                "must be a host name, as app.acme.com, without scheme, port or path",
            )
        })?;
    if is_at_or_below(&name, base_domain) {
        return Err(reserved(
            "domain: names of the platform itself can't be added: each tenant's slug is its subdomain already.",
        ));
    }
    // The Public Suffix List says who registers below a name; a suffix that it doesn't know is in no public DNS.
    let known = psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
    if !known || psl::domain(name.as_bytes()).is_none() {
        return Err(reserved(
            "domain: this name is a public suffix, or under no public one, so nobody can show it to be theirs. Add a name of your own below it, as app.acme.com.",
        ));
    }
    Ok(name)
}

/// What a caller calls a domain that stands here already: the stored form where it has one, else what matches nothing.
pub(crate) fn named(text: &str) -> String {
    let plain = text.strip_suffix('.').unwrap_or(text);
    idna::domain_to_ascii_strict(plain)
        .ok()
        .filter(|name| name.len() <= MAX_BYTES && is_host_name(name))
        .unwrap_or_default()
}

/// Labels of letters, digits and inner dashes, at least two, the last no number: a name, not an address.
fn is_host_name(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let fine = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    labels.len() > 1
        && labels.iter().all(fine)
        && labels
            .last()
            .is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

fn is_at_or_below(name: &str, base_domain: &str) -> bool {
    !base_domain.is_empty()
        && name
            .strip_suffix(base_domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn reserved(message: &str) -> Refusal {
    let mut refusal = Refusal::new(Reason::DomainReserved, message);
    refusal.violations = Refusal::field("domain", "is reserved").violations;
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "tenants.example.com";

    #[test]
    fn one_name_has_one_form() {
        for (text, form) in [
            ("App.Acme.com", "app.acme.com"),
            ("acme.com.", "acme.com"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("shop.acme.co.uk", "shop.acme.co.uk"),
            ("acme.github.io", "acme.github.io"),
        ] {
            assert_eq!(parse(text, BASE).unwrap(), form, "{text}");
            assert_eq!(named(text), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long = format!("{}.com", ["a".repeat(60).as_str(); 4].join("."));
        for bad in [
            "",
            ".",
            "com.",
            "acme",
            "acme..com",
            "-a.com",
            "a-.com",
            "a_b.com",
            "a b.com",
            "a/b.com",
            "https://acme.com",
            "acme.com:8080",
            "*.acme.com",
            "192.0.2.1",
            "[::1]",
            "a\0.com",
            &long,
        ] {
            let refusal = parse(bad, BASE).unwrap_err();
            assert!(
                matches!(
                    refusal.reason,
                    Reason::InvalidArgument | Reason::DomainReserved
                ),
                "{bad}"
            );
            assert_ne!(named(bad), "acme.com", "{bad}");
        }
    }

    #[test]
    fn names_of_everyone_and_of_the_platform_are_refused() {
        for bad in [
            "co.uk",
            "github.io",
            "server.local",
            "acme.internal",
            "app.localhost",
            "acme.test",
            "tenants.example.com",
            "acme.tenants.example.com",
        ] {
            let refusal = parse(bad, BASE).unwrap_err();
            assert_eq!(refusal.reason, Reason::DomainReserved, "{bad}");
        }
        assert!(parse("mytenants.example.com", BASE).is_ok());
    }
}
