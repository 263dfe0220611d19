//! A sign-in at an OpenID provider, between its beginning and its end.

use serde::{Deserialize, Serialize};
use tenantry_core::{IdentityProviderId, TenantId};

use super::secret;

const SECRET_BYTES: usize = 32;
/// Time to finish a sign-in, in minutes.
pub(crate) const MINUTES: i32 = 10;

/// A sign-in as it stands in its row.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) provider: IdentityProviderId,
    /// Nil for a project's provider.
    pub(crate) provider_tenant: TenantId,
    pub(crate) redirect_uri: String,
    /// The tenant that the session is to be for.
    pub(crate) session_tenant: Option<TenantId>,
    /// [`Ties`], sealed.
    pub(crate) sealed: Vec<u8>,
}

/// What the beginning gives away: the state to the provider and back, the holder's secret to the browser alone.
pub(crate) struct Handed {
    pub(crate) state: String,
    pub(crate) holder_secret: String,
}

impl Handed {
    pub(crate) fn new() -> Self {
        Self {
            state: secret::random::<SECRET_BYTES>(),
            holder_secret: secret::random::<SECRET_BYTES>(),
        }
    }

    /// What a page brings back, if it can be that.
    pub(crate) fn parse(state: &str, holder_secret: &str) -> Option<Self> {
        let whole =
            secret::is_hex(state, SECRET_BYTES) && secret::is_hex(holder_secret, SECRET_BYTES);
        whole.then(|| Self {
            state: state.to_owned(),
            holder_secret: holder_secret.to_owned(),
        })
    }

    pub(crate) fn state_hash(&self) -> [u8; 32] {
        secret::hash(&self.state)
    }

    pub(crate) fn holder_hash(&self) -> [u8; 32] {
        secret::hash(&self.holder_secret)
    }

    /// What the ties are sealed for: this sign-in and no other.
    pub(crate) fn sealed_for(&self) -> Vec<u8> {
        [&b"external_sign_in"[..], &self.state_hash()].concat()
    }
}

/// What ties an answer to its beginning: all random, none known to the browser's next page.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ties {
    pub(crate) nonce: String,
    pub(crate) pkce_verifier: String,
}

impl Ties {
    pub(crate) fn new() -> Self {
        Self {
            nonce: secret::random::<SECRET_BYTES>(),
            pkce_verifier: secret::random::<SECRET_BYTES>(),
        }
    }
}

/// Whom an issuer speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) subject: String,
    /// An address that the issuer says it verified; empty where it says so of none.
    pub(crate) email: String,
    /// A name; empty where the issuer says none.
    pub(crate) name: String,
}
