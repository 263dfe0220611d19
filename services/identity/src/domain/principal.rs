//! What is known of the holder of a credential.

use std::sync::Arc;

use jiff::Timestamp;
use tenantry_core::{
    ApiKeyId, IdentityProviderId, Permissions, RoleId, ServiceAccountId, SessionId, TenantId,
    UserId,
};

use super::api_key::Presented;
use super::role::{Grants, RoleKey};
use super::secret;
use crate::error::Error;

/// A signed-in user.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    /// The provider that began the session, where no password did.
    pub(crate) provider: Option<IdentityProviderId>,
    /// Its address, or what its issuer says of it and which one that is.
    pub(crate) name: String,
    /// The tenant that the session is for.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) expires_at: Timestamp,
    pub(crate) ended: bool,
    pub(crate) standing: Arc<Standing>,
}

/// What a user is on the platform and in tenants, as far as what it signed in with reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Permissions on the platform.
    pub(crate) platform: Permissions,
    pub(crate) memberships: Vec<Membership>,
    /// The project whose tenants alone are reached, where a provider of that project speaks for the user.
    pub(crate) only_project: Option<String>,
}

impl Standing {
    /// Whether tenants of this project are reached at all.
    pub(crate) fn is_within(&self, project: &str) -> bool {
        self.only_project
            .as_deref()
            .is_none_or(|only| only == project)
    }
}

/// What people see of a user for whom an issuer speaks. It can't be taken for an address of the platform's own users.
pub(crate) fn display_name(claimed_email: &str, subject: &str, issuer: &str) -> String {
    let who = if claimed_email.is_empty() {
        subject
    } else {
        claimed_email
    };
    format!("{who} ({issuer})")
}

/// A user's roles in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) tenant: TenantId,
    pub(crate) roles: Vec<RoleKey>,
    /// Those that the tenant defined: a change of one changes what is permitted.
    pub(crate) own_roles: Vec<RoleId>,
    /// What all of them permit.
    pub(crate) grants: Grants,
}

/// A program's key, or what one of its secrets admits to.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: ApiKeyId,
    /// Nil for a key of the platform.
    pub(crate) tenant: TenantId,
    pub(crate) permissions: Permissions,
    /// The account that it acts as, if it is of one.
    pub(crate) service_account: Option<ServiceAccountId>,
    /// When it ends, or the secret that was shown, if it does.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked: bool,
}

/// What a program's account may do, whichever of its keys acts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) tenant: TenantId,
    pub(crate) permissions: Permissions,
}

/// A key with the hashes of its secrets.
pub(crate) struct StoredKey {
    pub(crate) key: Key,
    pub(crate) hash: Vec<u8>,
    /// That of the secret before; empty where there is none.
    pub(crate) previous_hash: Vec<u8>,
    /// When the secret before ends: with the key at the latest.
    pub(crate) previous_until: Option<Timestamp>,
}

impl StoredKey {
    /// What this secret admits to, if it is the key's present one or the one before.
    pub(crate) fn shown(self, presented: &Presented) -> Option<Key> {
        let is_present = secret::same(&self.hash, &presented.hash);
        let is_previous = secret::same(&self.previous_hash, &presented.hash);
        match (is_present, is_previous) {
            (true, _) => Some(self.key),
            (false, true) => Some(Key {
                expires_at: self.previous_until,
                ..self.key
            }),
            (false, false) => None,
        }
    }
}

impl SignedIn {
    /// Refuses a session that is over.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Error> {
        if self.ended || self.expires_at <= now {
            return Err(Error::Revoked);
        }
        Ok(())
    }
}

impl Key {
    /// Refuses a key that is over.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Error> {
        if self.revoked {
            return Err(Error::Revoked);
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::Expired);
        }
        Ok(())
    }
}
