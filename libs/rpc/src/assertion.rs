//! Signed identity: a compact JWS (RFC 7515, EdDSA) that the gateway's authoriser puts on each request, or that one
//! service of the fleet puts on its call to another. A service believes nothing else about its caller.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenantry_core::{Origin, Permissions, Principal, PrincipalKind, TenantId, TenantSelection};
use uuid::Uuid;

use crate::keys::{KeyRing, Trust};
use crate::watched::Watched;

/// The header that carries an assertion.
pub const HEADER: &str = "x-tenantry-assertion";
/// The header that carries the gateway's word: what Envoy puts on all that it sends, from a file. Whoever comes around it hasn't
/// got it. So an assertion that was captured opens nothing, and the gateway alone says where a request came from.
pub const WORD: &str = "x-tenantry-gateway";
/// `typ` of an assertion; an access token has another, and neither passes for the other.
pub const TYPE: &str = "tenantry-assertion+jwt";
/// Issuer of what the gateway asserts.
pub const GATEWAY: &str = "gateway";
/// Audience of what the gateway asserts: every service of the fleet.
pub const FLEET: &str = "tenantry-fleet";
/// Life of an assertion, in seconds.
pub const LIFE_SECONDS: i64 = 60;
/// How far the clocks of two machines may differ, in seconds.
const LEEWAY_SECONDS: u64 = 5;
/// Most verified assertions remembered.
const CACHE_ENTRIES: u64 = 100_000;

/// For whom a service calls: what the call changes is theirs in the log. It gives no right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBehalfOf {
    /// Who asked.
    pub principal: Principal,
    /// Where the request came from.
    pub origin: Origin,
}

/// What an assertion says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// `gateway`, or `service:<name>`.
    pub iss: String,
    /// [`FLEET`], or the one service that is called, `service:<name>`.
    pub aud: String,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Ends at, in seconds since 1970.
    pub exp: i64,
    /// What kind of principal acts.
    pub kind: PrincipalKind,
    /// Its id.
    pub sub: Uuid,
    /// E-mail address of a person, name of a service.
    #[serde(default)]
    pub name: String,
    /// The chosen tenant.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Slug of the chosen tenant.
    #[serde(default)]
    pub slug: String,
    /// Why there is no tenant: `none`, `not_found` or `conflict`.
    #[serde(default)]
    pub no_tenant: String,
    /// Key of the project that the request names, where no tenant is chosen.
    #[serde(default)]
    pub project: String,
    /// The tenant that the principal is of; none for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<TenantId>,
    /// Bitmap of permissions.
    #[serde(default)]
    pub perms: Permissions,
    /// Bitmap of the permissions in tenants below the chosen one.
    #[serde(default)]
    pub below: Permissions,
    /// When the credential ends, in seconds since 1970.
    #[serde(default)]
    pub credential_exp: Option<i64>,
    /// Id of the session or key.
    #[serde(default)]
    pub credential: String,
    /// For whom a service calls, where it is for someone; the gateway says it in the fields above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<OnBehalfOf>,
}

impl Claims {
    /// Claims of a service calling another.
    #[must_use]
    pub fn of_service(caller: &str, called: &str) -> Self {
        let now = tenantry_core::clock::now().as_second();
        Self {
            iss: format!("service:{caller}"),
            aud: format!("service:{called}"),
            iat: now,
            exp: now + LIFE_SECONDS,
            kind: PrincipalKind::Service,
            sub: Uuid::nil(),
            name: caller.to_owned(),
            tenant: None,
            slug: String::new(),
            no_tenant: String::new(),
            project: String::new(),
            home: None,
            perms: Permissions::NONE,
            below: Permissions::NONE,
            credential_exp: None,
            credential: String::new(),
            on_behalf_of: None,
        }
    }

