//! What issuers say of themselves: discovery documents and keys, fetched once for all who ask at the same time, kept for a
//! while, and fetched anew when a token names a key that isn't known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, IssuerUrl, ProviderMetadata};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::fetch::Fetch;
use crate::domain::outside::may_ask;

/// How long what an issuer says is believed.
const LIFE: Duration = Duration::from_secs(600);
/// How long an issuer that didn't answer isn't asked again.
const PAUSE: Duration = Duration::from_secs(10);
/// Least time between two fetches because of keys that aren't known: whoever makes up key ids makes no traffic.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
/// Most issuers remembered.
const ENTRIES: u64 = 10_000;

/// What a discovery document may say besides (RFC 9207).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Besides {
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Besides {}

/// A discovery document with the keys that it names.
pub(super) type Metadata = ProviderMetadata<
    Besides,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

#[derive(Clone, Debug)]
struct Fetched {
    at: Instant,
    /// Whether a key that wasn't known led to it.
    renewal: bool,
    outcome: Result<Arc<Metadata>, Arc<str>>,
}

impl Fetched {
    fn is_old(&self) -> bool {
        self.at.elapsed() > if self.outcome.is_ok() { LIFE } else { PAUSE }
    }
}

/// What is known of issuers.
#[derive(Clone, Debug)]
pub(super) struct Issuers {
    fetch: Fetch,
    known: Cache<String, Fetched>,
}

impl Issuers {
    pub(super) fn new(fetch: Fetch) -> Self {
        Self {
            fetch,
            known: Cache::new(ENTRIES),
        }
    }

    /// What the issuer says of itself.
    pub(super) async fn get(&self, issuer: &str) -> Result<Arc<Metadata>, Failure> {
        self.fetched(issuer, false, Fetched::is_old).await
    }

    /// The same, fetched anew because a token's key isn't among the known ones, unless that was done a moment ago.
    pub(super) async fn renewed(&self, issuer: &str) -> Result<Arc<Metadata>, Failure> {
        self.fetched(issuer, true, |known| {
            !known.renewal || known.at.elapsed() > RENEWAL_PAUSE
        })
        .await
    }

    async fn fetched(
        &self,
        issuer: &str,
        renewal: bool,
        anew: fn(&Fetched) -> bool,
    ) -> Result<Arc<Metadata>, Failure> {
        let entry = self.known.entry_by_ref(issuer);
        let fetched = entry
            .or_insert_with_if(self.discover(issuer, renewal), anew)
            .await
            .into_value();
        fetched
            .outcome
            .map_err(|why| Failure::Issuer(why.to_string()))
    }

    async fn discover(&self, issuer: &str, renewal: bool) -> Fetched {
        let outcome = self.ask(issuer).await;
        if let Err(why) = &outcome {
            tracing::warn!(oidc.issuer = issuer, error = %why, "an issuer gave no discovery document or keys");
        }
        Fetched {
            at: Instant::now(),
            renewal,
            outcome: outcome.map(Arc::new).map_err(Into::into),
        }
    }

    async fn ask(&self, issuer: &str) -> Result<Metadata, String> {
        let url = IssuerUrl::new(issuer.to_owned()).map_err(|error| error.to_string())?;
        let metadata = Metadata::discover_async(url, &self.fetch)
            .await
            .map_err(|error| super::chain(&error))?;
        // The browser is sent there: to a page, not to whatever else a URL can be.
        may_ask(
            metadata.authorization_endpoint().as_str(),
            self.fetch.is_insecure(),
        )
        .map_err(|why| format!("its authorization endpoint {why}"))?;
        Ok(metadata)
    }
}
