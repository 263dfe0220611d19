//! What the host of a request says: at a tenant's host, which tenant it is, and of which project. One rule for all who ask,
//! whether the gateway asked about the request before or not.

use tenantry_core::tenant::{host_name, in_subdomain, project_or_default};
use tenantry_core::{Reason, Refusal, TenantId, TenantRef};

/// The host of a request, as far as it is a tenant's: the platform's subdomain or a domain of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// The tenant. A subdomain says it by its slug, of which there may be none.
    pub(crate) tenant: Option<TenantRef>,
    /// Its project.
    pub(crate) project: Option<String>,
}

impl Host {
    /// Reads `:authority`. The base domain is in lower case, and empty for none; `of_domain` tells whose verified domain a name
    /// is.
    pub(crate) fn read(
        authority: &str,
        base_domain: &str,
        of_domain: impl FnOnce(&str) -> Option<(TenantId, String)>,
    ) -> Self {
        let name = host_name(authority);
        if let Some((project, slug)) = in_subdomain(&name, base_domain) {
            return Self {
                tenant: TenantRef::parse(slug),
                project: Some(project.to_owned()),
            };
        }
        let may_be_a_tenants = name.contains('.') && name != base_domain;
        let owner = may_be_a_tenants.then(|| of_domain(&name)).flatten();
        owner.map_or_else(Self::default, |(tenant, project)| Self {
            tenant: Some(TenantRef::Id(tenant)),
            project: Some(project),
        })
    }
}

/// The project that a request names, its message aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedProject {
    /// The host's: then it is that one, whoever asks.
    pub(crate) host: Option<String>,
    /// The one that `X-Project` names, for whom nothing else says it; empty for none.
    pub(crate) asked: String,
}

/// Two different projects are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwoProjects;

impl From<TwoProjects> for Refusal {
    fn from(TwoProjects: TwoProjects) -> Self {
        Self::new(
            Reason::TenantConflict,
            "The request names two different projects: its host, X-Project and `project` may name one. Name no other than the host's, or send the request to that project's host.",
        )
    }
}

impl NamedProject {
    /// What the host says and what `X-Project` does; a header that came twice is joined with a comma.
    pub(crate) fn of(host: &Host, header: &str) -> Result<Self, TwoProjects> {
        let mut all = header
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let asked = all.next().unwrap_or_default();
        let agrees = |host: &String| asked.is_empty() || host == asked;
        if !all.all(|other| other == asked) || !host.project.as_ref().is_none_or(agrees) {
            return Err(TwoProjects);
        }
        Ok(Self {
            host: host.project.clone(),
            asked: asked.to_owned(),
        })
    }

    /// The project that a message means: the one that it names, which must be the request's; else the request's, else the
    /// default.
    pub(crate) fn meant_by(&self, message: &str) -> Result<String, TwoProjects> {
        let named = self.host.as_deref().unwrap_or(&self.asked);
        match (named, message) {
            ("", meant) | (meant, "") => Ok(project_or_default(meant).to_owned()),
            (named, message) if named == message => Ok(named.to_owned()),
            _ => Err(TwoProjects),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "tenants.example";

    /// A host where one name is a tenant's own.
    fn host(authority: &str) -> Host {
        Host::read(authority, BASE, |name| {
            (name == "app.acme.com").then(|| (TenantId::PLATFORM, "two".to_owned()))
        })
    }

    fn says(authority: &str) -> (Option<TenantRef>, String) {
        let host = host(authority);
        (host.tenant, host.project.unwrap_or_default())
    }

    #[test]
    fn a_subdomain_and_an_own_domain_say_the_tenant_and_its_project() {
        let acme = || Some(TenantRef::Slug("acme".to_owned()));
        for (authority, project) in [
            ("acme.tenants.example", "default"),
            ("acme.tenants.example:8080", "default"),
            ("Acme.Tenants.Example.", "default"),
            ("acme.second.tenants.example", "second"),
        ] {
            assert_eq!(says(authority), (acme(), project.to_owned()), "{authority}");
        }
        let own = Some(TenantRef::Id(TenantId::PLATFORM));
        assert_eq!(says("App.Acme.com:443"), (own, "two".to_owned()));
    }

    #[test]
    fn no_other_host_says_anything_and_what_is_the_platforms_is_nobodys_own() {
        for authority in [
            "",
            "tenants.example",
            "xtenants.example",
            "acme.tenants.example.evil",
            "acme.com",
            "127.0.0.1:8080",
            "[::1]:8080",
        ] {
            assert_eq!(host(authority), Host::default(), "{authority}");
        }
        for authority in [
            "",
            BASE,
            "acme.tenants.example",
            "localhost:8080",
            "[::1]:80",
        ] {
            Host::read(authority, BASE, |name| panic!("{name} is asked for"));
        }
    }

    #[test]
    fn host_header_and_message_name_one_project() {
        let meant = |authority, header, message| {
            NamedProject::of(&host(authority), header)?.meant_by(message)
        };
        for (authority, header, message, project) in [
            ("acme.two.tenants.example", "", "", "two"),
            ("acme.two.tenants.example", "two, two", "two", "two"),
            ("acme.tenants.example", "default", "", "default"),
            ("app.acme.com", "", "two", "two"),
            ("api.example", "", "", "default"),
            ("api.example", "", "two", "two"),
            ("api.example", "two", "", "two"),
            ("tenants.example", "two", "two", "two"),
        ] {
            let told = meant(authority, header, message);
            assert_eq!(
                told,
                Ok(project.to_owned()),
                "{authority} {header} {message}"
            );
        }
        for (authority, header, message) in [
            ("acme.two.tenants.example", "", "default"),
            ("acme.two.tenants.example", "three", ""),
            ("acme.tenants.example", "two", ""),
            ("app.acme.com", "", "default"),
            ("app.acme.com", "default", ""),
            ("api.example", "one, two", ""),
            ("api.example", "one", "two"),
        ] {
            let told = meant(authority, header, message);
            assert_eq!(told, Err(TwoProjects), "{authority} {header} {message}");
        }
    }
}
