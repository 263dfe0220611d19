//! Signs what was decided, and uses one assertion again for equal decisions: nothing of one request is in it.

use std::time::Duration;

use moka::sync::Cache;
use tenantry_core::TenantId;
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, LIFE_SECONDS, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_rpc::watched::Watched;
use uuid::Uuid;

use super::choose::Chosen;
use super::decide::Decided;
use crate::domain::rights::Rights;
use crate::error::Error;

/// Most assertions kept.
const ENTRIES: u64 = 100_000;
/// How long one is used again, in seconds: half its life, so that it reaches the service well before its end.
const REUSE_SECONDS: i64 = LIFE_SECONDS / 2;

/// All that an assertion depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    credential: Uuid,
    credential_exp: Option<i64>,
    /// With the row's version, because slug and status are of it.
    tenant: Option<(TenantId, i64)>,
    no_tenant: &'static str,
    project: String,
    home: Option<TenantId>,
    rights: Rights,
}

#[derive(Clone, Debug)]
struct Signed {
    token: String,
    kid: String,
    until: i64,
}

/// Signs assertions.
#[derive(Clone, Debug)]
pub(crate) struct Assertions {
    ring: Watched<KeyRing>,
    signed: Cache<Key, Signed>,
}

impl Assertions {
    pub(crate) fn new(ring: Watched<KeyRing>) -> Self {
        Self {
            ring,
            signed: Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(Duration::from_secs(REUSE_SECONDS.unsigned_abs()))
                .build(),
        }
    }

    /// The assertion of a decision.
    pub(super) fn sign(&self, decided: &Decided) -> Result<String, Error> {
        let (tenant, slug, no_tenant) = match &decided.tenant {
            Chosen::Tenant(entry) => (Some((entry.id, entry.version)), &*entry.slug, ""),
            Chosen::None => (None, "", "none"),
            Chosen::NotFound => (None, "", "not_found"),
            Chosen::Conflict => (None, "", "conflict"),
        };
        let key = Key {
            credential: decided.credential,
            credential_exp: decided.credential_exp,
            tenant,
            no_tenant,
            project: decided.project.clone(),
            home: decided.home,
            rights: decided.rights,
        };
        let ring = self.ring.get();
        let now = tenantry_core::clock::now().as_second();
        if let Some(signed) = self.signed.get(&key)
            && signed.kid == ring.signing_kid()
            && now < signed.until
        {
            return Ok(signed.token);
        }
        let end = decided.credential_exp.unwrap_or(i64::MAX);
        let claims = Claims {
            iss: GATEWAY.to_owned(),
            aud: FLEET.to_owned(),
            iat: now,
            exp: end.min(now + LIFE_SECONDS),
            kind: decided.principal.kind,
            sub: decided.principal.id,
            name: decided.principal.name.clone(),
            tenant: tenant.map(|(id, _)| id),
            slug: slug.to_owned(),
            no_tenant: no_tenant.to_owned(),
            project: decided.project.clone(),
            home: decided.home,
            perms: decided.rights.here,
            below: decided.rights.below,
            credential_exp: decided.credential_exp,
            credential: decided.credential.to_string(),
            on_behalf_of: None,
        };
        let token = sign(&ring, &claims).map_err(|error| Error::Crypto(error.to_string()))?;
        let signed = Signed {
            token: token.clone(),
            kid: ring.signing_kid().to_owned(),
            until: now + (claims.exp - now) / 2,
        };
        self.signed.insert(key, signed);
        Ok(token)
    }
}
