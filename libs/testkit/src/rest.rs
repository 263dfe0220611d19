//! A small JSON client for tests and for `./dev`, which never treats a status as an error.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value;

/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it isn't JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The reason of the ErrorInfo in a google.rpc.Status body; empty where there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        let json = self.json();
        let details = json["details"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        details
            .iter()
            .find_map(|detail| detail["reason"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// A header field; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON, of a 2xx answer.
    ///
    /// # Errors
    /// When the status is another; the error has status and body.
    pub fn ok(self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("the answer is {}: {}", self.status, self.text);
        }
        serde_json::from_str(&self.text)
            .with_context(|| format!("the answer isn't JSON: {}", self.text))
    }
}

/// A client of one gateway, with the headers that each request carries.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    client: Client,
    headers: HeaderMap,
}

impl Rest {
    /// A client of a base URL, as `http://127.0.0.1:8080`, that speaks HTTP/1.1. Make one per test: its connections
    /// belong to the test's runtime.
    ///
    /// # Errors
    /// When the client can't be built.
    pub fn new(base: impl Into<String>) -> Result<Self> {
        Self::build(base.into(), client())
    }

    /// The same, speaking HTTP/2 without TLS.
    ///
    /// # Errors
    /// When the client can't be built.
    pub fn http2(base: impl Into<String>) -> Result<Self> {
        Self::build(base.into(), client().http2_prior_knowledge())
    }

    /// The same over TLS, to a server with one of these certificates (PEM) and to no other; HTTP/2 where it is offered.
    ///
    /// # Errors
    /// When there is no certificate in the text, or the client can't be built.
    pub fn trusting(base: impl Into<String>, certificates: &[u8]) -> Result<Self> {
        let certificates = reqwest::Certificate::from_pem_bundle(certificates)?;
        Self::build(base.into(), client().tls_certs_only(certificates))
    }

    fn build(base: String, builder: reqwest::ClientBuilder) -> Result<Self> {
        let client = builder.timeout(ANSWER_WITHIN).no_proxy().build()?;
        Ok(Self {
            base,
            client,
            headers: HeaderMap::new(),
        })
    }

    /// The same client with one more header field on each request; a name may be given more than once.
    ///
    /// # Panics
    /// When name or value aren't allowed in HTTP.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers
            .append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// The same client with a bearer token, in place of any before.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.headers.remove("authorization");
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// POST of a JSON body.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    /// PATCH with a JSON body.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::PATCH, path, Some(body.to_string())).await
    }

    /// PUT of a JSON body.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn put(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::PUT, path, Some(body.to_string())).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Method::DELETE, path, None).await
    }

    /// Any request, with a body as it stands, which need not be JSON.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone());
        if let Some(body) = body {
            if !self.headers.contains_key("content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// A GET whose body is read piece by piece, as of a watch.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        let request = self
            .client
            .get(format!("{}{path}", self.base))
            .headers(self.headers.clone());
        // A stream lives longer than an answer.
        Ok(request.timeout(Duration::from_secs(3_600)).send().await?)
    }
}

/// An HTTP client to be built, for all tests: what speaks TLS in the services leaves the choice of its cryptography to the
/// process, and a client that is built before it is made panics.
pub fn client() -> reqwest::ClientBuilder {
    // Another client made the same choice before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

/// The body at an address, as of a process's metrics.
///
/// # Errors
/// When it isn't answered.
pub async fn get_text(url: &str) -> Result<String> {
    let answer = client().timeout(ANSWER_WITHIN).build()?.get(url).send();
    Ok(answer.await?.text().await?)
}
