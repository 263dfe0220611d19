//! Access tokens: JWTs in the profile of RFC 9068, signed with keys of their own. An assertion has other keys, another
//! `typ` and another audience, so that neither passes for the other.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenantry_core::{SessionId, TenantId, UserId};
use tenantry_rpc::keys::KeyRing;
use tenantry_rpc::watched::Watched;
use uuid::Uuid;

use crate::domain::session::ACCESS_SECONDS;
use crate::error::Error;

/// `typ` of an access token (RFC 9068, section 2.1).
const TYPE: &str = "at+jwt";
/// `aud` of an access token.
const AUDIENCE: &str = "tenantry";
/// Most verified tokens remembered.
const CACHE_ENTRIES: u64 = 100_000;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub(crate) sub: UserId,
    /// Whom the token was given to; there is one client, the platform itself.
    client_id: String,
    iat: i64,
    /// Its end, in seconds since 1970.
    pub(crate) exp: i64,
    jti: Uuid,
    /// The session.
    pub(crate) sid: SessionId,
    /// The tenant that the session is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
}

/// Issues and verifies access tokens.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    ring: Watched<KeyRing>,
    issuer: Arc<str>,
    seen: Cache<[u8; 32], Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    claims: Arc<Claims>,
    ring: Arc<KeyRing>,
}

impl Tokens {
    pub(crate) fn new(ring: Watched<KeyRing>, issuer: &str) -> Self {
        Self {
            ring,
            issuer: issuer.into(),
            seen: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(Duration::from_secs(u64::from(
                    ACCESS_SECONDS.unsigned_abs(),
                )))
                .build(),
        }
    }

    /// The keys that tokens are signed with.
    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        self.ring.get()
    }

    /// A token for a session that begins or goes on now.
    pub(crate) fn issue(
        &self,
        session: SessionId,
        user: UserId,
        tenant: Option<TenantId>,
    ) -> Result<String, Error> {
        let ring = self.ring.get();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(ring.signing_kid().to_owned());
        let now = tenantry_core::clock::now().as_second();
        let claims = Claims {
            iss: self.issuer.to_string(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            client_id: AUDIENCE.to_owned(),
            iat: now,
            exp: now + i64::from(ACCESS_SECONDS),
            jti: Uuid::from_bytes(tenantry_core::random::bytes()),
            sid: session,
            tenant,
        };
        encode(&header, &claims, ring.signing_key())
            .map_err(|error| Error::Crypto(error.to_string()))
    }

    /// What a token says, if it is one of ours and not past its time. One that was verified is remembered by its hash,
    /// until its end or until the keys change.
    pub(crate) fn verify(&self, token: &str) -> Result<Arc<Claims>, Error> {
        let ring = self.ring.get();
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.seen.get(&hash);
        let claims = match known {
            Some(known) if Arc::ptr_eq(&known.ring, &ring) => known.claims,
            _ => {
                let claims = Arc::new(self.verify_signature(&ring, token)?);
                let remembered = Remembered {
                    claims: Arc::clone(&claims),
                    ring,
                };
                self.seen.insert(hash, remembered);
                claims
            }
        };
        if claims.exp <= tenantry_core::clock::now().as_second() {
            return Err(Error::Expired);
        }
        Ok(claims)
    }

    fn verify_signature(&self, ring: &KeyRing, token: &str) -> Result<Claims, Error> {
        let header = decode_header(token).map_err(|_| Error::BadCredential)?;
        if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::EdDSA {
            return Err(Error::BadCredential);
        }
        let key = ring
            .public()
            .iter()
            .find(|key| header.kid.as_ref() == Some(&key.kid))
            .ok_or(Error::BadCredential)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[AUDIENCE]);
        decode::<Claims>(token, &key.key, &validation)
            .map(|token| token.claims)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Error::Expired,
                _ => Error::BadCredential,
            })
    }
}
