//! The project that a request's host says. What the gateway lets pass unasked comes with no word of it, so these services
//! read it themselves, by the same rule.

use std::sync::Arc;
use std::task::{Context, Poll};

use tenantry_core::tenant::{host_name, in_subdomain, project_or_default};
use tenantry_core::{Reason, Refusal};
use tonic::Request;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

/// A service that knows the project of the host that a request was sent to.
#[derive(Clone, Debug)]
pub(crate) struct AtHost<S> {
    inner: S,
    /// In lower case; empty for none.
    base_domain: Arc<str>,
}

impl<S> AtHost<S> {
    pub(crate) fn new(inner: S, base_domain: &Arc<str>) -> Self {
        Self {
            inner,
            base_domain: Arc::clone(base_domain),
        }
    }
}

impl<S: NamedService> NamedService for AtHost<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for AtHost<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> S::Future {
        let authority = request.uri().authority();
        let host = authority.map_or("", http::uri::Authority::as_str);
        let named = HostProject::of(host, &self.base_domain);
        request.extensions_mut().insert(named);
        self.inner.call(request)
    }
}

/// The project that the host says, if it says one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostProject(Option<String>);

impl HostProject {
    fn of(host: &str, base_domain: &str) -> Self {
        let host = host_name(host);
        Self(in_subdomain(&host, base_domain).map(|(project, _)| project.to_owned()))
    }

    /// That of a request to a service [`AtHost`].
    pub(super) fn read<T>(request: &Request<T>) -> Self {
        let read = request.extensions().get().cloned();
        read.unwrap_or_default()
    }

    /// The project that a message means: the one that it names, which must be the host's; else the host's, else the default.
    pub(super) fn or(&self, named: &str) -> Result<String, Refusal> {
        match &self.0 {
            Some(host) if named.is_empty() || named == host => Ok(host.clone()),
            Some(_) => Err(Refusal::new(
                Reason::TenantConflict,
                "The host of the request is another project's than the one that it names. Leave project out, or send the request to that project's host.",
            )),
            None => Ok(project_or_default(named).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_says_the_project_and_a_message_may_not_say_another() {
        let meant = |host, named| {
            let project = HostProject::of(host, "tenants.example").or(named);
            project.map_err(|refusal| refusal.reason)
        };
        for (host, named, project) in [
            ("acme.two.tenants.example", "", "two"),
            ("Acme.Two.Tenants.Example:8080", "two", "two"),
            ("acme.tenants.example", "", "default"),
            ("acme.tenants.example", "default", "default"),
            ("api.example", "", "default"),
            ("tenants.example", "two", "two"),
            ("", "two", "two"),
        ] {
            assert_eq!(meant(host, named), Ok(project.to_owned()), "{host} {named}");
        }
        for (host, named) in [
            ("acme.two.tenants.example", "default"),
            ("acme.two.tenants.example", "three"),
            ("acme.tenants.example", "two"),
        ] {
            assert_eq!(
                meant(host, named),
                Err(Reason::TenantConflict),
                "{host} {named}"
            );
        }
    }
}
