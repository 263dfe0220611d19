//! Which tenant a request names. The path, two headers and the host may each name one; they must agree.

use tenantry_core::tenant::{host_name, in_subdomain};
use tenantry_core::{TenantId, TenantRef};
use tenantry_proto::methods::RESERVED_SLUGS;

/// What follows these in a REST path names a tenant, the API's own words aside.
const COLLECTIONS: [&str; 2] = ["/api/v1/tenants/", "/api/v1/organizations/"];

/// Where a request may name its tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints<'a> {
    /// Path of the REST request, before it was transcoded.
    pub(crate) path: &'a str,
    /// `X-Tenant-ID`.
    pub(crate) id: &'a str,
    /// `X-Tenant-Slug`.
    pub(crate) slug: &'a str,
    /// `X-Project`.
    pub(crate) project: &'a str,
    /// `:authority`.
    pub(crate) host: &'a str,
    /// The domain whose subdomains name tenants, in lower case; empty for none.
    pub(crate) base_domain: &'a str,
}

/// In which project a request's slugs are looked up, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedProject {
    /// The one that the host is a subdomain of: then it is that one, whoever asks.
    pub(crate) host: Option<String>,
    /// The one that `X-Project` names, for whom nothing else says it; empty for none.
    pub(crate) asked: String,
}

/// What a request's hints come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Nothing is named.
    Nothing,
    /// One tenant, in one way.
    One(TenantRef),
    /// Perhaps one tenant, by id and by slug: to be held against each other once the tenant of that id is known to be in
    /// reach.
    Both(TenantId, String),
    /// Two tenants.
    Conflict,
}

impl Hints<'_> {
    /// The host in lower case where it may be a tenant's custom domain: a name, and none of the platform's.
    pub(crate) fn custom_domain(&self) -> Option<String> {
        let name = host_name(self.host);
        let own = in_subdomain(&name, self.base_domain).is_some();
        (name.contains('.') && !own && name != self.base_domain).then(|| name.into_owned())
    }

    /// The project that is named; `Err` where there are two.
    pub(crate) fn named_project(&self) -> Result<NamedProject, ()> {
        let asked = project(self.project)?;
        let host = host_name(self.host);
        let host = in_subdomain(&host, self.base_domain).map(|(project, _)| project);
        if host.is_some_and(|host| !asked.is_empty() && host != asked) {
            return Err(());
        }
        Ok(NamedProject {
            host: host.map(str::to_owned),
            asked: asked.to_owned(),
        })
    }

    /// What is named. Nothing is looked up for it.
    pub(crate) fn named(&self) -> Named {
        // A header that came twice is joined with a comma, so each part counts.
        let headers = [self.id, self.slug]
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim);
        let host = host_name(self.host);
        let in_host = in_subdomain(&host, self.base_domain).map(|(_, slug)| slug);
        let all = headers
            .chain(in_path(self.path))
            .chain(in_host)
            .filter_map(TenantRef::parse);
        let (mut id, mut slug): (Option<TenantId>, Option<String>) = (None, None);
        for named in all {
            let agrees = match named {
                TenantRef::Id(new) => *id.get_or_insert(new) == new,
                TenantRef::Slug(new) => *slug.get_or_insert_with(|| new.clone()) == new,
            };
            if !agrees {
                return Named::Conflict;
            }
        }
        match (id, slug) {
            (None, None) => Named::Nothing,
            (Some(id), None) => Named::One(TenantRef::Id(id)),
            (None, Some(slug)) => Named::One(TenantRef::Slug(slug)),
            (Some(id), Some(slug)) => Named::Both(id, slug),
        }
    }
}

impl Named {
    /// The same, where the host is a custom domain of this tenant.
    pub(crate) fn and(self, id: TenantId) -> Self {
        match self {
            Self::Nothing => Self::One(TenantRef::Id(id)),
            Self::One(TenantRef::Slug(slug)) => Self::Both(id, slug),
            Self::One(TenantRef::Id(other)) if other == id => Self::One(TenantRef::Id(id)),
            Self::Both(other, slug) if other == id => Self::Both(id, slug),
            Self::One(TenantRef::Id(_)) | Self::Both(..) | Self::Conflict => Self::Conflict,
        }
    }
}

fn in_path(path: &str) -> Option<&str> {
    let rest = COLLECTIONS
        .iter()
        .find_map(|collection| path.strip_prefix(collection))?;
    let segment = rest.split(['/', ':', '?', '#']).next()?;
    (!RESERVED_SLUGS.contains(&segment)).then_some(segment)
}

