//! The project that a request names beside its message. The gateway asks nobody about those who sign in, and takes the host of
//! those who sign up for no tenant, so neither comes with a word of it: these services read it themselves, by the gateway's rule.

use std::sync::Arc;
use std::task::{Context, Poll};

use tenantry_core::Refusal;
use tonic::Request;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use crate::app::App;
use crate::domain::host::{NamedProject, TwoProjects};

/// Removed from all requests that the gateway asked about.
const X_PROJECT: &str = "x-project";

type Named = Result<NamedProject, TwoProjects>;

/// A service that knows the project that a request names.
#[derive(Clone, Debug)]
pub(crate) struct AtHost<S> {
    inner: S,
    app: Arc<App>,
}

impl<S> AtHost<S> {
    pub(crate) fn new(inner: S, app: &Arc<App>) -> Self {
        Self {
            inner,
            app: Arc::clone(app),
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
        let headers = request.headers().get_all(X_PROJECT).iter();
        let headers: Vec<_> = headers.filter_map(|value| value.to_str().ok()).collect();
        let named: Named = NamedProject::of(&self.app.host(host), &headers.join(","));
        request.extensions_mut().insert(named);
        self.inner.call(request)
    }
}

/// The project that a request to a service [`AtHost`] names.
///
/// # Errors
/// TENANT_CONFLICT where it names two.
pub(super) fn named_project<T>(request: &Request<T>) -> Result<NamedProject, Refusal> {
    let named = request.extensions().get::<Named>().cloned();
    Ok(named.unwrap_or_else(|| Ok(NamedProject::default()))?)
}
