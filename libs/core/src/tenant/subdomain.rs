//! Subdomains of the platform: where a tenant is reached without a domain of its own. Tenants of the default project live at
//! `<slug>.<base domain>`, those of another at `<slug>.<project>.<base domain>`. Neither a slug nor a project's key has a
//! dot, so the number of labels tells which it is, and none stands for another.

use std::borrow::Cow;

use super::DEFAULT_PROJECT;

/// The subdomain that names a tenant.
#[must_use]
pub fn subdomain(project: &str, slug: &str, base_domain: &str) -> String {
    if project == DEFAULT_PROJECT {
        format!("{slug}.{base_domain}")
    } else {
        format!("{slug}.{project}.{base_domain}")
    }
}

/// Project and slug that a host names as a subdomain of the platform; `None` for any other host. The host is as
/// [`host_name`] gives it, the base domain in lower case and empty for none.
#[must_use]
pub fn in_subdomain<'a>(host: &'a str, base_domain: &str) -> Option<(&'a str, &'a str)> {
    if base_domain.is_empty() {
        return None;
    }
    let below = host.strip_suffix(base_domain)?.strip_suffix('.')?;
    let (slug, project) = match below.split_once('.') {
        // The default project's tenants have one host, without it.
        Some((_, DEFAULT_PROJECT)) => return None,
        Some(named) => named,
        None => (below, DEFAULT_PROJECT),
    };
    let is_one = |label: &str| !label.is_empty() && !label.contains('.');
    (is_one(slug) && is_one(project)).then_some((project, slug))
}

/// The name of a request's authority in the form that names are compared in: without port and final dot, in lower case.
#[must_use]
pub fn host_name(authority: &str) -> Cow<'_, str> {
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, _port)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "tenants.example";

    #[test]
    fn what_is_shown_is_what_is_read() {
        for (project, host) in [
            (DEFAULT_PROJECT, "acme.tenants.example"),
            ("second", "acme.second.tenants.example"),
        ] {
            assert_eq!(subdomain(project, "acme", BASE), host);
            assert_eq!(in_subdomain(host, BASE), Some((project, "acme")));
        }
    }

    #[test]
    fn a_tenant_and_a_project_of_one_name_are_two_hosts() {
        let tenant = in_subdomain("second.tenants.example", BASE);
        assert_eq!(tenant, Some((DEFAULT_PROJECT, "second")));
        let below = in_subdomain("acme.second.tenants.example", BASE);
        assert_eq!(below, Some(("second", "acme")));
    }

    #[test]
    fn other_hosts_name_none() {
        for host in [
            "",
            "tenants.example",
            ".tenants.example",
            "xtenants.example",
            "acme.tenants.example.evil",
            "acme.default.tenants.example",
            "a.acme.second.tenants.example",
            ".second.tenants.example",
            "acme..tenants.example",
            "..tenants.example",
            "127.0.0.1",
        ] {
            assert_eq!(in_subdomain(host, BASE), None, "{host}");
        }
        assert_eq!(in_subdomain("acme.example", ""), None);
    }

    #[test]
    fn a_name_has_one_form() {
        for authority in [
            "acme.tenants.example",
            "ACME.Tenants.Example:8080",
            "acme.tenants.example.",
            "acme.tenants.example.:443",
        ] {
            assert_eq!(host_name(authority), "acme.tenants.example", "{authority}");
        }
        assert_eq!(host_name("[::1]:8080"), "[::1]");
    }
}
