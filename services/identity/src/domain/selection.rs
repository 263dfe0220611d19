//! Which tenant a request names. The path, two headers and the host may each name one; they must agree.

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
    /// The one whose host it is.
    pub(crate) host: Option<&'a TenantRef>,
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
    /// What is named. Nothing is looked up for it.
    pub(crate) fn named(&self) -> Named {
        // A header that came twice is joined with a comma, so each part counts.
        let headers = [self.id, self.slug]
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim);
        let all = headers
            .chain(in_path(self.path))
            .filter_map(TenantRef::parse)
            .chain(self.host.cloned());
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

fn in_path(path: &str) -> Option<&str> {
    let rest = COLLECTIONS
        .iter()
        .find_map(|collection| path.strip_prefix(collection))?;
    let segment = rest.split(['/', ':', '?', '#']).next()?;
    (!RESERVED_SLUGS.contains(&segment)).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Named {
        Named::One(TenantRef::Slug(text.to_owned()))
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
            assert_eq!(
                Hints {
                    path,
                    ..Hints::default()
                }
                .named(),
                slug("acme"),
                "{path}"
            );
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
            assert_eq!(
                Hints {
                    path,
                    ..Hints::default()
                }
                .named(),
                Named::Nothing,
                "{path}"
            );
        }
    }

    #[test]
    fn two_that_differ_are_refused_before_either_is_looked_up() {
        let (one, other) = (TenantId::new().to_string(), TenantId::new().to_string());
        let (by_slug, by_id) = (
            TenantRef::Slug("acme".to_owned()),
            TenantRef::Id(TenantId::new()),
        );
        let twice = format!("{one},{other}");
        let conflicts = [
            Hints {
                id: &twice,
                ..Hints::default()
            },
            Hints {
                slug: "acme, beta",
                ..Hints::default()
            },
            Hints {
                slug: "acme",
                path: "/api/v1/tenants/beta",
                ..Hints::default()
            },
            Hints {
                host: Some(&by_slug),
                path: "/api/v1/tenants/beta",
                ..Hints::default()
            },
            Hints {
                host: Some(&by_id),
                id: &one,
                ..Hints::default()
            },
            Hints {
                id: &one,
                path: &format!("/api/v1/tenants/{other}"),
                ..Hints::default()
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
            ..Hints::default()
        };
        assert_eq!(same.named(), Named::One(TenantRef::Id(id)));
        let both = Hints {
            id: &text,
            slug: "acme",
            ..Hints::default()
        };
        assert_eq!(both.named(), Named::Both(id, "acme".to_owned()));
    }

    #[test]
    fn the_host_names_its_tenant_like_a_header() {
        let (id, acme) = (TenantId::new(), TenantRef::Slug("acme".to_owned()));
        let host = |host, slug| {
            let host = Some(host);
            let hints = Hints {
                host,
                slug,
                ..Hints::default()
            };
            hints.named()
        };
        assert_eq!(host(&acme, ""), slug("acme"));
        assert_eq!(host(&acme, "acme"), slug("acme"));
        let own = TenantRef::Id(id);
        assert_eq!(host(&own, ""), Named::One(TenantRef::Id(id)));
        assert_eq!(host(&own, "acme"), Named::Both(id, "acme".to_owned()));
    }
}
