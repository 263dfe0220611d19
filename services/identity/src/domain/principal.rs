//! What is known of the holder of a credential.

use std::sync::Arc;

use jiff::Timestamp;
use tenantry_core::role::Role;
use tenantry_core::{ApiKeyId, Permissions, SessionId, TenantId, UserId};

use crate::error::Error;

/// A signed-in user.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    pub(crate) email: String,
    /// The tenant that the session is for.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) expires_at: Timestamp,
    pub(crate) ended: bool,
    pub(crate) standing: Arc<Standing>,
}

/// What a user is on the platform and in tenants, whichever session acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Permissions on the platform.
    pub(crate) platform: Permissions,
    pub(crate) memberships: Vec<Membership>,
}

/// A user's roles in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) tenant: TenantId,
    pub(crate) roles: Vec<Role>,
}

/// A program's key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: ApiKeyId,
    /// Nil for a key of the platform.
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) permissions: Permissions,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked: bool,
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