/// The project that `X-Project` names; `Err` where two do.
pub(crate) fn project(header: &str) -> Result<&str, ()> {
    let mut parts = header
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default();
    if parts.all(|part| part == first) {
        Ok(first)
    } else {
        Err(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "tenants.example";

    fn slug(text: &str) -> Named {
        Named::One(TenantRef::Slug(text.to_owned()))
    }

    fn hints<'a>() -> Hints<'a> {
        Hints {
            base_domain: BASE,
            ..Hints::default()
        }
    }

    #[test]
    fn the_path_names_a_tenant_up_to_the_next_sign() {
        for path in [
            "/api/v1/tenants/acme",
            "/api/v1/tenants/acme?x=1",
            "/api/v1/tenants/acme:undelete",
            "/api/v1/tenants/acme/users/7",
            "/api/v1/organizations/acme/members",
        ] {
            assert_eq!(Hints { path, ..hints() }.named(), slug("acme"), "{path}");
        }
        for path in [
            "",
            "/api/v1/tenants",
            "/api/v1/tenants/",
            "/api/v1/tenants?x=/api/v1/tenants/acme",
            "/api/v1/tenants/current",
            "/api/v1/plans/acme",
            "/tenantry.registry.v1.TenantService/GetTenant",
        ] {
            assert_eq!(Hints { path, ..hints() }.named(), Named::Nothing, "{path}");
        }
    }

    #[test]
    fn a_subdomain_of_the_base_domain_names_a_tenant() {
        for host in [
            "acme.tenants.example",
            "acme.tenants.example:8080",
            "Acme.Tenants.Example.",
            "acme.second.tenants.example",
        ] {
            assert_eq!(Hints { host, ..hints() }.named(), slug("acme"), "{host}");
        }
        for host in [
            "tenants.example",
            "xtenants.example",
            "acme.tenants.example.evil",
            "127.0.0.1:8080",
            "[::1]:8080",
        ] {
            assert_eq!(Hints { host, ..hints() }.named(), Named::Nothing, "{host}");
        }
    }

    #[test]
    fn a_subdomain_says_the_project_and_a_header_may_not_say_another() {
        let named = |host, project| {
            let hints = Hints {
                host,
                project,
                ..hints()
            };
            let named = hints.named_project()?;
            Ok((named.host.unwrap_or_default(), named.asked))
        };
        let both = |host: &str, asked: &str| Ok((host.to_owned(), asked.to_owned()));
        assert_eq!(named("acme.tenants.example", ""), both("default", ""));
        assert_eq!(named("acme.two.tenants.example", ""), both("two", ""));
        assert_eq!(named("acme.two.tenants.example", "two"), both("two", "two"));
        assert_eq!(named("api.example", "two, two"), both("", "two"));
        for (host, project) in [
            ("acme.tenants.example", "two"),
            ("acme.two.tenants.example", "default"),
            ("api.example", "one, two"),
        ] {
            assert_eq!(named(host, project), Err(()), "{host} {project}");
        }
    }

    #[test]
    fn two_that_differ_are_refused_before_either_is_looked_up() {
        let (one, other) = (TenantId::new().to_string(), TenantId::new().to_string());
        let twice = format!("{one},{other}");
        let conflicts = [
            Hints {
                id: &twice,
                ..hints()
            },
            Hints {
                slug: "acme, beta",
                ..hints()
            },
            Hints {
                slug: "acme",
                path: "/api/v1/tenants/beta",
                ..hints()
            },
            Hints {
                host: "acme.tenants.example",
                path: "/api/v1/tenants/beta",
                ..hints()
            },
            Hints {
                id: &one,
                path: &format!("/api/v1/tenants/{other}"),
                ..hints()
            },
        ];
        for hints in conflicts {
            assert_eq!(hints.named(), Named::Conflict, "{hints:?}");
        }
    }

    #[test]
    fn the_same_tenant_may_be_named_twice() {
        let id = TenantId::new();
        let text = id.to_string();
        let same = Hints {
            id: &text,
            path: &format!("/api/v1/tenants/{text}"),
            ..hints()
        };
        assert_eq!(same.named(), Named::One(TenantRef::Id(id)));
        let both = Hints {
            id: &text,
            slug: "acme",
            ..hints()
        };
        assert_eq!(both.named(), Named::Both(id, "acme".to_owned()));
    }

    #[test]
    fn a_custom_domain_names_its_tenant_like_an_id() {
        let (id, other) = (TenantId::new(), TenantId::new());
        let host = |host| Hints { host, ..hints() }.custom_domain();
        assert_eq!(host("App.Acme.com:443"), Some("app.acme.com".to_owned()));
        for own in [
            "acme.tenants.example",
            "acme.second.tenants.example",
            BASE,
            "localhost:8080",
            "",
            "[::1]:80",
        ] {
            assert_eq!(host(own), None, "{own}");
        }
        assert_eq!(Named::Nothing.and(id), Named::One(TenantRef::Id(id)));
        assert_eq!(slug("acme").and(id), Named::Both(id, "acme".to_owned()));
        assert_eq!(
            Named::One(TenantRef::Id(id)).and(id),
            Named::One(TenantRef::Id(id))
        );
        for differs in [
            Named::One(TenantRef::Id(other)),
            Named::Both(other, "acme".to_owned()),
            Named::Conflict,
        ] {
            assert_eq!(differs.and(id), Named::Conflict);
        }
    }

    #[test]
    fn two_projects_are_one_too_many() {
        assert_eq!(project(" a , a"), Ok("a"));
        assert_eq!(project(""), Ok(""));
        assert_eq!(project("a,b"), Err(()));
    }
}
