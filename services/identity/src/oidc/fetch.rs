//! The way out to issuers. A tenant's people name the issuer, so nothing that they name may lead into the platform's own
//! network: https only, public addresses only, looked at where the connection is made, and no redirects.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use crate::domain::outside::{is_public, may_ask};

/// Longest wait for one answer of an issuer, and for the connection to it.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Largest answer of an issuer.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Connections to one issuer that stay open.
const IDLE_CONNECTIONS: usize = 2;

/// Why an issuer gave no answer. For the log: callers learn no more than that the sign-in failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0} is no address that issuers may have")]
    Forbidden(String),
    #[error("the answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Message(#[from] http::Error),
}

/// Asks issuers.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    client: reqwest::Client,
    insecure: bool,
}

impl Fetch {
    /// A way out. `insecure` lets issuers speak plain HTTP and stand in private networks: for development and tests.
    pub(crate) fn new(insecure: bool) -> anyhow::Result<Self> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore { roots })
            .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .pool_max_idle_per_host(IDLE_CONNECTIONS);
        if !insecure {
            builder = builder.https_only(true).dns_resolver(PublicOnly);
        }
        Ok(Self {
            client: builder.build()?,
            insecure,
        })
    }

    /// Whether issuers may speak plain HTTP and stand in private networks.
    pub(crate) const fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// One request and its whole answer, within bounds.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        may_ask(&url, self.insecure).map_err(|_| FetchError::Forbidden(url.clone()))?;
        let sent = self
            .client
            .request(parts.method, &url)
            .headers(parts.headers)
            .body(body);
        let mut answer = sent.send().await?;
        let mut whole = http::Response::builder().status(answer.status());
        if let Some(headers) = whole.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(whole.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Fetch {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Resolves names to their public addresses and no others. What it gives is what is connected to: a name can't lead
/// elsewhere between a check and the connection.
#[derive(Clone, Copy, Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err(FetchError::Forbidden(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_public_name_that_leads_into_the_private_network_is_not_connected_to() {
        let fetch = Fetch::new(false).unwrap();
        let request = http::Request::builder()
            .uri("https://localhost:9/")
            .body(Vec::new())
            .unwrap();
        let refused = format!("{:?}", fetch.send(request).await.unwrap_err());
        assert!(refused.contains("Forbidden"), "{refused}");
    }
}
