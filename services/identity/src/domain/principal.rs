//! What is known of the holder of a credential.

use jiff::Timestamp;
use tenantry_core::role::Role;
use tenantry_core::{ApiKeyId, Permissions, SessionId, TenantId, UserId};

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