    /// Who acts.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            kind: self.kind,
            id: self.sub,
            name: self.name.clone(),
        }
    }

    /// The tenant, or why there is none.
    #[must_use]
    pub fn selection(&self) -> TenantSelection {
        match (self.tenant, self.no_tenant.as_str()) {
            (Some(id), _) => TenantSelection::Chosen {
                id,
                slug: self.slug.clone(),
            },
            (None, "conflict") => TenantSelection::Conflict,
            (None, "none") => TenantSelection::None,
            (None, _) => TenantSelection::NotFound,
        }
    }

    /// When the credential ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.credential_exp
            .and_then(|at| Timestamp::from_second(at).ok())
    }
}

/// Signs claims with the ring's present key.
///
/// # Errors
/// The key can't sign.
pub fn sign(ring: &KeyRing, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(ring.signing_kid().to_owned());
    encode(&header, claims, ring.signing_key())
}

/// An assertion that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Arc<Claims>,
    /// Prefixes of the methods that its signer may call, for a service.
    pub methods: Arc<[String]>,
}

/// Why an assertion is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It isn't one, or not by a key that is trusted.
    #[error("not signed by a trusted key")]
    Foreign,
    /// Its signer may not claim this issuer, or it is for someone else.
    #[error("wrong issuer or audience")]
    NotForThis,
    /// Its time is over.
    #[error("expired")]
    Expired,
}

/// Verifies assertions for one service.
#[derive(Clone, Debug)]
pub struct Verifier {
    trust: Watched<Trust>,
    own_audience: String,
    seen: Cache<[u8; 32], Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    verified: Verified,
    trust: Arc<Trust>,
}

impl Verifier {
    /// A verifier of the service of this name.
    #[must_use]
    pub fn new(trust: Watched<Trust>, service: &str) -> Self {
        Self {
            trust,
            own_audience: format!("service:{service}"),
            seen: Cache::builder()
                .max_capacity(CACHE_ENTRIES)
                .time_to_live(Duration::from_secs(
                    LIFE_SECONDS.unsigned_abs() + LEEWAY_SECONDS,
                ))
                .build(),
        }
    }

    /// Whether a request with these headers comes from the gateway.
    #[must_use]
    pub fn is_from_gateway(&self, headers: &http::HeaderMap) -> bool {
        headers
            .get(WORD)
            .is_some_and(|word| self.trust.get().knows_word(word.as_bytes()))
    }

    /// Verifies one assertion. What was verified before is remembered by its hash, until its end or until the trust file
    /// changes.
    ///
    /// # Errors
    /// Why it isn't believed.
    pub fn verify(&self, token: &str) -> Result<Verified, Refused> {
        let trust = self.trust.get();
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.seen.get(&hash)
            && Arc::ptr_eq(&known.trust, &trust)
        {
            let now = tenantry_core::clock::now().as_second();
            return if known.verified.claims.exp + LEEWAY_SECONDS.cast_signed() > now {
                Ok(known.verified)
            } else {
                Err(Refused::Expired)
            };
        }
        let verified = self.verify_signature(&trust, token)?;
        self.seen.insert(
            hash,
            Remembered {
                verified: verified.clone(),
                trust,
            },
        );
        Ok(verified)
    }

    fn verify_signature(&self, trust: &Trust, token: &str) -> Result<Verified, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Foreign)?;
        if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::EdDSA {
            return Err(Refused::Foreign);
        }
        let key = header
            .kid
            .and_then(|kid| trust.find(&kid))
            .ok_or(Refused::Foreign)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&key.issuer]);
        validation.set_audience(&[if key.issuer == GATEWAY {
            FLEET
        } else {
            &self.own_audience
        }]);
        let claims = decode::<Claims>(token, &key.key, &validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Refused::Expired,
                jsonwebtoken::errors::ErrorKind::InvalidIssuer
                | jsonwebtoken::errors::ErrorKind::InvalidAudience => Refused::NotForThis,
                _ => Refused::Foreign,
            })?
            .claims;
        Ok(Verified {
            claims: Arc::new(claims),
            methods: key.methods.clone().into(),
        })
    }
}
